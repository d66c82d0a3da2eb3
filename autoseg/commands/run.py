"""`autoseg_run`: from a raw task to the best model and its archive, in steps that survive any interruption."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from autoseg.commands.arguments import (
    TASK_HELP,
    configuration_name,
    fold_number,
    folder,
)
from autoseg.commands.folds import warn_of_folds, why_no_folds
from autoseg.commands.next_steps import predict_words, say_next
from autoseg.commands.patients import add_patients, write_patients
from autoseg.commands.running import CTRL_C, Command, Parser, run_command
from autoseg.commands.work import (
    LAUNCHER,
    SET_BY_THE_RUN,
    expected_configurations,
    make_work,
    model_folder,
    passed_on,
    planned_configurations,
)
from autoseg.errors import AutosegError, Interrupted, PlanError, TrainingError
from autoseg.files.layout import (
    DEFAULT_TRAINER,
    LOCK_FILE,
    USUAL_CONFIGURATIONS,
    ModelFolder,
)
from autoseg.files.locking import hold_lock
from autoseg.jobs.digests import plan_digest
from autoseg.jobs.runner import Runner, set_aside
from autoseg.jobs.steps import Step
from autoseg.jobs.telling import GOOD, header, summary_table
from autoseg.jobs.workflow import CODE_SEPARATOR, Configuration, Work, all_steps, preparation_steps, training_name
from autoseg.paths import Workspace
from autoseg.words import agreeing, counted


def add_arguments(parser: Parser) -> None:
    """The command's own options, and those that it passes on to the steps."""
    parser.add_argument("-t", dest="task", metavar="TASK", required=True, help=TASK_HELP)
    parser.add_argument(
        "-m",
        dest="configurations",
        metavar="CONFIGURATION",
        nargs="+",
        type=configuration_name,
        help=f"{', '.join(USUAL_CONFIGURATIONS)} (default: all that are planned)",
    )
    parser.add_argument(
        "--folds",
        metavar="FOLD",
        nargs="+",
        type=fold_number,
        help="folds to train; of 3d_lowres a cascade needs all, so these are trained in any case (default: all)",
    )
    parser.add_argument(
        "-tr",
        dest="trainer",
        metavar="TRAINER",
        default=DEFAULT_TRAINER,
        help=f"{DEFAULT_TRAINER}, or my_file.py:MyTrainer (default: {DEFAULT_TRAINER})",
    )
    parser.add_argument(
        "-p",
        dest="plans",
        metavar="NAME",
        help="name of the plans, and in the folders of the models (default: autoseg, or the name of your own planner)",
    )
    parser.add_argument(
        "-o",
        dest="archive",
        metavar="FILE.zip",
        type=folder,
        help="the model archive (default: TaskXXX_Name.zip in results/runs/TaskXXX_Name)",
    )
    add_patients(parser)
    parser.add_argument("--dry_run", action="store_true", help="say which steps are done and which would run, and end")
    for command in SET_BY_THE_RUN:
        group = parser.add_argument_group(f"passed on to {command}")
        for action in passed_on(command):
            group._add_action(action)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Run what is not done, or only say what that is."""
    work = make_work(arguments, workspace)
    if arguments.patients and not arguments.dry_run:
        write_patients(work.task, workspace, arguments.patients)
    say_what_folds_miss(work, workspace)
    if arguments.dry_run:
        describe(work, workspace, arguments.configurations)
        return
    with hold_lock(workspace.task(work.task).run_folder / LOCK_FILE, f"autoseg_run of {work.task}"):
        carry_out(work, workspace, arguments.configurations)
    say_next(predict_words(work.task, "--best"), home=arguments.home)
    say_next(("autoseg_install_model", str(work.archive)), where=" elsewhere")


def carry_out(work: Work, workspace: Workspace, wanted: Sequence[str] | None) -> None:
    """Run the steps; once the plans are there, it is known what is trained.

    Raises:
        PlanError: A wanted configuration is not planned.
        AutosegError: Steps failed; all that do not depend on them are done.
        Interrupted: Stopped by a signal or time limit.
        KeyboardInterrupt: Stopped by Ctrl-C.
    """
    runner = Runner(workspace.task(work.task).run_folder, sys.stdout)
    preparation = preparation_steps(work)
    steps = known_steps(work, workspace, wanted)
    runner.run(preparation, total=len(steps) if len(steps) > len(preparation) else None)
    if all(step.name in runner.outcomes and runner.outcomes[step.name].state in GOOD for step in preparation):
        configurations = planned_configurations(work, workspace, wanted)
        set_aside_what_changed(work, workspace, configurations)
        steps = all_steps(work, configurations)
        say_what_is_trained(work, configurations, steps, runner)
    runner.run(steps, total=len(steps))
    _finish(work, runner, steps)


def say_what_is_trained(
    work: Work, configurations: Sequence[Configuration], steps: Sequence[Step], runner: Runner
) -> None:
    """How many trainings are left; how long one takes, its first batches tell."""
    trainings = {training_name(one.name, fold) for one in configurations for fold in one.folds}
    left = sum(step.name in trainings and not runner.decide(step).done for step in steps)
    if left > 1:
        print(
            f"{work.task}: {counted(left, 'training follows', 'trainings follow')}, one after the other; where one "
            "takes long, it says how long once its "
            "first batches are done"
        )


def say_what_folds_miss(work: Work, workspace: Workspace) -> None:
    """Before hours of work: a task of which no folds can be made is refused, folds that leave cases out are told.

    Raises:
        TrainingError: The cases are too few.
    """
    if reason := why_no_folds(work.task, workspace):
        raise TrainingError(f'{reason}, one entry {{"train": [...], "val": [...]}} for each fold')
    warn_of_folds(work.task, workspace)


def known_steps(work: Work, workspace: Workspace, wanted: Sequence[str] | None) -> tuple[Step, ...]:
    """All steps, as far as one can know them before the task is planned (as is asked for now)."""
    try:
        return all_steps(work, planned_configurations(work, workspace, wanted))
    except PlanError:
        if not wanted:
            return preparation_steps(work)
        return all_steps(work, expected_configurations(work, workspace, wanted))


def describe(work: Work, workspace: Workspace, wanted: Sequence[str] | None) -> None:
    """Print every step: whether it is done, and otherwise why it runs and its command line."""
    runner = Runner(workspace.task(work.task).run_folder, sys.stdout)
    steps = known_steps(work, workspace, wanted)
    complete = len(steps) > len(preparation_steps(work))
    waiting: set[str] = set()
    for number, step in enumerate(steps, start=1):
        decision = runner.decide(step)
        if decision.done:
            before = waiting.intersection(step.needs)
            remark = decision.reason + ("; again if what it reads changes before" if before else "")
        else:
            waiting.add(step.name)
            kept = decision.anew and step.replaces is not None and step.replaces.exists()
            remark = f"to run: {decision.reason}" + ("; what is there is kept aside" if kept else "")
        print(header(number, len(steps) if complete else None, step.name, remark))
        if not decision.done:
            print(f"    {_by_hand(step)}")
    print(_done(len(steps) - len(waiting), len(steps)))
    if not complete:
        print("then everything that the plans hold is trained, the best is chosen and packed")


def set_aside_what_changed(work: Work, workspace: Workspace, configurations: Sequence[Configuration]) -> None:
    """Move away models that were trained with other plans or code of the user's, which the folds of a model share."""
    code = _code_of(work.trainer)
    for one in configurations:
        model = model_folder(one.name, work, workspace)
        if reason := _other_plans_or_code(one, model, code):
            kept = set_aside(model.folder, workspace.task(work.task).set_aside, name=one.name)
            print(f"{one.name}: {reason}, which is kept in {kept}; it is trained anew")


