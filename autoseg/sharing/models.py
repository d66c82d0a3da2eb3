"""The trained models of a results folder: where they lie, which folds they have, how they scored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoseg.errors import ModelError
from autoseg.evaluation.summary import Summary, load_summary
from autoseg.files.storage import read_json
from autoseg.plans import CONFIGURATIONS
from autoseg.sharing.members import SUMMARY

TASK_FOLDER = re.compile(r"Task\d{3,}_.+")
MODEL_FOLDER = re.compile(r"(?P<trainer>.+?)__(?P<identifier>.+)")
FOLD_FOLDER = re.compile(r"fold_(\d{1,2})|(all)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """One trained configuration: `folder` is `<results>/<configuration>/<task>/<trainer>__<identifier>`."""

    folder: Path
    configuration: str
    task: str
    trainer: str
    identifier: str

    @property
    def archived_name(self) -> str:
        """Its place in an archive."""
        return f"results/{self.configuration}/{self.task}/{self.folder.name}"

    def folds(self, checkpoint: str = "final") -> tuple[str, ...]:
        """The folds that hold weights: "0", "1", ..., then "all"."""
        found = [FOLD_FOLDER.fullmatch(path.parent.name) for path in self.folder.glob(f"*/weights_{checkpoint}.pt")]
        return tuple(sorted((match[1] or match[2] for match in found if match), key=lambda fold: (len(fold), fold)))

    def fold_folder(self, fold: str) -> Path:
        """Where a fold lies."""
        return self.folder / (fold if fold == "all" else f"fold_{fold}")

    def training_command(self, fold: str) -> str:
        """The command that trains one fold of it."""
        return f"autoseg_train {self.configuration} {self.trainer} {self.task} {fold} -p {self.identifier}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDice:
    """The Dice of one label over the validation cases in which it is defined.

    Attributes:
        std: Sample standard deviation; None below two cases.
        number: Cases that entered.
    """

    label: int
    name: str
    mean: float | None
    std: float | None
    number: int


def find_models(results: Path, task: str | None = None) -> tuple[ModelFolder, ...]:
    """All folders of trained models, in the order of configurations; of one task where it is named."""
    return tuple(
        ModelFolder(folder=folder, configuration=configuration, task=folder.parent.name, **match.groupdict())
        for configuration in CONFIGURATIONS
        for folder in sorted((results / configuration).glob(f"{task or 'Task*'}/*__*"))
        if folder.is_dir() and TASK_FOLDER.fullmatch(folder.parent.name)
        if (match := MODEL_FOLDER.fullmatch(folder.name))
    )


def load_cross_validation(model: ModelFolder, folds: Sequence[str]) -> tuple[tuple[str, ...], Summary | None]:
    """The folds that were scored on cases they were not trained on, and these scores together.

    Fold `all` is left out: it knows its validation cases.

    Raises:
        StorageError: A summary.json is damaged.
        ModelError: Folds were scored on different labels.
    """
    scored = tuple(fold for fold in folds if fold != "all" and (model.fold_folder(fold) / SUMMARY).is_file())
    if not scored:
        return (), None
    summaries = [load_summary(model.fold_folder(fold) / SUMMARY) for fold in scored]
    if any(summary.labels != summaries[0].labels for summary in summaries):
        raise ModelError(f"{model.folder}: the folds were scored on different labels; run autoseg_train ... -val anew")
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
        if isinstance(entry, (list, dict)):
            names += entry.values() if isinstance(entry, dict) else entry
        elif entry in CONFIGURATIONS:
            found.add(entry)
    return frozenset(found)
