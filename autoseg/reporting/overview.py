"""An overview of scores as text."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.evaluation.overview import HEADS, Line


def overview_table(lines: Sequence[Line]) -> str:
    """A line a label and part; the part is said once."""
    rows = [HEADS, *(_cells(line) for line in lines)]
    before = ""
    shown = []
    for row in rows:
        shown.append(("" if row[0] == before else row[0], *row[1:]))
        before = row[0]
    widths = [max(len(row[column]) for row in shown) for column in range(len(HEADS))]
    texts = [
        "  ".join(_aligned(cell, width, at) for at, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in shown
    ]
    return "\n".join(text.rstrip() for text in texts)


def _aligned(cell: str, width: int, column: int) -> str:
    return f"{cell:<{width}}" if column < len(("part", "label")) else f"{cell:>{width}}"


def _cells(line: Line) -> tuple[str, ...]:
    numbers = (line.mean, line.std, line.minimum, line.maximum)
    return (line.part, line.label, *("-" if one is None else f"{one:.4f}" for one in numbers), str(line.n))
