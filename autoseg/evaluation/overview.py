"""The Dice of every label over the cases of a folder: of predictions, or of a model's folds, each and together, of its views, and of a selection."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoseg.errors import WorkspaceError
from autoseg.evaluation.summary import Summary, load_summary
from autoseg.files.layout import CANDIDATES_FILE, SUMMARY_FILE
from autoseg.files.model_folder import FoldFolder, ModelFolder
from autoseg.files.storage import write_bytes
from autoseg.plans import load_plans

POOLED = "all folds"
OVERALL = "mean of labels"
METRIC = "Dice"
HEADS = ("part", "label", "mean", "std", "min", "max", "n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The Dice of a label, or the mean of all labels of each case, in a part of the cases; None where there is none.

    Attributes:
        part: A fold, a view, or all together.
        n: Cases that have one.
    """

    part: str
    label: str
    mean: float | None
    std: float | None
    minimum: float | None
    maximum: float | None
    n: int


def overview_of_folder(folder: Path, names: Sequence[str] = ()) -> tuple[Line, ...]:
    """Of a folder that was scored.

    Args:
        names: Of the labels, the index is the label; numbers stand for those that have none.

    Raises:
        WorkspaceError: Nothing was scored there.
    """
    path = folder / SUMMARY_FILE
    if not path.is_file():
        raise WorkspaceError(
            f"{folder}: no {SUMMARY_FILE} here; score it with autoseg_evaluate_folder, or name the folder of a model"
        )
    return tuple(_lines("", load_summary(path), names))


def overview_of_model(model: ModelFolder) -> tuple[Line, ...]:
    """Of a model's cross-validation: all folds together, each fold, and over all folds each view.

    Raises:
        WorkspaceError: Nothing was validated.
    """
    plans = load_plans(model.plans_file)
    folds = {fold.fold: fold for fold in model.fold_folders()}
    scored = {name: found for name, fold in folds.items() if (found := _summary(fold.validation())) is not None}
    if not scored:
        raise WorkspaceError(f"{model.folder}: no fold was validated; train one, or validate it with `validate`")
    parts: dict[str, Summary] = {POOLED: pooled(list(scored.values()))} if len(scored) > 1 else {}
    parts |= {f"fold {name}": summary for name, summary in scored.items()}
    for number, (z, y, x) in enumerate(plans.configuration(model.key.configuration).directions):
        if swept := _of_view(folds, number):
            parts[f"view ({z:.3f}, {y:.3f}, {x:.3f})"] = pooled(swept)
    return tuple(line for part, summary in parts.items() for line in _lines(part, summary, plans.target.labels))


def overview_of_selection(folder: Path) -> tuple[Line, ...]:
    """Of a task's selection: what each candidate scored in cross-validation, the best first, as it would be shipped.

    Raises:
        WorkspaceError: Nothing was selected there.
    """
    path = folder / CANDIDATES_FILE
    if not path.is_file():
        raise WorkspaceError(
            f"{folder}: no {CANDIDATES_FILE} beside the selection; run autoseg_find_best_configuration again"
        )
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    cases = {
        row["candidate"]: max(int(one["n"] or 0) for one in rows if one["candidate"] == row["candidate"])
        for row in rows
    }
    return tuple(
        Line(
            part=row["candidate"],
            label=row["name"] if row["label"] else OVERALL,
            mean=_number(row["mean"]),
            std=_number(row["std"]),
            minimum=_number(row["min"]),
            maximum=_number(row["max"]),
            n=int(row["n"] or cases[row["candidate"]]),
        )
        for row in rows
    )


def pooled(summaries: Sequence[Summary]) -> Summary:
    """All cases of several together."""
    return replace(summaries[0], cases=tuple(case for summary in summaries for case in summary.cases))


def save_overview(lines: Sequence[Line], path: Path) -> None:
    """Write a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADS)
    writer.writerows([line.part, line.label, line.mean, line.std, line.minimum, line.maximum, line.n] for line in lines)
    write_bytes(path, text.getvalue().encode())


def _number(text: str) -> float | None:
    return float(text) if text else None


def _of_view(folds: Mapping[str, FoldFolder], number: int) -> list[Summary]:
    return [found for fold in folds.values() if (found := _summary(fold.view(number))) is not None]


def _summary(folder: Path) -> Summary | None:
    path = folder / SUMMARY_FILE
    return load_summary(path) if path.is_file() else None


def _lines(part: str, summary: Summary, names: Sequence[str]) -> Iterator[Line]:
    columns = {label: [case.scores[label].get(METRIC) for case in summary.cases] for label in summary.labels}
    for label, values in columns.items():
        yield _line(part, names[label] if label < len(names) else str(label), values)
    if len(columns) > 1:
        rows = zip(*columns.values(), strict=True)
        yield _line(part, OVERALL, [_mean(row) for row in rows])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _line(part: str, label: str, values: Sequence[float | None]) -> Line:
    known = [value for value in values if value is not None]
    return Line(
        part=part,
        label=label,
        mean=_mean(values),
        std=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        minimum=min(known, default=None),
        maximum=max(known, default=None),
        n=len(known),
    )
