"""Every score of a summary with all that is known of its case, a line for each label of each case: for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from autoseg.evaluation.summary import Summary
from autoseg.files.storage import write_bytes

CASE, LABEL = "case", "label"

LONGEST_LINE = 100_000
"""Of names of columns that is looked at."""


def score_lines(summary: Summary, names: Sequence[str] = ()) -> list[dict[str, object]]:
    """The lines, by their columns: the case, what is known of it, the label, its metrics; what is undefined is None.

    Args:
        names: Label names, the index is the number; without them labels are numbers.
    """
    columns = dict.fromkeys(column for case in summary.cases for column, _ in case.facts.known)
    return [
        {
            CASE: case.identifier,
            **{column: case.facts.get(column) for column in columns if column not in (CASE, LABEL)},
            LABEL: names[label] if label < len(names) else label,
            **case.scores[label],
        }
        for case in summary.cases
        for label in summary.labels
    ]


def save_score_lines(summary: Summary, path: Path, names: Sequence[str] = ()) -> None:
    """Write them as CSV (RFC 4180), the first line with the names of the columns."""
    lines = score_lines(summary, names)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]) if lines else [CASE, LABEL])
    writer.writeheader()
    writer.writerows(lines)
    write_bytes(path, text.getvalue().encode())


def are_score_lines(path: Path) -> bool:
    """Whether a file begins as one that was written here."""
    with path.open("rb") as file:
        columns = file.readline(LONGEST_LINE).strip().split(b",")
    return columns[0] == CASE.encode() and LABEL.encode() in columns and b"Dice" in columns
