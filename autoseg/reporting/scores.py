"""The scores of a folder of segmentations as a table to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autoseg.dataset.conditions import require_columns
from autoseg.evaluation.metrics import ABSOLUTE_ERROR, BETWEEN_RATERS, HAUSDORFF, LEFT_OUT, SOFT_DICE
from autoseg.evaluation.summary import Summary
from autoseg.reporting.columns import in_columns, in_decimals, label_title
from autoseg.words import counted

UNKNOWN = "n/a"


@dataclass(frozen=True, slots=True)
class Column:
    """A metric: what of it stands in a column, if the summary has it.

    Attributes:
        of: "mean", or "std", the deviation between cases, or "n", in how many cases it is defined.
    """

    title: str
    metric: str
    of: str = "mean"
    width: int = 7
    digits: int = 4

    def cell(self, values: Mapping[str, Mapping[str, float | None]]) -> str:
        """Of metrics by `of`; empty where there are none such."""
        if self.of not in values:
            return ""
        value = values[self.of].get(self.metric)
        return str(value) if self.of == "n" else in_decimals(value, self.digits)


SCORES = (
    Column("n", "Dice", of="n", width=5),
    Column("Dice", "Dice"),
    Column("std", "Dice", of="std"),
    Column("soft Dice", SOFT_DICE),
    Column("MAE", ABSOLUTE_ERROR),
    Column("raters", BETWEEN_RATERS),
    Column("n", BETWEEN_RATERS, of="n", width=5),
    Column("HD95 mm", HAUSDORFF, digits=2),
    Column("n", HAUSDORFF, of="n", width=5),
)
VOLUMES = (
    Column("true ml", "Volume Reference", width=9, digits=3),
    Column("found ml", "Volume Test", width=9, digits=3),
)
WITHOUT_SIZE = {
    "HD95 mm": Column("HD95 px", HAUSDORFF, digits=2),
    "true ml": Column("true 1000 px", "Volume Reference", width=13, digits=3),
    "found ml": Column("found 1000 px", "Volume Test", width=14, digits=3),
}
"""What columns are called where nothing says how large a pixel is."""


def score_table(summary: Summary, names: Sequence[str] = ()) -> str:
    """A line for each label: cases in which it has a Dice, its mean and deviation, what else was measured, its volumes.

    That is how near fractions are, how far several raters agree, and distances. Below stands how much nobody knows.

    Args:
        names: Label names, the index is the value.
    """
    mean, std, number, of_all = summary.mean, summary.std, summary.number, summary.foreground_mean
    called = WITHOUT_SIZE if summary.in_pixels else {}
    scores = [called.get(column.title, column) for column in SCORES if column.metric in of_all]
    columns = (*scores, *(called.get(column.title, column) for column in VOLUMES))
    rows = [("label", *(column.title for column in columns))]
    for label in summary.labels:
        values: dict[str, Mapping[str, float | None]] = {"mean": mean[label], "std": std[label], "n": number[label]}
        rows.append((label_title(label, names), *(column.cell(values) for column in columns)))
    if len(summary.labels) > 1:
        rows.append(("mean", *(column.cell({"mean": of_all}) for column in scores)))
    lines = in_columns(rows, " ".join(["<5", *(f">{column.width}" for column in columns)]))
    return "\n".join([*lines, *_left_out(summary, names)])


def table_by(summary: Summary, column: str, names: Sequence[str] = ()) -> str:
    """A line for each value of a column of metadata.tsv: its cases, the mean Dice of each label, and the mean of these.

    Raises:
        DatasetError: In no case anything is known in the column.
    """
    facts = {case.identifier: case.facts for case in summary.cases}
    require_columns([column], facts)
    values = sorted({case.facts.get(column) or UNKNOWN for case in summary.cases})
    rows = [(column, "n", *(label_title(label, names) for label in summary.labels), "mean")]
    for value in values:
        cases = tuple(case for case in summary.cases if (case.facts.get(column) or UNKNOWN) == value)
        part = replace(summary, cases=cases)
        dice = [in_decimals(part.mean[label]["Dice"]) for label in summary.labels]
        rows.append((value, str(len(cases)), *dice, in_decimals(part.foreground_mean.get("Dice"))))
    return "\n".join(in_columns(rows, " ".join(["<5", ">5", *[">7"] * (len(summary.labels) + 1)])))


def _left_out(summary: Summary, names: Sequence[str]) -> list[str]:
    """A line for each label of which something is left out because nobody knows it."""
    voxels = {
        label: round(sum(case.scores[label].get(LEFT_OUT) or 0 for case in summary.cases)) for label in summary.labels
    }
    return [
        f"{label_title(label, names)}: {counted(number, 'voxel')} left out, which nobody knows"
        for label, number in voxels.items()
        if number
    ]
