"""Whether label files that name their segments call the numbers what dataset.json calls them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset import Case
from autoseg.errors import DatasetError
from autoseg.images.segments import plain_name, read_segments
from autoseg.planning.inspection import LISTED_NAMES, Finding
from autoseg.words import agreeing, first_few, readable


def segments_named_otherwise(cases: Sequence[Case], labels: Sequence[str]) -> list[Finding]:
    """A warning for each way in which files contradict dataset.json, with the cases; only headers are read."""
    found: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if case.segmentation and case.segmentation.is_file() and (text := _contradiction(case.segmentation, labels)):
            found[text].append(case.identifier)
    return [
        Finding(severity="warning", where=f"{agreeing(len(names), 'case')} {first_few(names, LISTED_NAMES)}", text=text)
        for text, names in found.items()
    ]


def _contradiction(path: Path, labels: Sequence[str]) -> str:
    try:
        segments = read_segments(path)
    except DatasetError as error:
        return f"its label file {str(error).removeprefix(f'{readable(path)}: ')}"
    otherwise = [
        f"{segment.value} is {readable(segment.name)} there and {readable(labels[segment.value])} here"
        for segment in segments
        if segment.value < len(labels) and segment.name.casefold() != plain_name(labels[segment.value]).casefold()
    ]
    if not otherwise:
        return ""
    return (
        f"the label file names its segments otherwise than dataset.json: {', '.join(otherwise)}; "
        "correct whichever is wrong"
    )
