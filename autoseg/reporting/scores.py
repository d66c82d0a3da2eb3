"""The scores of a folder of segmentations as a table to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoseg.dataset.conditions import require_columns
from autoseg.evaluation.summary import Summary
from autoseg.reporting.columns import in_columns, in_decimals, label_title

UNKNOWN = "n/a"

HAUSDORFF = "Hausdorff Distance 95"


def score_table(summary: Summary, names: Sequence[str] = ()) -> str:
    """A line for each label: cases in which it has a Dice, its mean and deviation, distances where measured, its volumes.

    Args:
        names: Label names, the index is the value.
    """
    measured = HAUSDORFF in summary.foreground_mean
    rows: list[tuple[str, ...]] = [
        ("label", "n", "Dice", "std", *(("HD95 mm", "n") if measured else ()), "true ml", "found ml")
    ]
    for label in summary.labels:
        number, mean, std = summary.number[label], summary.mean[label], summary.std[label]
        distance = (in_decimals(mean[HAUSDORFF], 2), str(number[HAUSDORFF])) if measured else ()
        volumes = [in_decimals(mean.get(f"Volume {image}"), 3) for image in ("Reference", "Test")]
        dice = in_decimals(mean["Dice"]), in_decimals(std["Dice"])
        rows.append((label_title(label, names), str(number["Dice"]), *dice, *distance, *volumes))
    if len(summary.labels) > 1:
        mean = summary.foreground_mean
        distance = ("", in_decimals(mean[HAUSDORFF], 2)) if measured else ()
        rows.append(("mean", "", in_decimals(mean.get("Dice")), *distance))
    return "\n".join(in_columns(rows, "<5 >5 >7 >7 >7 >5 >9 >9" if measured else "<5 >5 >7 >7 >9 >9"))


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
