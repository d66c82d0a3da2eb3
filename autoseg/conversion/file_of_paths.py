"""A file of paths in place of a folder: a line for each case, with its images, its label and all that is known of it."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.conversion.label_files import read_label_files
from autoseg.conversion.numbering import number_labels
from autoseg.conversion.plain_folders import (
    PlainSettings,
    channel_names,
    channels_of,
    outputs_of_raters,
    plain_notes,
    require_equal_channels,
)
from autoseg.conversion.regions import with_regions
from autoseg.conversion.understood import Understood
from autoseg.dataset import Case
from autoseg.dataset.facts import Facts
from autoseg.dataset.listed import ROI
from autoseg.dataset.metadata import UNKNOWN
from autoseg.errors import DatasetError, StorageError
from autoseg.files.storage import read_bytes
from autoseg.images import split_ending
from autoseg.words import counted, first_few, nearest, readable

A_FILE_OF_PATHS = "a file of paths, a line for each case"
CASE, LABEL = "case", "label"
IMAGE = re.compile(r"image(?:[:_ ](?P<channel>.+))?")
LABELS = re.compile(r"label(?:_rater[1-9][0-9]*)?")
SEPARATORS = {".tsv": "\t", ".csv": ",", ".txt": "\t"}
EXAMPLE = "expected columns image (or image:T1, image:T2 for channels), label (or label_rater1, label_rater2), and if you like case and others"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A case's line, its number in the file and its cells by column."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Those that name files; of labels one for each rater."""

    images: Sequence[str]
    labels: Sequence[str]


def is_file_of_paths(path: Path) -> bool:
    """Whether the name is that of a table."""
    return path.is_file() and path.suffix.lower() in SEPARATORS


def understand_file_of_paths(path: Path, settings: PlainSettings, *, workers: int) -> Understood:
    """Read the table; paths in it are relative to its folder. Cases without a label are test cases.

    Raises:
        DatasetError: The table is none, or a file that it names is not there; each is named with its line.
    """
    columns, lines = _read(path)
    images = [column for column in columns if IMAGE.fullmatch(column)]
    if not images or not lines:
        near = nearest(columns[0], ["image"]) if columns else ""
        raise DatasetError(f"{readable(path)}: names no image{near}; {EXAMPLE}")
    named = _Columns(images=images, labels=[column for column in columns if LABELS.fullmatch(column)])
    _require_files(path, lines, [*named.images, *named.labels, *([ROI] if ROI in columns else [])])
    cases = settings.read_as_asked([_case(path, line, named) for line in lines])
    _require_each_once(path, cases, lines)
    require_equal_channels(path, cases)
    training = tuple(case for case in cases if case.label_paths)
    if not training:
        raise DatasetError(f"{readable(path)}: names no label; {EXAMPLE}")
    numbering = number_labels(
        path, read_label_files(path, training, workers), remap_labels=settings.remap_labels, names=settings.labels
    )
    test = tuple(case for case in cases if not case.label_paths)
    called = tuple(match["channel"] for column in images if (match := IMAGE.fullmatch(column)) and match["channel"])
    understood = Understood(
        source=path,
        layout=A_FILE_OF_PATHS,
        number=None,
        name=re.sub(r"[^\w.-]+", "_", path.stem).strip("._-") or "Dataset",
        channels=channel_names(
            path, settings.channels or (called if len(called) == len(cases[0].images) else None), cases[0]
        ),
        labels=numbering.names,
        training=training,
        test=test,
        description=settings.description,
        label_values=numbering.numbers,
        outputs=outputs_of_raters(cases, numbering),
        facts={case.identifier: case.facts for case in cases},
        notes=tuple(plain_notes(settings, numbering, len(test))),
    )
    regions = {
        case.identifier: path.parent / line.cells[ROI]
        for case, line in zip(cases, lines, strict=True)
        if line.cells.get(ROI, "") not in UNKNOWN
    }
    return with_regions(understood, regions, settings.roi_margin)


def _read(path: Path) -> tuple[list[str], list[_Line]]:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except StorageError as error:
        raise DatasetError(str(error)) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{readable(path)}: is no text in UTF-8; save the table as UTF-8") from error
    rows = list(csv.reader(text.splitlines(), delimiter=SEPARATORS[path.suffix.lower()]))
    header = [name.strip() for name in rows[0]] if rows else []
    lines = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise DatasetError(
                f"{readable(path)}: line {number}: {counted(len(row), 'cell')}, where {counted(len(header), 'column is', 'columns are')} "
                f"named; separate them by {'commas' if path.suffix.lower() == '.csv' else 'tabs'}"
            )
        lines.append(_Line(number=number, cells={name: cell.strip() for name, cell in zip(header, row, strict=True)}))
    return header, lines


def _require_files(path: Path, lines: Sequence[_Line], columns: Sequence[str]) -> None:
    missing = [
        f"{readable(line.cells[column])} (line {line.number})"
        for line in lines
        for column in columns
        if line.cells[column] not in UNKNOWN and not (path.parent / line.cells[column]).is_file()
    ]
    if missing:
        raise DatasetError(
            f"{readable(path)}: {counted(len(missing), 'file')} not there: {first_few(missing, say=str)}; paths are relative to the "
            "table's folder"
        )


def _case(path: Path, line: _Line, columns: _Columns) -> Case:
    given, labels = (
        [path.parent / line.cells[column] for column in some if line.cells[column] not in UNKNOWN]
        for some in (columns.images, columns.labels)
    )
    if not given:
        raise DatasetError(f"{readable(path)}: line {line.number}: names no image; {EXAMPLE}")
    facts = tuple(
        (name, cell)
        for name, cell in line.cells.items()
        if name not in (CASE, ROI, *columns.images, *columns.labels) and cell not in UNKNOWN and name
    )
    segmentation, drawn = (labels[0], ()) if len(labels) == 1 else (None, (tuple(labels),) if labels else ())
    return Case(
        identifier=line.cells.get(CASE) or split_ending(given[0].name)[0] or given[0].name,
        images=channels_of(given),
        segmentation=segmentation,
        drawn=drawn,
        facts=Facts(known=facts),
    )


def _require_each_once(path: Path, cases: Sequence[Case], lines: Sequence[_Line]) -> None:
    first: dict[str, int] = {}
    for case, line in zip(cases, lines, strict=True):
        if case.identifier in first:
            raise DatasetError(
                f"{readable(path)}: line {line.number}: case {readable(case.identifier)} stands in line "
                f"{first[case.identifier]} already; give cases names of their own in a column {CASE}"
            )
        first[case.identifier] = line.number
