"""`metadata.tsv` as a table: text in UTF-8, a line of names and then a line a case, cells separated by tabs.

The kind of table is that of BIDS (specification 1.10, tabular files): no quotation marks around cells, and `n/a` where
nothing is known. An empty cell means the same here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset.notes import Notes
from autoseg.errors import StorageError
from autoseg.files.storage import read_bytes, write_bytes
from autoseg.words import counted, first_few, readable

PATIENT = "patient"
"""The column that says which cases are of one patient."""

CONTRAST = "contrast"
"""The column that says of which kind an image is, where several kinds are cases of their own, as BIDS has them."""

WEIGHT = "weight"
"""The column that says how often a case is drawn in training; where nothing stands there, as one that weighs 1."""

UNKNOWN = ("", "n/a")
"""What stands in a cell where nothing is known."""

Line = tuple[int, Sequence[str]]
"""The number of a line in the file, from 1, and its cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A case's line.

    Attributes:
        line: Its number in the file, from 1.
        known: Names of columns and cells; without those in which nothing is known.
    """

    line: int
    case: str
    known: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of cases.

    Attributes:
        columns: All names but that of the first column, which holds the cases.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()


def read_table(path: Path, notes: Notes) -> Table:
    """Read a table; it is empty where there is no file. What is wrong is noted, and lines at fault are left out."""
    if not path.exists():
        return Table()
    lines = _lines(path, notes)
    if lines is None:
        return Table()
    if not lines:
        notes.add(f"{path.name}: is empty; write a line with the names of the columns and a line for each case")
        return Table()
    header = lines[0]
    if not _is_header(path, header, notes):
        return Table()
    names = header[1]
    rows = [row for line in lines[1:] if (row := _row(path, line, names, notes))]
    if not lines[1:]:
        notes.add(f"{path.name}: has a line with names, but none of a case; add one for each, or take the file away")
    return Table(columns=tuple(names[1:]), rows=tuple(_each_once(path, rows, notes)))


def write_metadata(path: Path, rows: Mapping[str, Mapping[str, str]]) -> None:
    """Write a table of cases, the columns in the order in which they come first.

    Args:
        rows: By case, what is known of it by column; of text as may stand in a cell.
    """
    columns = list(dict.fromkeys(name for known in rows.values() for name in known))
    lines = [
        ("case", *columns),
        *((case, *(known.get(name, "n/a") for name in columns)) for case, known in rows.items()),
    ]
    if columns:
        write_bytes(path, "".join("\t".join(cells) + "\n" for cells in lines).encode())


def _lines(path: Path, notes: Notes) -> list[Line] | None:
    """All lines that hold anything; None where the file is no text."""
    try:
        content = read_bytes(path)
    except StorageError as error:
        notes.add(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        notes.add(
            f"{path.name}: line {line}: byte {error.start} of the file is no text in UTF-8; save the table as UTF-8"
        )
        return None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(number, line.split("\t")) for number, line in enumerate(lines, start=1) if line.strip()]


def _is_header(path: Path, header: Line, notes: Notes) -> bool:
    """Whether the first line names columns, each once."""
    number, names = header
    where, before = f"{path.name}: line {number}", len(notes.faults)
    if len(names) < 2:
        notes.add(
            f"{where}: names a single column, {names[0]!a:.100}; separate the columns by tabs, the first one names the case"
        )
    for column, name in enumerate(names, start=1):
        if not name.strip():
            notes.add(f"{where}: column {column} has no name; give it one, or take the column out", kind="nameless")
        elif fault := _fault_of(name):
            notes.add(f"{where}: the name {name!a} of column {column} {fault}", kind=f"name {fault}")
        elif name != PATIENT and name.casefold() == PATIENT:
            notes.add(f"{where}: column {name!a} would be read as {PATIENT} only in small letters; write it so")
    double = [name for name, times in Counter(names).items() if times > 1 and name.strip()]
    if double:
        notes.add(f"{where}: names more than one column {first_few(double)}; name each column differently")
    return len(notes.faults) == before


def _row(path: Path, line: Line, names: Sequence[str], notes: Notes) -> Row | None:
    number, cells = line
    where, before = f"{path.name}: line {number}", len(notes.faults)
    if len(cells) != len(names):
        found = f"{where}: {counted(len(cells), 'cell')}, where {counted(len(names), 'column is', 'columns are')} named"
        few = len(cells) < len(names)
        remedy = (
            "write every cell, n/a where nothing is known" if few else "take out what is too much, or name its column"
        )
        notes.add(f"{found}; {remedy}", kind=f"cells {few}")
        return None
    if not cells[0].strip():
        notes.add(f"{where}: names no case; write its name into the first column", kind="no case")
    for name, cell in zip(names, cells, strict=True):
        if fault := _fault_of(cell):
            notes.add(f"{where}: the cell {cell!a:.100} in column {name} {fault}", kind=f"cell {fault}")
    if len(notes.faults) > before:
        return None
    known = [(name, cell) for name, cell in zip(names[1:], cells[1:], strict=True) if cell not in UNKNOWN]
    return Row(line=number, case=cells[0], known=tuple(known))


def _fault_of(cell: str) -> str | None:
    """What no name and no value may look like; None where it is neither."""
    if cell != cell.strip():
        return "begins or ends with a blank; take it out"
    if cell.startswith('"'):
        return "stands in quotation marks, which this kind of table does not have; take them out"
    if not cell.isprintable():
        return "holds a character that cannot be shown; take it out, and save the table as UTF-8"
    return None


def _each_once(path: Path, rows: Sequence[Row], notes: Notes) -> Iterator[Row]:
    first: dict[str, Row] = {}
    for row in rows:
        if row.case in first:
            notes.add(
                f"{path.name}: line {row.line}: case {readable(row.case)} stands in line {first[row.case].line} already; "
                "keep one of the two",
                kind="twice",
            )
            continue
        first[row.case] = row
        yield row
