"""The trained models of a results folder: where they lie, which folds they have, how they scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoseg.errors import ModelError
from autoseg.evaluation.metrics import ABSOLUTE_ERROR, BETWEEN_RATERS, SOFT_DICE
from autoseg.evaluation.summary import Summary, load_summary
from autoseg.files.layout import ALL
from autoseg.files.model_folder import ModelFolder
from autoseg.files.storage import LATER, read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDice:
    """The Dice of one label over the validation cases in which it is defined.

    Attributes:
        std: Sample standard deviation; None below two cases.
        number: Cases that entered.
        soft_dice, absolute_error: How near fractions are; None where there are none.
        between_raters: The raters' own mean Dice; None where one drew each case.
    """

    label: int
    name: str
    mean: float | None
    std: float | None
    number: int
    soft_dice: float | None = field(default=None, metadata=LATER)
    absolute_error: float | None = field(default=None, metadata=LATER)
    between_raters: float | None = field(default=None, metadata=LATER)


def load_cross_validation(model: ModelFolder, folds: Sequence[str]) -> tuple[tuple[str, ...], Summary | None]:
    """The folds that were scored on cases they were not trained on, and these scores together.

    Fold `all` is left out: it knows its validation cases.

    Raises:
        StorageError: A summary.json is damaged.
        ModelError: Folds were scored on different labels.
    """
    scored = tuple(fold for fold in folds if fold != ALL and model.fold(fold).summary().is_file())
    if not scored:
        return (), None
    summaries = [load_summary(model.fold(fold).summary()) for fold in scored]
    if any(summary.labels != summaries[0].labels for summary in summaries):
        raise ModelError(f"{model.folder}: the folds were scored on different labels; run `Trainer.validate` anew")
    return scored, replace(summaries[0], cases=tuple(case for summary in summaries for case in summary.cases))


def dice_by_label(summary: Summary | None, names: Sequence[str]) -> tuple[LabelDice, ...]:
    """The Dice of each label above background; empty where nothing was scored.

    Args:
        names: Label names, the index is the value.
    """
    if summary is None or not summary.cases:
        return ()
    mean, std, number = summary.mean, summary.std, summary.number
    return tuple(
        LabelDice(
            label=label,
            name=names[label] if label < len(names) else str(label),
            mean=mean[label]["Dice"],
            std=std[label]["Dice"],
            number=number[label]["Dice"],
            soft_dice=mean[label].get(SOFT_DICE),
            absolute_error=mean[label].get(ABSOLUTE_ERROR),
            between_raters=mean[label].get(BETWEEN_RATERS),
        )
        for label in summary.labels
        if label != 0
    )


def selected_configurations(selection: Path) -> frozenset[str]:
    """The configurations that a selection.json names as its members."""
    content = read_json(selection)
    names: list[Any] = [content.get("members")] if isinstance(content, dict) else []
    found = set()
    while names:
        entry = names.pop()
        if isinstance(entry, dict) and isinstance(name := entry.get("configuration"), str):
            found.add(name)
        elif isinstance(entry, (list, dict)):
            names += entry.values() if isinstance(entry, dict) else entry
    return frozenset(found)
