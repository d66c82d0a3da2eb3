"""Recipes held against each other: what is missing is trained in steps of a run, then all are compared on the same cases.

Of combinations that a recipe file lists to be tried, the worse half goes no further after a share of the epochs
(successive halving, once: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from autoseg.dataset.description import known_facts
from autoseg.ensembling.recipe_comparison import ModelComparison, compare_models
from autoseg.errors import AutosegError
from autoseg.files.locking import require_no_holder
from autoseg.jobs.carrying_out import (
    describe_steps,
    hold_run,
    require_not_stopped,
    say_what_folds_miss,
    set_aside_what_changed,
    steps_are,
)
from autoseg.jobs.contenders import (
    Compared,
    Contender,
    find_contenders,
    lists_values,
    number_going_on,
    part_named,
    worse_half,
)
from autoseg.jobs.decision import StepDecision, decide
from autoseg.jobs.runner import Runner
from autoseg.jobs.steps import Step
from autoseg.jobs.telling import GOOD
from autoseg.paths import Workspace
from autoseg.training.fold.history import read_history
from autoseg.training.fold.run_record import read_run_record
from autoseg.words import agreeing, counted


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
        chosen: By name, what a combination chose whose name only counts.
        stopped: Combinations that went no further, the best first.
        failed: Names of recipes whose training failed.
    """

    comparison: ModelComparison
    costs: Mapping[str, TrainingCost]
    chosen: Mapping[str, str]
    stopped: tuple[Stopped, ...]
    failed: tuple[str, ...]


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
    task = workspace.task(asked.task)
    with hold_run(asked.task, workspace):
        contenders = find_contenders(asked, workspace)
        say_what_folds_miss(contenders[0].work, workspace)
        runner = Runner(task.run_folder, output)
        _set_aside(contenders, workspace, runner)
        judged = [one for one in contenders if one.pause is not None]
        _tell_the_way(contenders, judged, output)
        first, total = _first_steps(judged), _number_of_steps(contenders, judged)
        runner.run(first, total=total)
        require_not_stopped(runner, first, total=total)
        stopped = worse_half([one for one in judged if _is_good(runner, one.first_steps)])
        _tell_stopped(judged, stopped, output)
        going_on = [one for one in contenders if one not in stopped]
        steps = [*first, *_later_steps(going_on, first)]
        runner.run(steps, total=len(steps))
        require_not_stopped(runner, steps)
        done = [one for one in going_on if _is_good(runner, one.last_steps)]
    if not done:
        raise AutosegError(f"{asked.task}: no recipe could be trained; put right what is named above and start again")
    return RecipesCompared(
        comparison=compare_models({one.name: one.model for one in done}, done[0].folds, known_facts(task.raw)),
        costs={one.name: _cost(one) for one in done},
        chosen={one.name: one.chosen for one in contenders if one.chosen},
        stopped=tuple(Stopped(name=one.name, epochs=one.pause or 0, dice=one.early_dice()) for one in stopped),
        failed=tuple(one.name for one in going_on if one not in done),
    )


def describe_comparison(asked: Compared, workspace: Workspace, output: TextIO) -> None:
    """Tell every step that is known yet: whether it is done, and otherwise why it runs and its command line.

    Nothing is trained; the files of what is tried are written, so that the command lines can be run by hand.

    Raises:
        WorkspaceError: A run of the task is at work, and values are to be tried.
    """
    task = workspace.task(asked.task)
    if lists_values(asked):
        require_no_holder(task.run_folder)
    contenders = find_contenders(asked, workspace)
    say_what_folds_miss(contenders[0].work, workspace)
    runner = Runner(task.run_folder, output)
    changed = {
        step.name: decision
        for one in contenders
        for training in one.steps
        if (decision := _made_otherwise(training, runner))
        for step in (*one.first_steps, *one.steps)
        if part_named(step.name, training)
    }

    def decided(step: Step) -> StepDecision:
        return changed.get(step.name) or runner.decide(step)

    judged = [one for one in contenders if one.pause is not None]
    _tell_the_way(contenders, judged, output)
    first = _first_steps(judged)
    are_judged = all(decided(step).done for step in first)
    stopped = worse_half(judged) if are_judged else judged
    if are_judged:
        _tell_stopped(judged, stopped, output)
    steps = [*first, *_later_steps([one for one in contenders if one not in stopped], first)]
    total = len(steps) if are_judged else _number_of_steps(contenders, judged)
    waiting = describe_steps(steps, total, decided, output)
    print(steps_are(len(steps) - waiting, total), file=output)