def _other_plans_or_code(one: Configuration, model: ModelFolder, code: Mapping[str, str]) -> str | None:
    from autoseg.training.run_record import other_code

    then, now = plan_digest(model.plans_file, one.name), plan_digest(one.plans_file, one.name)
    if None not in (then, now) and then != now:
        return "planned otherwise than what is trained"
    changes = next(other_code(model.fold_folders(), model.key.trainer, code), None) if code else None
    return f"{'; '.join(changes[1])} since what is there was trained" if changes else None


def _code_of(trainer: str) -> dict[str, str]:
    """Of a trainer in the user's own file; nothing of ours, for which torch need not be imported."""
    if CODE_SEPARATOR not in trainer:
        return {}
    from autoseg.training import find_trainer
    from autoseg.training.recipe_record import own_code

    return own_code(find_trainer(trainer))


def _done(some: int, steps: int, state: str = "done") -> str:
    return f"{some} of {counted(steps, 'step')} {agreeing(some, 'is', 'are')} {state}"


def _finish(work: Work, runner: Runner, steps: Sequence[Step]) -> None:
    done = sum(runner.outcomes[step.name].state in GOOD for step in steps if step.name in runner.outcomes)
    if runner.stopped is not None:
        message = f"stopped, {_done(done, len(steps))}; run the same command again to go on"
        raise KeyboardInterrupt(message) if runner.stopped == CTRL_C else Interrupted(message)
    print(f"\n{summary_table(steps, runner.outcomes)}\n")
    if done < len(steps):
        raise AutosegError(
            f"{work.task}: {_done(len(steps) - done, len(steps), 'not done')}; put right what is named above and run "
            "the same command again, what is done is kept"
        )
    print(f"{work.task}: the selection is {work.selection}\n{work.task}: the model is {work.archive}")


def _by_hand(step: Step) -> str:
    """The command line, with the program as a user knows it."""
    return shlex.join(("autoseg", *step.argv[len(LAUNCHER) :]))


COMMAND = Command(
    name="autoseg_run",
    summary="everything from a raw task to the best model and its archive; stopped anywhere, it continues",
    reads="raw_data/TaskXXX_Name: dataset.json, imagesTr, labelsTr",
    writes="what its steps write: verify_dataset, plan_and_preprocess, train (every configuration and fold, with --npz),\n"
    "find_best_configuration, export_model; and results/runs/TaskXXX_Name with journal.json, logs/, the archive,\n"
    "and replaced/, where models go that other settings, plans or data have outdated.\n"
    "A finished step is left alone as long as its settings, what it reads and what it made are the same.",
    example="autoseg_run -t 4\n"
    "autoseg_run -t 4 --dry_run\n"
    "autoseg_run -t 4 -m 2d 3d_fullres --folds 0 1 --epochs 100 -device cuda -o hippocampus.zip",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
