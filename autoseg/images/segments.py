"""The names that 3D Slicer writes into NRRD label images: which number is which structure, in that one file.

Its numbers are no names: a segment that is deleted and drawn again has another one, and the same name. Keys of a segment:
https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html, "Segmentation file format".
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from autoseg.images.formats.nrrd import HEADER_END, IN_LAYERS, NRRD
from autoseg.images.formats.text import LARGEST_HEADER
from autoseg.images.refusals import first_bytes, refusal
from autoseg.words import readable

KEY = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")
ESCAPED = {r"\n": "\n", r"\\": "\\"}
"""How NRRD writes a line break and a backslash inside a value (teem.sourceforge.net/nrrd/format.html, 1.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A structure in one label image."""

    name: str
    value: int


def read_segments(path: Path) -> tuple[Segment, ...]:
    """The segments that a label image names, by their values; none where it is no NRRD, or names none.

    Raises:
        DatasetError: They overlap, or their names and values contradict each other.
    """
    if not path.name.lower().endswith(NRRD.endings):
        return ()
    described = _described(path)
    if len({keys["Layer"] for keys in described.values() if "Layer" in keys}) > 1:
        raise refusal(path, *IN_LAYERS)
    segments = [_segment(path, number, keys) for number, keys in sorted(described.items())]
    _require_distinct(path, segments)
    return tuple(sorted(segments, key=lambda segment: segment.value))


def plain_name(text: str) -> str:
    """A name as it is compared: composed characters, single blanks, so that what looks alike is alike."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _described(path: Path) -> dict[int, dict[str, str]]:
    """What the header says of each segment, by its number there."""
    content, _ = first_bytes(path, LARGEST_HEADER)
    end = HEADER_END.search(content)
    found: dict[int, dict[str, str]] = {}
    for line in _text(content[: end.start() if end else 0]).split("\n"):
        key, _, value = line.rstrip("\r").partition(":=")
        if match := KEY.fullmatch(key):
            keys = found.setdefault(int(match[1]), {})
            if match[2] in keys:
                raise refusal(path, f"its header says {key} twice", "save it anew")
            keys[match[2]] = re.sub(r"\\[n\\]", lambda escape: ESCAPED[escape[0]], value)
    return {number: keys for number, keys in found.items() if keys.keys() & {"Name", "LabelValue"}}


def _text(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _segment(path: Path, number: int, keys: dict[str, str]) -> Segment:
    name, value = plain_name(keys.get("Name", "")), keys.get("LabelValue", "").strip()
    if not name:
        raise refusal(path, f"its segment {number} has no name", "name it, and save it anew")
    if not re.fullmatch(r"[1-9]\d{0,17}", value, re.ASCII):
        found = readable(value) or "none"
        raise refusal(
            path,
            f"its segment {readable(name)} has no value above 0 (LabelValue: {found})",
            "save it anew in 3D Slicer",
        )
    return Segment(name=name, value=int(value))


def _require_distinct(path: Path, segments: list[Segment]) -> None:
    values = Counter(segment.value for segment in segments)
    if shared := [segment.name for segment in segments if values[segment.value] > 1]:
        raise refusal(path, f"its segments {_listed(shared)} have one value", "give each its own, and save it anew")
    names = Counter(segment.name.casefold() for segment in segments)
    if alike := [segment for segment in segments if names[segment.name.casefold()] > 1]:
        found = _listed([f"{segment.name} ({segment.value})" for segment in alike])
        raise refusal(path, f"names several segments alike: {found}", "name each differently, or merge them")


def _listed(names: list[str]) -> str:
    return ", ".join(map(readable, sorted(names)))
