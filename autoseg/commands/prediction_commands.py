"""The command lines that predict new images with a selection: in one command, and the same step by step."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.models import DEFAULT_TRAINER
from autoseg.commands.next_steps import OUTPUT, model_words, predict_words
from autoseg.paths import Workspace
from autoseg.plans import DEFAULT_IDENTIFIER, load_plans

if TYPE_CHECKING:
    from autoseg.ensembling.selection import Member, Selection


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
    steps = [(*step, *everywhere) for step in _steps(selection, workspace, trainers, postprocessing)]
    return ["# in one command", shlex.join(best), "", "# or step by step", *map(shlex.join, steps)]


def _steps(
    selection: Selection, workspace: Workspace, trainers: Mapping[str, str], postprocessing: Path | None
) -> list[tuple[str, ...]]:
    single = len(selection.members) == 1
    steps: dict[Member, tuple[str, ...]] = {}
    outputs = {member: OUTPUT if single else _own_output(member) for member in selection.members}
    for member in sorted(
        selection.members, key=lambda member: _previous(member, selection.task, workspace) is not None
    ):
        options: tuple[str, ...] = ()
        if previous := _previous(member, selection.task, workspace):
            known = next((one for one in steps if _same_model(one, previous)), None)
            if known is None:
                known = previous
                outputs[known] = _own_output(known)
                steps[known] = _predict(known, selection.task, outputs[known], trainers, "--disable_postprocessing")
            options = ("-l", outputs[known])
        if not single:
            options = (*options, "--save_npz", "--disable_postprocessing")
        elif postprocessing is None:
            options = (*options, "--disable_postprocessing")
        steps[member] = _predict(member, selection.task, outputs[member], trainers, *options)
    commands = list(steps.values())
    if not single:
        rules = ("-pp", str(postprocessing)) if postprocessing is not None and selection.rules else ()
        folders = [outputs[member] for member in selection.members]
        commands.append(("autoseg_ensemble", "-f", *folders, "-o", OUTPUT, *rules))
    return commands


def _predict(member: Member, task: str, output: str, trainers: Mapping[str, str], *options: str) -> tuple[str, ...]:
    model = model_words(trainers.get(member.trainer, member.trainer), member.plans)
    return predict_words(task, "-m", member.configuration, *model, "-f", *member.folds, *options, output=output)


def _own_output(member: Member) -> str:
    other = "" if member.trainer == DEFAULT_TRAINER else f"_{member.trainer}"
    return f"{OUTPUT}_{member.configuration}{other}" + (
        "" if member.plans == DEFAULT_IDENTIFIER else f"_{member.plans}"
    )


def _previous(member: Member, task: str, workspace: Workspace) -> Member | None:
    """The model of the stage before a cascade, with all its trained folds."""
    from autoseg.ensembling.selection import Member

    folder = workspace.model_dir(task, member.configuration, member.trainer, member.plans)
    configuration = load_plans(folder / "plans.pkl").configuration(member.configuration).previous
    if configuration is None:
        return None
    before = workspace.model_dir(task, configuration, member.trainer, member.plans)
    folds = sorted(path.parent.name.removeprefix("fold_") for path in before.glob("fold_*/weights_final.pt"))
    return Member(
        configuration=configuration, trainer=member.trainer, plans=member.plans, folds=tuple(folds) or member.folds
    )


def _same_model(one: Member, other: Member) -> bool:
    return (one.configuration, one.trainer, one.plans) == (other.configuration, other.trainer, other.plans)
