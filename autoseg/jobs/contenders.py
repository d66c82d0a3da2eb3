"""What is compared: recipes, and combinations of what a recipe file lists to be tried, each with its trainings as steps of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoseg.errors import ExtensionError
from autoseg.files.layout import DEFAULT_PLANS, FULL, is_recipe_file
from autoseg.files.model_folder import FoldFolder, ModelFolder, ModelKey
from autoseg.jobs.asked import Wanted, prepare_work
from autoseg.jobs.configurations import planned_configurations
from autoseg.jobs.steps import Step
from autoseg.jobs.workflow import PLAN, Configuration, StepOptions, Work, training_name, training_steps
from autoseg.paths import Workspace
from autoseg.planning.planned import load_planned
from autoseg.training.choice import find_trainer
from autoseg.training.fold.history import read_history
from autoseg.training.recipes.tries import has_tries, write_tried

EARLY_SHARE = 0.25
"""Of the epochs, after which the worse half of what is tried goes no further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What is to be compared.

    Attributes:
        task: Folder's name.
        recipes: As trainers are named: `TrainerDice`, `my_recipe.json`; files may list values, `{"try": [...]}`.
        folds: That are trained; none for all.
        random: How many combinations of each file's values are drawn; None for all.
        early_share: Of the epochs, after which the worse half of what is tried goes no further; 1 trains all to the end.
        epochs: That were asked for, where the recipes' own are not taken.
        everywhere: Options that every step's command gets.
        training: Options of training.
    """

    task: str
    recipes: tuple[str, ...]
    configuration: str = FULL
    plans: str = DEFAULT_PLANS
    folds: tuple[str, ...] = ()
    random: int | None = None
    early_share: float = EARLY_SHARE
    epochs: int | None = None
    everywhere: tuple[str, ...] = ()
    training: StepOptions = field(default_factory=StepOptions)

    def __post_init__(self) -> None:
        if not 0 < self.early_share <= 1:
            raise ExtensionError(f"early_share: above 0 and at most 1, found {self.early_share}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A recipe on its way.

    Attributes:
        name: Of its model and, where there is one, of its file.
        chosen: What a combination chose, where its name only counts: `learning_rate_0.01-loss_gamma_2.0`; else "".
        pause: Epochs after which it is judged for the first time; None where it is trained to the end in any case.
        epochs: That it is trained for.
        steps: Its trainings, one for each fold.
        before: Those of the configuration that it follows.
    """

    name: str
    chosen: str
    model: ModelFolder
    folds: tuple[str, ...]
    pause: int | None
    epochs: int
    steps: tuple[Step, ...]
    before: tuple[Step, ...]
    work: Work
    configurations: tuple[Configuration, ...]

    @property
    def last_steps(self) -> tuple[Step, ...]:
        """Training to the end."""
        if self.pause is None:
            return self.steps
        # what the pause left is gone on with; what was of other settings is set aside before anything runs
        return tuple(
            replace(step, needs=(*step.needs, first.name), replaces=None)
            for step, first in zip(self.steps, self.first_steps, strict=True)
        )

    @property
    def first_steps(self) -> tuple[Step, ...]:
        """Training until it pauses, which has no part in estimates of the time left: half of what follows is not known."""
        if self.pause is None:
            return ()
        return tuple(
            replace(_until(self.pause, step), products=(self.model.fold(fold).history,), find_products=tuple, kind="")
            for fold, step in zip(self.folds, self.steps, strict=True)
        )

    def folders(self) -> tuple[FoldFolder, ...]:
        return tuple(self.model.fold(fold) for fold in self.folds)

    def early_dice(self) -> float | None:
        """The moving average after its pause, the mean over folds."""
        values = []
        for fold in self.folders():
            records = read_history(fold)[: self.pause]
            values.append(records[-1].dice_average if records else None)
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None


def part_named(name: str, training: Step) -> Step | None:
    """A contender's training, or the beginning of it, to whatever epoch, if it is called so."""
    pause = name.removeprefix(_BEGINNING.format(training.name))
    if name == training.name:
        return training
    return _until(int(pause), training) if pause != name and pause.isdecimal() else None


_BEGINNING = "{} to epoch "


