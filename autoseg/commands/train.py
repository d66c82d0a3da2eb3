"""`autoseg_train`: one fold of one configuration, trained and validated."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.arguments import CONFIGURATIONS, TASK_HELP, add_device, add_plans_name
from autoseg.commands.handed_on import training_options
from autoseg.commands.running import (
    Command,
    Parser,
    build_parser,
    say_next,
)
from autoseg.commands.values import configuration_name, fold, not_negative, positive, positive_number
from autoseg.errors import DiskError, Interrupted
from autoseg.files.layout import DEFAULT_PLANS
from autoseg.files.model_folder import FoldFolder, ModelKey
from autoseg.paths import Workspace
from autoseg.terminal.messages import tell
from autoseg.terminal.signals import stop_request

if TYPE_CHECKING:
    from autoseg.evaluation.summary import Summary
    from autoseg.training import Trainer, TrainingSettings


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument("configuration", metavar="CONFIGURATION", type=configuration_name, help=CONFIGURATIONS)
    parser.add_argument(
        "trainer",
        metavar="TRAINER",
        help="Trainer, another of documentation/variants.md, my_recipe.json, or my_file.py:MyTrainer for a class of your own",
    )
    parser.add_argument("task", metavar="TASK", help=TASK_HELP)
    parser.add_argument(
        "fold",
        metavar="FOLD",
        type=fold,
        help="0 to 4 (or as many as your own splits have), or all: every case trains and validates",
    )
    _add_run_arguments(parser.add_argument_group("what to do"))
    recipe = parser.add_argument_group("the recipe (each wins over the trainer's own)")
    _add_numbers(recipe)
    _add_computing(recipe)
    _add_watching(recipe)
    add_device(parser)


def _add_run_arguments(group: argparse._ArgumentGroup) -> None:
    earlier = group.add_mutually_exclusive_group()
    earlier.add_argument(
        "-c",
        dest="resume",
        action="store_true",
        help="continue from the last checkpoint, with its settings unless others are given; start anew where there is none",
    )
    earlier.add_argument(
        "--overwrite",
        action="store_true",
        help="discard what was trained in this fold before, once the new training has saved its state",
    )
    group.add_argument(
        "--own_settings",
        action="store_true",
        help="with -c: what is not given is the trainer's own, not the continued training's (as autoseg_run asks for)",
    )
    group.add_argument(
        "-val", dest="validate_only", action="store_true", help="only validate, with the weights there are"
    )
    group.add_argument(
        "--valbest",
        action="store_true",
        help="validate with the best weights rather than the final ones, into validation_raw_best",
    )
    group.add_argument(
        "--find_lr",
        action="store_true",
        help="train nothing, but try learning rates from tiny to huge, on at most 1000 batches, draw lr_finder.png and suggest one",
    )
    group.add_argument("--npz", action="store_true", help="keep the validation's probabilities, for ensembles")
    add_plans_name(group, f"name of the plans to train with (default: {DEFAULT_PLANS})")
    group.add_argument(
        "-pretrained_weights",
        metavar="FILE",
        type=Path,
        help="weights_final.pt of another training to start from; the output layers start anew",
    )


def _add_numbers(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--epochs", metavar="N", type=positive, help="how many to train (default: the trainer's, 1000)")
    group.add_argument(
        "--iterations_per_epoch",
        metavar="N",
        type=positive,
        help="training batches of an epoch (default: the trainer's, 250)",
    )
    group.add_argument("--batch_size", metavar="N", type=positive, help="patches in a batch (default: the plan's)")
    group.add_argument(
        "--learning_rate", metavar="X", type=positive_number, help="of the first epoch (default: the trainer's, 0.01)"
    )
    group.add_argument(
        "--seed",
        metavar="N",
        type=not_negative,
        help="decides initial weights and every sample (default: drawn, and kept; 0 with --deterministic)",
    )
    group.add_argument(
        "--deterministic",
        action="store_true",
        help="compute so that the same command gives the same weights in every bit; on a GPU slower",
    )


def _add_computing(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--num_workers",
        metavar="N",
        type=not_negative,
        help="processes that prepare batches (default: as the device needs)",
    )
    group.add_argument(
        "--no_compile",
        action="store_true",
        help="do not let torch.compile make long trainings on a GPU of NVIDIA faster (it is left out where it fails, too)",
    )
    group.add_argument(
        "--checkpoint_minutes",
        metavar="X",
        type=positive_number,
        default=10.0,
        help="save the state within an epoch, too, when the last time is so long ago (default: 10)",
    )


def _add_watching(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--trackers",
        metavar="CLASS",
        nargs="+",
        help="classes that get the numbers of every epoch, my_file.py:MyTracker or package.module:Tracker",
    )
    group.add_argument(
        "--histograms", action="store_true", help="give TensorBoard histograms of weights and gradients, too"
    )
    group.add_argument(
        "--pause_after",
        metavar="N",
        type=positive,
        help="stop after so many epochs, with nothing validated, to be continued with -c (as autoseg_compare_recipes does)",
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Train and validate, or only validate; whatever is said stands in training.log, too."""
    from autoseg.training.fold.display import remembering, training_log

    with remembering():
        fold = _train_or_validate(arguments, workspace)
        if fold is not None:
            with training_log(fold.log):
                pass  # adds what was said since it was closed


