"""Names and numbers in columns, for tables that people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def in_columns(rows: Iterable[Sequence[str]], columns: str) -> list[str]:
    """Rows as lines, of which a short one ends early.

    Args:
        columns: Of each column its side and its least width, `"<5 >7"`; it is as wide as the longest of its cells.
    """
    table = list(rows)
    sides = [(column[0], int(column[1:])) for column in columns.split()]
    longest = [max((len(row[place]) for row in table if len(row) > place), default=0) for place in range(len(sides))]
    formats = [f"{side}{max(least, cell)}" for (side, least), cell in zip(sides, longest, strict=True)]
    return ["  ".join(map(format, row, formats)).rstrip() for row in table]


def in_decimals(value: float | None, digits: int = 4) -> str:
    """`0.9012`, or `-` where there is no value."""
    return "-" if value is None else f"{value:.{digits}f}"


def label_title(label: int, names: Sequence[str]) -> str:
    """`1 liver`, or `1` where it has no name.

    Args:
        names: Label names, the index is the value.
    """
    return f"{label} {names[label]}" if label < len(names) else str(label)