def _until(pause: int, training: Step) -> Step:
    words = ("--pause_after", str(pause))
    return replace(
        training,
        name=f"{_BEGINNING.format(training.name)}{pause}",
        argv=(*training.argv, *words),
        settings=(*(training.settings or ()), *words),
    )


def lists_values(asked: Compared) -> bool:
    """Whether a recipe file lists values to try."""
    return any(is_recipe_file(one) and has_tries(Path(one)) for one in asked.recipes)


def find_contenders(asked: Compared, workspace: Workspace) -> list[Contender]:
    """Each recipe with its trainings, combinations of what is tried each with a file of its own, which is written.

    Raises:
        PlanError: The configuration is not planned.
        ExtensionError: There is no such recipe, or two of one name, or a file's lists are none.
    """
    key = ModelKey(task=asked.task, configuration=asked.configuration, plans=asked.plans)
    load_planned(key, workspace).configuration(asked.configuration)
    references: dict[str, str | None] = {}
    for reference in asked.recipes:
        is_file = is_recipe_file(reference) and Path(reference).is_file()
        if is_file and has_tries(Path(reference)):
            tried = write_tried(Path(reference), workspace.task(asked.task).tried, number=asked.random)
            references |= {str(file): chosen if len(tried) > 1 else None for file, chosen in tried.items()}
        else:
            references[reference] = None
    found = [_contender(asked, reference, workspace, chosen) for reference, chosen in references.items()]
    names = [one.name for one in found]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ExtensionError(
            f"two recipes are called {twice[0]}; their models would share a folder, so rename one file"
        )
    if len(found) < 2:
        raise ExtensionError(
            f"{asked.task}: one recipe alone cannot be compared; name another, or list values to try in it"
        )
    return found


def _contender(asked: Compared, reference: str, workspace: Workspace, chosen: str | None) -> Contender:
    """Args: chosen: What one of several combinations chose; None for a recipe that is not one of them."""
    recipe = find_trainer(reference).recipe
    epochs = asked.epochs or recipe.epochs
    pause = max(1, math.ceil(asked.early_share * epochs))
    work = _work(asked, reference, workspace)
    configurations = planned_configurations(work, workspace, [asked.configuration])
    named = {
        training_name(one.model.key, fold): f"train {one.model.key.name} fold {fold}"
        for one in configurations
        for fold in one.folds
    }
    steps = {step.name: _renamed(step, named, work) for step in training_steps(work, configurations)}
    own = next(one for one in configurations if one.name == asked.configuration)
    mine = {training_name(own.model.key, fold) for fold in own.folds}
    name = own.model.key.trainer
    return Contender(
        name=name,
        chosen=chosen if chosen and not name.endswith(chosen) else "",
        model=own.model,
        folds=own.folds,
        pause=pause if chosen is not None and pause < epochs else None,
        epochs=epochs,
        steps=tuple(step for name, step in steps.items() if name in mine),
        before=tuple(step for name, step in steps.items() if name not in mine),
        work=work,
        configurations=tuple(configurations),
    )


def _work(asked: Compared, reference: str, workspace: Workspace) -> Work:
    wanted = Wanted(
        task=asked.task,
        trainer=reference,
        plans=asked.plans,
        folds=asked.folds,
        everywhere=asked.everywhere,
        training=asked.training,
    )
    return prepare_work(workspace, wanted)


def _renamed(step: Step, named: Mapping[str, str], work: Work) -> Step:
    """A training under the name of its model, of which a run may have several; the task is prepared."""
    words = tuple(word for word in step.settings or () if word != work.trainer)  # wherever the file lies
    needs = tuple(named[need] for need in step.needs if need != PLAN)
    return replace(step, name=named[step.name], needs=needs, settings=words)


def number_going_on(judged: Sequence[Contender]) -> int:
    """Of so many that were tried, the better half; of an odd number the greater half."""
    return math.ceil(len(judged) / 2)


def worse_half(judged: Sequence[Contender]) -> list[Contender]:
    """Those of the lowest Dice so far, the best of them first; of an odd number the smaller half."""
    dice = {one.name: one.early_dice() for one in judged}
    ordered = sorted(judged, key=lambda one: -math.inf if (value := dice[one.name]) is None else value, reverse=True)
    return ordered[number_going_on(judged) :]
