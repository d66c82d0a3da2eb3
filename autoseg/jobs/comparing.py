"""Recipes held against each other: what is missing is trained in steps of a run, then all are compared on the same cases.

Of combinations that a recipe file lists to be tried, the worse half goes no further after a share of the epochs
(successive halving, once: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from autoseg.dataset.description import known_facts
from autoseg.ensembling.recipe_comparison import ModelComparison, compare_models
from autoseg.errors import AutosegError, ExtensionError
from autoseg.files.layout import DEFAULT_PLANS, FULL, LOCK_FILE, is_recipe_file
from autoseg.files.locking import hold_lock
from autoseg.files.model_folder import FoldFolder, ModelFolder, ModelKey
from autoseg.jobs.asked import Wanted, prepare_work
from autoseg.jobs.carrying_out import require_not_stopped, say_what_folds_miss, set_aside_what_changed
from autoseg.jobs.configurations import planned_configurations
from autoseg.jobs.runner import Runner
from autoseg.jobs.steps import Step
from autoseg.jobs.telling import GOOD
from autoseg.jobs.workflow import PLAN, Configuration, StepOptions, Work, training_name, training_steps
from autoseg.paths import Workspace
from autoseg.planning.planned import load_planned
from autoseg.training.choice import find_trainer
from autoseg.training.fold.history import read_history
from autoseg.training.fold.run_record import read_run_record
from autoseg.training.recipes.tries import has_tries, write_tried
from autoseg.words import counted

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
class TrainingCost:
    """What the training of a fold took, the mean over folds; None where that is not known.

    Attributes:
        seconds: Of the epochs.
        memory: Bytes of the process, on a GPU of its memory, at most, in any fold.
        parameters: That training changed.
    """

    seconds: float
    memory: int | None
    parameters: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A combination that went no further.

    Attributes:
        epochs: After how many.
        dice: Moving average of the Dice of patches then, the mean over folds.
    """

    name: str
    epochs: int
    dice: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipesCompared:
    """What came of it.

    Attributes:
        comparison: Of those that were trained to the end.
        costs: Of each of them, by name.
        stopped: Combinations that went no further, the best first.
        failed: Names of recipes whose training failed.
    """

    comparison: ModelComparison
    costs: Mapping[str, TrainingCost]
    stopped: tuple[Stopped, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A recipe on its way.

    Attributes:
        pause: Epochs after which it is judged for the first time; None where it is trained to the end in any case.
        steps: Its trainings, one for each fold.
        before: Those of the configuration that it follows.
    """

    name: str
    model: ModelFolder
    folds: tuple[str, ...]
    pause: int | None
    steps: tuple[Step, ...]
    before: tuple[Step, ...]
    work: Work
    configurations: tuple[Configuration, ...]

    @property
    def last_steps(self) -> tuple[Step, ...]:
        """Training to the end."""
        if self.pause is None:
            return self.steps
        # what the pause left is gone on with; were it of other settings, the step before would have set it aside
        return tuple(
            replace(step, needs=(*step.needs, first.name), replaces=None)
            for step, first in zip(self.steps, self.first_steps, strict=True)
        )

    @property
    def first_steps(self) -> tuple[Step, ...]:
        """Training until it pauses."""
        if self.pause is None:
            return ()
        words = ("--pause_after", str(self.pause))
        return tuple(
            replace(
                step,
                name=f"{step.name} to epoch {self.pause}",
                argv=(*step.argv, *words),
                settings=(*(step.settings or ()), *words),
                products=(self.model.fold(fold).history,),
                find_products=tuple,
                kind=f"{step.kind} paused",
            )
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


def compare_recipes(asked: Compared, workspace: Workspace, output: TextIO) -> RecipesCompared:
    """Train what is missing, and compare; stopped anywhere, the same call goes on. One run of a task at a time.

    Args:
        output: Is told about every step, and gets the steps' own output.

    Raises:
        PlanError: The configuration is not planned.
        ExtensionError: There is no such recipe, or two of one name, or a file's lists are none.
        TrainingError: The task's cases are too few for folds.
        AutosegError: Nothing could be trained.
        Interrupted: Stopped by a signal or time limit.
        KeyboardInterrupt: Stopped by Ctrl-C.
    """
    candidates = _candidates(asked, workspace)
    task = workspace.task(asked.task)
    with hold_lock(task.run_folder / LOCK_FILE, f"autoseg_run of {asked.task}"):
        _set_aside(candidates, workspace, output)
        runner = Runner(task.run_folder, output)
        judged = [one for one in candidates if one.pause is not None]
        first = [step for one in judged for step in (*one.before, *one.first_steps)]
        runner.run(first, total=None)
        require_not_stopped(runner, first)
        stopped = _worse_half([one for one in judged if _is_good(runner, one.first_steps)])
        _tell(judged, stopped, output)
        going_on = [one for one in candidates if one not in stopped]
        begun = {step.name for step in first}
        later = [step for one in going_on for step in (*one.before, *one.last_steps) if step.name not in begun]
        steps = [*first, *later]
        runner.run(steps, total=len(steps))
        require_not_stopped(runner, steps)
        done = [one for one in going_on if _is_good(runner, one.last_steps)]
    if not done:
        raise AutosegError(f"{asked.task}: no recipe could be trained; put right what is named above and start again")
    return RecipesCompared(
        comparison=compare_models({one.name: one.model for one in done}, done[0].folds, known_facts(task.raw)),
        costs={one.name: _cost(one) for one in done},
        stopped=tuple(Stopped(name=one.name, epochs=one.pause or 0, dice=one.early_dice()) for one in stopped),
        failed=tuple(one.name for one in going_on if one not in done),
    )


def _candidates(asked: Compared, workspace: Workspace) -> list[_Candidate]:
    """Each recipe with its trainings, combinations of what is tried each with a file of its own."""
    key = ModelKey(task=asked.task, configuration=asked.configuration, plans=asked.plans)
    load_planned(key, workspace).configuration(asked.configuration)
    references: dict[str, bool] = {}
    for reference in asked.recipes:
        is_file = is_recipe_file(reference) and Path(reference).is_file()
        if is_file and has_tries(Path(reference)):
            files = write_tried(Path(reference), workspace.task(asked.task).tried, number=asked.random)
            references |= {str(file): len(files) > 1 for file in files}
        else:
            references[reference] = False
    found = [_candidate(asked, reference, workspace, tried=tried) for reference, tried in references.items()]
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


def _candidate(asked: Compared, reference: str, workspace: Workspace, *, tried: bool) -> _Candidate:
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
    return _Candidate(
        name=own.model.key.trainer,
        model=own.model,
        folds=own.folds,
        pause=pause if tried and pause < epochs else None,
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


def _set_aside(candidates: Sequence[_Candidate], workspace: Workspace, output: TextIO) -> None:
    """Move away models that were trained with other plans, or by another recipe of the same name."""
    say_what_folds_miss(candidates[0].work, workspace)
    for one in candidates:
        set_aside_what_changed(one.work, workspace, one.configurations, output)


def _is_good(runner: Runner, steps: Sequence[Step]) -> bool:
    return all(step.name in runner.outcomes and runner.outcomes[step.name].state in GOOD for step in steps)


def _worse_half(judged: Sequence[_Candidate]) -> list[_Candidate]:
    """Those of the lowest Dice so far, the best of them first; of an odd number the smaller half."""
    dice = {one.name: one.early_dice() for one in judged}
    ordered = sorted(judged, key=lambda one: -math.inf if (value := dice[one.name]) is None else value, reverse=True)
    return ordered[math.ceil(len(ordered) / 2) :]


def _tell(judged: Sequence[_Candidate], stopped: Sequence[_Candidate], output: TextIO) -> None:
    if stopped:
        names = ", ".join(one.name for one in stopped)
        print(
            f"{counted(len(stopped), 'combination goes', 'combinations go')} no further, of {len(judged)}: {names}",
            file=output,
        )


def _cost(candidate: _Candidate) -> TrainingCost:
    seconds = [sum(record.seconds for record in read_history(fold)) for fold in candidate.folders()]
    records = [record for fold in candidate.folders() if (record := read_run_record(fold)) is not None]
    memory = [record.memory for record in records if record.memory is not None]
    return TrainingCost(
        seconds=sum(seconds) / len(seconds),
        memory=max(memory, default=None),
        parameters=next((record.parameters for record in records if record.parameters is not None), None),
    )
