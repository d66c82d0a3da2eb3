"""A run of a task, from raw images to an archive: the steps that are not done, told to whoever listens."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from autoseg.dataset.task_folds import warn_of_folds, why_no_folds
from autoseg.errors import AutosegError, Interrupted, PlanError, TrainingError
from autoseg.files.layout import LOCK_FILE, is_recipe_file
from autoseg.files.locking import hold_lock
from autoseg.files.model_folder import ModelFolder
from autoseg.jobs.asked import LAUNCHER
from autoseg.jobs.configurations import expected_configurations, model_folder, planned_configurations
from autoseg.jobs.decision import StepDecision
from autoseg.jobs.digests import plan_digest
from autoseg.jobs.runner import CTRL_C, Runner, set_aside
from autoseg.jobs.steps import Step
from autoseg.jobs.telling import GOOD, header, summary_table
from autoseg.jobs.workflow import CODE_SEPARATOR, Configuration, Work, all_steps, preparation_steps, training_name
from autoseg.paths import Workspace
from autoseg.words import agreeing, counted

if TYPE_CHECKING:
    from autoseg.training.recipes.record import RecipeRecord


def carry_out(work: Work, workspace: Workspace, wanted: Sequence[str] | None, output: TextIO) -> None:
    """Run the steps that are not done; once the plans are there, it is known what is trained. One run of a task at a time.

    Args:
        wanted: Configurations; None for all that are planned.
        output: Is told about every step, and gets the steps' own output.

    Raises:
        TrainingError: The task's cases are too few for folds.
        PlanError: A wanted configuration is not planned.
        AutosegError: Steps failed; all that do not depend on them are done.
        Interrupted: Stopped by a signal or time limit.
        KeyboardInterrupt: Stopped by Ctrl-C.
    """
    say_what_folds_miss(work, workspace)
    with hold_run(work.task, workspace):
        _carry_out(work, workspace, wanted, output)


@contextmanager
def hold_run(task: str, workspace: Workspace) -> Iterator[None]:
    """Hold the lock of a task's runs, of which comparisons are some; of what was refused at once no folder stays.

    Raises:
        WorkspaceError: Another run holds it.
    """
    what = f"autoseg_run or autoseg_compare_recipes of {task}"
    folder = workspace.task(task).run_folder
    try:
        with hold_lock(folder / LOCK_FILE, what):
            yield
    finally:
        with suppress(OSError):
            folder.rmdir()
            folder.parent.rmdir()


def _carry_out(work: Work, workspace: Workspace, wanted: Sequence[str] | None, output: TextIO) -> None:
    runner = Runner(workspace.task(work.task).run_folder, output)
    preparation = preparation_steps(work)
    steps = known_steps(work, workspace, wanted)
    runner.run(preparation, total=len(steps) if len(steps) > len(preparation) else None)
    if all(step.name in runner.outcomes and runner.outcomes[step.name].state in GOOD for step in preparation):
        configurations = planned_configurations(work, workspace, wanted)
        set_aside_what_changed(work, workspace, configurations, output)
        steps = all_steps(work, configurations)
        say_what_is_trained(work, configurations, steps, runner)
    runner.run(steps, total=len(steps))
    finish(work.task, runner, steps)
    print(f"{work.task}: the selection is {work.selection}\n{work.task}: the model is {work.archive}", file=output)


def say_what_folds_miss(work: Work, workspace: Workspace) -> None:
    """Before hours of work: a task of which no folds can be made is refused, folds that leave cases out are told.

    Raises:
        TrainingError: The cases are too few.
    """
    if reason := why_no_folds(workspace.task(work.task)):
        raise TrainingError(f'{reason}, one entry {{"train": [...], "val": [...]}} for each fold')
    warn_of_folds(workspace.task(work.task))


def say_what_is_trained(
    work: Work, configurations: Sequence[Configuration], steps: Sequence[Step], runner: Runner
) -> None:
    """How many trainings are left; how long one takes, its first batches tell."""
    trainings = {training_name(one.model.key, fold) for one in configurations for fold in one.folds}
    left = sum(step.name in trainings and not runner.decide(step).done for step in steps)
    if left > 1:
        print(
            f"{work.task}: {counted(left, 'training follows', 'trainings follow')}, one after the other; where one "
            "takes long, it says how long once its "
            "first batches are done",
            file=runner.output,
        )


def known_steps(work: Work, workspace: Workspace, wanted: Sequence[str] | None) -> tuple[Step, ...]:
    """All steps, as far as one can know them before the task is planned (as is asked for now)."""
    try:
        return all_steps(work, planned_configurations(work, workspace, wanted))
    except PlanError:
        if not wanted:
            return preparation_steps(work)
        return all_steps(work, expected_configurations(work, workspace, wanted))


def describe(work: Work, workspace: Workspace, wanted: Sequence[str] | None, output: TextIO) -> None:
    """Tell every step: whether it is done, and otherwise why it runs and its command line.

    Raises:
        TrainingError: The task's cases are too few for folds.
    """
    say_what_folds_miss(work, workspace)
    runner = Runner(workspace.task(work.task).run_folder, output)
    steps = known_steps(work, workspace, wanted)
    complete = len(steps) > len(preparation_steps(work))
    waiting = describe_steps(steps, len(steps) if complete else None, runner.decide, output)
    print(steps_are(len(steps) - waiting, len(steps)), file=output)
    if not complete:
        print("then everything that the plans hold is trained, the best is chosen and packed", file=output)


def describe_steps(
    steps: Sequence[Step], total: int | None, decide: Callable[[Step], StepDecision], output: TextIO
) -> int:
    """Tell each step, and the command line of those that would run; returns how many these are.

    Args:
        total: Of all steps, for the headers; None if that is not known yet.
        decide: Whether a step is done.
    """
    waiting: set[str] = set()
    for number, step in enumerate(steps, start=1):
        decision = decide(step)
        if decision.done:
            before = waiting.intersection(step.needs)
            remark = decision.reason + ("; again if what it reads changes before" if before else "")
        else:
            waiting.add(step.name)
            kept = decision.anew and step.replaces is not None and step.replaces.exists()
            remark = f"to run: {decision.reason}" + ("; what is there is kept aside" if kept else "")
        print(header(number, total, step.name, remark), file=output)
        if not decision.done:
            print(f"    {_by_hand(step)}", file=output)
    return len(waiting)


def set_aside_what_changed(
    work: Work, workspace: Workspace, configurations: Sequence[Configuration], output: TextIO
) -> None:
    """Move away models that were trained with other plans or code of the user's, which the folds of a model share."""
    recipe = _recipe_of(work.trainer)
    for one in configurations:
        model = model_folder(one.name, work, workspace)
        if reason := _other_plans_or_recipe(one, model, recipe):
            kept = set_aside(model.folder, workspace.task(work.task).set_aside, name=one.name)
            print(f"{one.name}: {reason}, which is kept in {kept}; it is trained anew", file=output)


