"""A selection: which models predict a task's new images together, what is done afterwards, and what to expect of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.errors import ModelError
from autoseg.files.model_folder import ModelKey
from autoseg.files.records import RecordFormat, is_record, read_record, write_record
from autoseg.files.storage import LATER
from autoseg.inference.fusion import Fusion
from autoseg.postprocessing.rules import Rule
from autoseg.words import counted

FORMAT = RecordFormat(
    number=1,
    what="a selection",
    error=ModelError,
    another="install a matching version or select again",
    damaged="run autoseg_find_best_configuration again",
)
PART_OF_A_NAME = re.compile(r"\w[\w.-]*")
"""Of a folder of results: nothing that leaves it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One trained model.

    Attributes:
        trainer: Name of its class.
        plans: Name of its plans.
        folds: Whose networks are averaged.
    """

    configuration: str
    trainer: str
    plans: str
    folds: tuple[str, ...]

    def key(self, task: str) -> ModelKey:
        """Which model of a task it is."""
        return ModelKey(task=task, configuration=self.configuration, trainer=self.trainer, plans=self.plans)

    def __post_init__(self) -> None:
        for name in (self.configuration, self.trainer, self.plans, *self.folds):
            if not PART_OF_A_NAME.fullmatch(name):
                raise ModelError(f"{name!r} names no model; run autoseg_find_best_configuration again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """By how much the winner's Dice is above the runner-up's.

    Attributes:
        low, high: 95 % bootstrap interval of the difference on the same cases; None where there is one patient only.
        more_than_noise: Whether the interval lies above 0.
    """

    runner_up: str
    difference: float
    low: float | None
    high: float | None
    more_than_noise: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What `autoseg_find_best_configuration` chose.

    Attributes:
        version: Of the autoseg that wrote it.
        task: Folder's name.
        name: Of the candidate that won.
        members: One model, or several whose probabilities are averaged.
        rules: Postprocessing of the labels, whatever the members' own is.
        expected_dice: Mean over the labels above background of the mean Dice over cases, each predicted by networks and
            postprocessed by rules that did not see it; None where no label has a score.
        interval: 95 % bootstrap interval of it.
        lead: None where there was one candidate only, or nothing to compare by.
        scores: The Dice of every candidate.
        folds, cases: What all candidates were compared on.
        incomplete: What was missing, a line each.
        sources: For each candidate the hash of what its score was made from.
        fusion: How much each member has to say; None: all alike.
    """

    version: str
    task: str
    name: str
    members: tuple[Member, ...]
    rules: tuple[Rule, ...]
    expected_dice: float | None
    interval: tuple[float, float] | None
    lead: Lead | None
    scores: Mapping[str, float | None]
    folds: tuple[str, ...]
    cases: int
    incomplete: tuple[str, ...]
    sources: Mapping[str, str]
    fusion: Fusion | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if not self.members or any(not member.folds for member in self.members):
            raise ModelError(
                f"{self.task}: a selection needs at least one model, each with at least one fold; "
                "run autoseg_find_best_configuration again"
            )
        if self.fusion is not None and len(self.fusion.sources) != len(self.members):
            raise ModelError(
                f"{self.task}: a fusion of {counted(len(self.fusion.sources), 'source')} for "
                f"{counted(len(self.members), 'model')}; run autoseg_find_best_configuration again"
            )


def save_selection(selection: Selection, path: Path) -> None:
    """Write a selection.json."""
    write_record(path, selection, FORMAT)


def is_selection(path: Path) -> bool:
    """Whether a file is a selection.json that autoseg wrote, of any version."""
    return is_record(path, "members")


def load_selection(path: Path) -> Selection:
    """Read a selection.json.

    Raises:
        ModelError: It is missing, of another version, or damaged; the field is named.
    """
    if not path.is_file():
        raise ModelError(f"{path}: nothing is selected yet; run autoseg_find_best_configuration")
    return read_record(path, Selection, FORMAT)