def _first_steps(judged: Sequence[Contender]) -> list[Step]:
    return [step for one in judged for step in (*one.before, *one.first_steps)]


def _later_steps(going_on: Sequence[Contender], first: Sequence[Step]) -> list[Step]:
    begun = {step.name for step in first}
    return [step for one in going_on for step in (*one.before, *one.last_steps) if step.name not in begun]


def _number_of_steps(contenders: Sequence[Contender], judged: Sequence[Contender]) -> int:
    """With those of combinations of which it is not known yet which go on; all have as many."""
    first = _first_steps(judged)
    stopped = judged[number_going_on(judged) :]
    return len(first) + len(_later_steps([one for one in contenders if one not in stopped], first))


def _set_aside(contenders: Sequence[Contender], workspace: Workspace, runner: Runner) -> None:
    """Move away models of other plans, of another recipe of the same name, and trainings of other settings."""
    for one in contenders:
        set_aside_what_changed(one.work, workspace, one.configurations, runner.output)
        for step in one.steps:
            if (decision := _made_otherwise(step, runner)) and step.replaces and step.replaces.exists():
                print(f"{step.name}  ({decision.reason})", file=runner.output)
                runner.set_aside(step)


def _made_otherwise(training: Step, runner: Runner) -> StepDecision | None:
    """Why what is there of a training is no beginning of what is asked for now: the last attempt was another's.

    To which epoch that went does not matter, so that after a longer beginning than before it is gone on with.
    """
    attempts = [(part, one) for name, one in runner.journal.read().items() if (part := part_named(name, training))]
    if not attempts:
        return None
    part, last = max(attempts, key=lambda attempt: attempt[1].started)
    decision = decide(part, last, part.measure_inputs())
    return decision if decision.anew else None


def _is_good(runner: Runner, steps: Sequence[Step]) -> bool:
    return all(step.name in runner.outcomes and runner.outcomes[step.name].state in GOOD for step in steps)


def _tell_the_way(contenders: Sequence[Contender], judged: Sequence[Contender], output: TextIO) -> None:
    for one in contenders:
        if one.chosen:
            print(f"{one.name}: {one.chosen}", file=output)
    if judged:
        lengths = dict.fromkeys(f"{one.pause} of {counted(one.epochs, 'epoch')}" for one in judged)
        others = len(contenders) - len(judged)
        also = f", and so {agreeing(others, 'is', 'are')} {counted(others, 'other recipe')}" if others else ""
        print(
            f"{counted(len(judged), 'combination is', 'combinations are')} tried, first for {' or '.join(lengths)}; the better "
            f"{number_going_on(judged)} by the Dice of validation patches {agreeing(number_going_on(judged), 'is', 'are')} "
            f"then trained to the end{also}",
            file=output,
        )


def _tell_stopped(judged: Sequence[Contender], stopped: Sequence[Contender], output: TextIO) -> None:
    if stopped:
        names = ", ".join(one.name for one in stopped)
        print(
            f"{counted(len(stopped), 'combination goes', 'combinations go')} no further, of {len(judged)}: {names}",
            file=output,
        )


def _cost(contender: Contender) -> TrainingCost:
    seconds = [sum(record.seconds for record in read_history(fold)) for fold in contender.folders()]
    records = [record for fold in contender.folders() if (record := read_run_record(fold)) is not None]
    memory = [record.memory for record in records if record.memory is not None]
    return TrainingCost(
        seconds=sum(seconds) / len(seconds),
        memory=max(memory, default=None),
        parameters=next((record.parameters for record in records if record.parameters is not None), None),
    )