def _other_plans_or_recipe(one: Configuration, model: ModelFolder, recipe: RecipeRecord | None) -> str | None:
    from autoseg.training.fold.run_record import other_recipes

    then, now = plan_digest(model.plans_file, one.name), plan_digest(one.plans_file, one.name)
    if None not in (then, now) and then != now:
        return "planned otherwise than what is trained"
    changes = next(other_recipes(model.fold_folders(), model.key.trainer, recipe), None) if recipe else None
    return f"{'; '.join(changes[1])} since what is there was trained" if changes else None


def _recipe_of(trainer: str) -> RecipeRecord | None:
    """Of a trainer in the user's own file; nothing of ours, for which torch need not be imported."""
    if CODE_SEPARATOR not in trainer and not is_recipe_file(trainer):
        return None
    from autoseg.training import find_trainer

    return find_trainer(trainer).record


def steps_are(some: int, steps: int, state: str = "done") -> str:
    """`2 of 5 steps are done`."""
    return f"{some} of {counted(steps, 'step')} {agreeing(some, 'is', 'are')} {state}"


def require_not_stopped(runner: Runner, steps: Sequence[Step], *, total: int | None = None) -> int:
    """How many steps are done, where nobody stopped the run.

    Args:
        total: Of all steps, where others follow.

    Raises:
        Interrupted: Stopped by a signal or time limit.
        KeyboardInterrupt: Stopped by Ctrl-C.
    """
    done = sum(runner.outcomes[step.name].state in GOOD for step in steps if step.name in runner.outcomes)
    if runner.stopped is not None:
        message = f"stopped, {steps_are(done, total or len(steps))}; run the same command again to go on"
        raise KeyboardInterrupt(message) if runner.stopped == CTRL_C else Interrupted(message)
    return done


def finish(name: str, runner: Runner, steps: Sequence[Step]) -> None:
    """Tell how every step of a work ended.

    Args:
        name: Of the work.

    Raises:
        AutosegError: Not all are done.
        Interrupted: Stopped by a signal or time limit.
        KeyboardInterrupt: Stopped by Ctrl-C.
    """
    done = require_not_stopped(runner, steps)
    print(f"\n{summary_table(steps, runner.outcomes)}\n", file=runner.output)
    if done < len(steps):
        raise AutosegError(
            f"{name}: {steps_are(len(steps) - done, len(steps), 'not done')}; put right what is named above and run "
            "the same command again, what is done is kept"
        )


def _by_hand(step: Step) -> str:
    """The command line, with the program as a user knows it."""
    return shlex.join(("autoseg", *step.argv[len(LAUNCHER) :]))
