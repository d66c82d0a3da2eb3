"""What comes after planning, and after each training: the next fold, the next configuration, the choice among all."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path

from autoseg.command_words import training_words
from autoseg.commands.arguments import spelt
from autoseg.commands.folds import why_no_folds
from autoseg.commands.next_steps import Words, model_words, predict_words
from autoseg.commands.running import Parser
from autoseg.dataset.splits import FOLDS
from autoseg.errors import WorkspaceError
from autoseg.files.layout import ALL, FULL, configurations_in, in_usual_order
from autoseg.files.locking import require_no_holder
from autoseg.files.model_folder import FoldFolder, ModelKey
from autoseg.files.storage import read_json
from autoseg.outputs import probabilities_file
from autoseg.paths import Workspace
from autoseg.plans import Plans, find_plans, load_plans

SUGGESTED_FIRST = FULL
"""Of the configurations that are planned; the others follow as alternatives."""

OF_ONE_FOLD = frozenset("help home verbose version plans resume overwrite own_settings validate_only find_lr".split())
"""What is not given again for the next fold, or is in any case."""

OF_THE_MACHINE = frozenset("npz device precision num_workers no_compile".split())
"""What may be given for a fold that is only continued or validated; the rest it keeps."""

Options = Mapping[str, Words]
"""Of a training, each as it stands on a command line, by its name in the parser."""


def training_options(parser: Parser, arguments: argparse.Namespace, fold: FoldFolder | None = None) -> Options:
    """The options for another training like this one: those that were given, or with which it began where it goes on.

    Args:
        fold: Where it was trained.
    """
    goes_on = fold is not None and (arguments.resume or arguments.validate_only)
    then = _parsed(parser, _first_command(fold)) if fold is not None and goes_on else None
    options = {}
    for action in parser._actions:
        if action.option_strings and action.dest not in OF_ONE_FOLD:
            words = spelt(action, getattr(arguments, action.dest))
            if words or then is not None:
                options[action.dest] = tuple(words or spelt(action, getattr(then, action.dest)))
    return options


def training_with_rate(rate: float, model: ModelKey, fold: str, options: Options) -> Words:
    """Training with a learning rate that was found."""
    chosen = {**options, "learning_rate": ("--learning_rate", f"{rate:.2g}")}
    return training_words(model, fold, *(word for words in chosen.values() for word in words))


def after_planning(
    task: str, all_plans: Sequence[Plans], workspace: Workspace, weights: Mapping[str, Path]
) -> list[Words]:
    """The first training of each configuration that is planned, or whatever of it is not done; a cascade's in its turn.

    Args:
        weights: For each configuration those of the task whose plans these are, to start from.
    """
    models = [
        ModelKey(task=task, configuration=name, plans=one.identifier)
        for one in all_plans
        for name in one.configurations
    ]
    order = in_usual_order(model.configuration for model in models)
    models.sort(key=lambda one: (one.configuration != SUGGESTED_FIRST, order.index(one.configuration)))
    trainings = []
    for model in models:
        start = weights.get(model.configuration)
        options = {} if start is None else {"pretrained_weights": ("-pretrained_weights", str(start))}
        trainings += _next_training(workspace, model, options)
    return trainings or [_conclusion(workspace, model) for model in models[:1]]


def after_training(model: ModelKey, fold: str, workspace: Workspace, options: Options) -> list[Words]:
    """The next fold that is not done, with the same options; after the last the configuration that refines what this one
    predicts, and else the choice among all. Meanwhile any trained fold can predict."""
    predict = predict_words(model.task, "-m", model.configuration, *model_words(model))
    if fold == ALL:
        return [(*predict, "-f", ALL)]
    plans = load_plans(find_plans(workspace.task(model.task), model.configuration, model.plans))
    refining = [name for name in plans.configurations if plans.configuration(name).previous == model.configuration]
    for one in (model, *map(model.of, refining)):
        if training := _next_training(workspace, one, options):
            return [*training, predict]
    return [_conclusion(workspace, model), predict]


def _next_training(workspace: Workspace, model: ModelKey, options: Options) -> list[Words]:
    """One command, or none where all is done, or is being done, or has to wait for the configuration before."""
    plans = load_plans(find_plans(workspace.task(model.task), model.configuration, model.plans))
    previous = plans.configuration(model.configuration).previous
    if previous is not None and _next_training(workspace, model.of(previous), {}):
        return []
    for fold in _folds(model.task, workspace):
        todo = _what_is_left(workspace.model(model).fold(fold))
        if todo is not None:
            given = [words for name, words in options.items() if not todo or name in OF_THE_MACHINE]
            return [training_words(model, fold, *todo, *(word for words in given for word in words))]
    return []


def _what_is_left(fold: FoldFolder) -> Words | None:
    """How a fold is trained on; None where it is done, or another process is at it."""
    try:
        require_no_holder(fold.folder)
    except WorkspaceError:
        return None
    if not fold.weights().is_file():
        return ("-c",) if is_begun(fold) else ()
    return None if fold.summary().is_file() else ("-val",)


def is_begun(fold: FoldFolder) -> bool:
    """Whether a training can go on there, and a new one would be refused."""
    return fold.checkpoint.is_file()


def _folds(task: str, workspace: Workspace) -> Sequence[str]:
    if why_no_folds(task, workspace):
        return (ALL,)
    path = workspace.task(task).splits
    content = read_json(path) if path.is_file() else None
    number = len(content) if isinstance(content, list) and content else FOLDS
    return [str(fold) for fold in range(number)]


def _conclusion(workspace: Workspace, model: ModelKey) -> Words:
    """The choice among all that the trainer trained by these plans; where no folds can be made, predicting with `all`."""
    if _folds(model.task, workspace) == (ALL,):
        return predict_words(model.task, "-m", model.configuration, *model_words(model), "-f", ALL)
    models = [workspace.model(model.of(name)) for name in configurations_in(workspace.results)]
    trained = [one for one in models if one.plans_file.is_file()]
    files = [path for one in trained for path in one.validated_cases()]
    # Several are also compared in pairs, for which every probability must be there.
    singly = len(trained) > 1 and not all(probabilities_file(path).is_file() for path in files)
    return (
        "autoseg_find_best_configuration",
        "-t",
        model.task,
        *model_words(model),
        *(("--disable_ensembling",) if singly else ()),
    )


def _first_command(fold: FoldFolder) -> Sequence[str]:
    """The words of the command that began a fold's training; none where it is not known."""
    from autoseg.training.fold.run_record import read_record

    record = read_record(fold)
    return record.sessions[0].command if record is not None and record.sessions else ()


def _parsed(parser: Parser, command: Sequence[str]) -> argparse.Namespace | None:
    """A command's arguments; None where they are not known, or no longer understood."""
    name = next((number for number, word in enumerate(command) if word in ("autoseg_train", "train")), None)
    if name is None:
        return None
    try:
        with redirect_stderr(io.StringIO()):
            parsed: argparse.Namespace = parser.parse_args(command[name + 1 :])
    except SystemExit:
        return None
    return parsed