def _train_or_validate(arguments: argparse.Namespace, workspace: Workspace) -> FoldFolder | None:
    """Do what is asked for; the fold's folder where it has a training.log."""
    from autoseg.jobs.next_training import after_training, training_with_rate
    from autoseg.networks import limit_threads
    from autoseg.training import TrainingSettings, build_trainer
    from autoseg.training.fold.folder import require_untrained

    settings = TrainingSettings(
        epochs=arguments.epochs,
        iterations_per_epoch=arguments.iterations_per_epoch,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        deterministic=arguments.deterministic,
        compile=not arguments.no_compile,
        precision=arguments.precision,
        workers=arguments.num_workers,
        checkpoint_minutes=arguments.checkpoint_minutes,
        pause_after=arguments.pause_after,
        trackers=tuple(arguments.trackers or ()),
        histograms=arguments.histograms,
        pretrained_weights=arguments.pretrained_weights,
    )
    limit_threads()
    task = workspace.find_task(arguments.task)
    key = ModelKey.named(task, arguments.configuration, arguments.trainer, arguments.plans)
    if arguments.resume and not arguments.own_settings:
        settings = _as_before(settings, workspace.model(key).fold(arguments.fold), arguments.device)
    trainer = build_trainer(key, arguments.fold, workspace, settings=settings, device=arguments.device)
    if arguments.find_lr:
        rate = suggest_learning_rate(trainer)
        if not trainer.fold.checkpoint.is_file():
            options = training_options(build_parser(COMMAND, COMMAND.name), arguments)
            say_next(training_with_rate(rate, key, arguments.fold, options), home=arguments.home)
        return None
    if not (arguments.validate_only or arguments.resume or arguments.overwrite):
        wish = " --valbest" * arguments.valbest + " --npz" * arguments.npz
        require_untrained(trainer.fold, advice=f"; to only validate what it left, -val{wish}" if wish else "")
    tell(trainer.describe())
    if arguments.validate_only:
        validate(trainer, best=arguments.valbest, probabilities=arguments.npz)
    else:
        with continued_with_c(trainer):
            train(trainer, resume=arguments.resume, overwrite=arguments.overwrite, command=arguments.command_line)
            if arguments.pause_after and not trainer.fold.weights().is_file():
                return trainer.fold
            validate(trainer, best=arguments.valbest, probabilities=arguments.npz)
    options = training_options(build_parser(COMMAND, COMMAND.name), arguments, trainer.fold)
    say_next(*after_training(key, arguments.fold, workspace, options), home=arguments.home)
    return trainer.fold


def _as_before(settings: TrainingSettings, fold: FoldFolder, device: str | None) -> TrainingSettings:
    """What `-c` goes on with: the settings of the training that it continues, unless others are given."""
    from autoseg.networks import resolve_device
    from autoseg.training.fold.continuing import settings_to_continue

    return settings_to_continue(settings, fold, device=resolve_device(device).type)


@contextmanager
def continued_with_c(trainer: Trainer) -> Iterator[None]:
    """Say so where a signal or a full disk ends the work at once: the very same command would be refused."""
    try:
        yield
    except DiskError as error:
        raise DiskError(f"{error}; the last checkpoint is whole, then continue with -c") from error
    except KeyboardInterrupt as stop:
        if isinstance(stop.__cause__, Interrupted):
            raise
        raise type(stop)(f"{trainer.output}: stopped at once; continue with -c") from stop


def train(trainer: Trainer, *, resume: bool = False, overwrite: bool = False, command: Sequence[str] = ()) -> None:
    """Train to the end, or until Ctrl-C or SIGTERM, after which the state is saved and the error says how to go on."""
    with stop_request() as stop_requested:
        trainer.run(resume=resume, overwrite=overwrite, should_stop=stop_requested, command=command)


def validate(trainer: Trainer, *, best: bool = False, probabilities: bool = False) -> Summary:
    """Predict and score the fold's validation cases, and print the means."""
    from autoseg.reporting.scores import score_table
    from autoseg.training.workspace import require_left_out

    require_left_out(trainer)
    summary = trainer.validate(checkpoint="best" if best else "final", save_probabilities=probabilities)
    tell(score_table(summary, trainer.target.labels))
    tell(f"written: {trainer.output}")
    return summary


def suggest_learning_rate(trainer: Trainer) -> float:
    """Try learning rates, print the one to start with, and return it."""
    from autoseg.training import learning_rate_finder

    result = learning_rate_finder.find_learning_rate(trainer)
    print(f"suggested: --learning_rate {result.suggestion:.2g}; lr_finder.png shows the loss at every rate")
    print(f"written: {trainer.output}")
    return result.suggestion


COMMAND = main = Command(
    name="autoseg_train",
    summary="train one fold of one configuration, then predict and score its validation cases",
    reads="preprocessed/TaskXXX_Name: plans, prepared cases, splits_final.json (made by the first training);\n"
    "for 3d_cascade_fullres also the validation_raw of every fold of 3d_lowres",
    writes="results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/fold_<k>/: weights_final.pt, weights_best.pt,\n"
    "checkpoint.pt, training.log, progress.png, history.json and .csv, architecture.txt and .png, run.json,\ndebug.json, "
    "validation_raw/ with predictions and summary.json, which of 3d_lowres are what 3d_cascade_fullres learns from",
    example="autoseg_train 3d_fullres Trainer 4 0\n"
    "autoseg_train 3d_fullres Trainer 4 0 -c        (then: go on after an interruption)\n"
    "autoseg_train 3d_fullres my_recipe.json 4 0   (what differs from the default; autoseg_make_recipe writes one)\n"
    "autoseg_train 2d my_recipes.py:ShortTrainer Task004 all --epochs 100 -device cuda",
    add_arguments=add_arguments,
    run=run,
)
