"""What comes after planning, and after each training: the next fold, the next configuration, the choice among all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.command_words import Words, model_words, predict_words, training_words
from autoseg.dataset.task_folds import numbered_folds, why_no_folds
from autoseg.errors import WorkspaceError
from autoseg.files.layout import ALL, DEFAULT_PLANS, DEFAULT_TRAINER, FULL, configurations_in, in_usual_order
from autoseg.files.locking import require_no_holder
from autoseg.files.model_folder import FoldFolder, ModelKey
from autoseg.files.task_folder import TaskFolder
from autoseg.outputs import probabilities_file
from autoseg.paths import Workspace, find_models
from autoseg.plans import Plans, plans_for

SUGGESTED_FIRST = FULL
"""Of the configurations that are planned; the others follow as alternatives."""

OF_THE_MACHINE = frozenset("npz device precision num_workers no_compile".split())
"""What may be given for a fold that is only continued or validated; the rest it keeps."""

Options = Mapping[str, Words]
"""Of a training, each as it stands on a command line, by its name in the parser."""


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


def weights_to_start_from(plans_from: str | None, workspace: Workspace) -> dict[str, Path]:
    """For each configuration those of the task whose plans were taken, `TASK` or `TASK:PLANS`."""
    if plans_from is None:
        return {}
    task, _, plans_name = plans_from.partition(":")
    return {
        model.key.configuration: model.fold(model.folds()[0]).weights()
        for model in find_models(workspace.results, workspace.find_task(task))
        if model.folds() and (model.key.trainer, model.key.plans) == (DEFAULT_TRAINER, plans_name or DEFAULT_PLANS)
    }


def after_training(model: ModelKey, fold: str, workspace: Workspace, options: Options) -> list[Words]:
    """The next fold that is not done, with the same options; after the last the configuration that refines what this one
    predicts, and else the choice among all. Meanwhile any trained fold can predict."""
    predict = predict_words(model.task, "-m", model.configuration, *model_words(model))
    if fold == ALL:
        return [(*predict, "-f", ALL)]
    plans = plans_for(workspace.task(model.task), model.configuration, model.plans)
    refining = [name for name in plans.configurations if plans.configuration(name).previous == model.configuration]
    for one in (model, *map(model.of, refining)):
        if training := _next_training(workspace, one, options):
            return [*training, predict]
    return [_conclusion(workspace, model), predict]


def _next_training(workspace: Workspace, model: ModelKey, options: Options) -> list[Words]:
    """One command, or none where all is done, or is being done, or has to wait for the configuration before."""
    plans = plans_for(workspace.task(model.task), model.configuration, model.plans)
    previous = plans.configuration(model.configuration).previous
    if previous is not None and _next_training(workspace, model.of(previous), {}):
        return []
    for fold in _folds(workspace.task(model.task)):
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
        return ("-c",) if fold.checkpoint.is_file() else ()
    return None if fold.summary().is_file() else ("-val",)


def _folds(task: TaskFolder) -> Words:
    return (ALL,) if why_no_folds(task) else numbered_folds(task)


def _conclusion(workspace: Workspace, model: ModelKey) -> Words:
    """The choice among all that the trainer trained by these plans; where no folds can be made, predicting with `all`."""
    if _folds(workspace.task(model.task)) == (ALL,):
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
