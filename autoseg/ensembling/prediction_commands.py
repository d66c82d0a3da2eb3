"""The command lines that predict new images with a selection: in one command, and the same step by step."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from autoseg.command_words import OUTPUT, Words, model_words, predict_words
from autoseg.ensembling.selection import Selection
from autoseg.files.layout import ALL, DEFAULT_PLANS, DEFAULT_TRAINER
from autoseg.files.model_folder import ModelKey
from autoseg.paths import Workspace
from autoseg.plans import load_plans


def prediction_commands(
    selection: Selection,
    workspace: Workspace,
    *,
    trainers: Mapping[str, str],
    postprocessing: Path | None,
    everywhere: Sequence[str] = (),
) -> list[str]:
    """Lines of a shell script, with `INPUT_FOLDER` and `OUTPUT_FOLDER` to be replaced.

    Args:
        trainers: How the user named each trainer's class, `my_file.py:MyTrainer`.
        postprocessing: The file with the selection's rules; None where no postprocessing is wanted.
        everywhere: Options that every command gets.
    """
    best = (*predict_words(selection.task, "--best"), *everywhere)
    if selection.fusion is not None:
        return [shlex.join(best)]  # no other command gives each member's outputs weights of their own
    steps = [(*step, *everywhere) for step in _steps(selection, workspace, trainers, postprocessing)]
    return ["# in one command", shlex.join(best), "", "# or step by step", *map(shlex.join, steps)]


def _steps(
    selection: Selection, workspace: Workspace, trainers: Mapping[str, str], postprocessing: Path | None
) -> list[Words]:
    folds = {member.key(selection.task): member.folds for member in selection.members}
    single = len(folds) == 1
    outputs = {key: OUTPUT if single else _own_output(key) for key in folds}
    before = {key: _previous(key, workspace) for key in folds}
    steps: dict[ModelKey, Words] = {}
    for key in sorted(folds, key=lambda key: before[key] is not None):
        options: Words = ()
        if previous := before[key]:
            if previous not in steps:
                outputs[previous] = _own_output(previous)
                trained = _numbered_folds(previous, workspace) or folds[key]
                steps[previous] = _predict(previous, trained, outputs[previous], trainers, "--disable_postprocessing")
            options = ("-l", outputs[previous])
        if not single:
            options = (*options, "--save_npz", "--disable_postprocessing")
        elif postprocessing is None:
            options = (*options, "--disable_postprocessing")
        steps[key] = _predict(key, folds[key], outputs[key], trainers, *options)
    commands = list(steps.values())
    if not single:
        rules = ("-pp", str(postprocessing)) if postprocessing is not None and selection.rules else ()
        commands.append(("autoseg_ensemble", "-f", *(outputs[key] for key in folds), "-o", OUTPUT, *rules))
    return commands


def _predict(key: ModelKey, folds: Sequence[str], output: str, trainers: Mapping[str, str], *options: str) -> Words:
    model = model_words(replace(key, reference=trainers.get(key.trainer, "")))
    return predict_words(key.task, "-m", key.configuration, *model, "-f", *folds, *options, output=output)


def _own_output(key: ModelKey) -> str:
    others = [name for name, usual in ((key.trainer, DEFAULT_TRAINER), (key.plans, DEFAULT_PLANS)) if name != usual]
    return "_".join((OUTPUT, key.configuration, *others))


def _previous(key: ModelKey, workspace: Workspace) -> ModelKey | None:
    """The model of the stage before a cascade."""
    previous = load_plans(workspace.model(key).plans_file).configuration(key.configuration).previous
    return None if previous is None else key.of(previous)


def _numbered_folds(key: ModelKey, workspace: Workspace) -> tuple[str, ...]:
    """All its trained folds."""
    return tuple(fold for fold in workspace.model(key).folds() if fold != ALL)
