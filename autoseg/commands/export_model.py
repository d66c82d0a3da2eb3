"""`autoseg_export_model`: trained models become one file that another person can install."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.command_words import choosing_words, training_command
from autoseg.commands.arguments import (
    TASK_HELP,
    add_overwrite,
    add_plans_name,
    configuration_name,
    fold,
    folder,
)
from autoseg.commands.next_steps import say_next
from autoseg.commands.running import Command, Parser, run_command
from autoseg.dataset import read_description
from autoseg.errors import ModelError, WorkspaceError
from autoseg.files.layout import (
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    USUAL_CONFIGURATIONS,
    ModelFolder,
    ModelKey,
    in_usual_order,
)
from autoseg.paths import Workspace
from autoseg.plans import load_plans
from autoseg.words import agreeing

if TYPE_CHECKING:
    from autoseg.sharing.card import AboutData, ModelCard

log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument("-t", dest="task", metavar="TASK", required=True, help=TASK_HELP)
    parser.add_argument(
        "-o", dest="target", metavar="FILE.zip", type=folder, required=True, help="the archive to write"
    )
    parser.add_argument(
        "--best", action="store_true", help="what autoseg_find_best_configuration selected, and nothing else"
    )
    parser.add_argument(
        "-m",
        dest="configurations",
        metavar="CONFIGURATION",
        nargs="+",
        type=configuration_name,
        help=f"{', '.join(USUAL_CONFIGURATIONS)} (default: all that are trained)",
    )
    parser.add_argument(
        "-tr",
        dest="trainer",
        metavar="TRAINER",
        default=DEFAULT_TRAINER,
        help=f"who trained them (default: {DEFAULT_TRAINER})",
    )
    add_plans_name(parser, f"name of the plans they were trained with (default: {DEFAULT_PLANS})")
    parser.add_argument(
        "-f", dest="folds", metavar="FOLD", nargs="+", type=fold, help="0 to 4, or all (default: every fold trained)"
    )
    parser.add_argument(
        "-chk",
        dest="checkpoints",
        metavar="final|best",
        nargs="+",
        choices=("final", "best"),
        default=["final"],
        help="which weights to pack, one or both (default: final)",
    )
    add_overwrite(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Write the archive and say what is in it."""
    task = workspace.find_task(arguments.task)
    chosen = (arguments.configurations, arguments.trainer, arguments.plans)
    if arguments.best and chosen != (None, DEFAULT_TRAINER, DEFAULT_PLANS):
        raise WorkspaceError("--best packs what was selected; leave out -m, -tr and -p, or leave out --best")
    card = export_model(
        task,
        arguments.target,
        workspace,
        best=arguments.best,
        configurations=arguments.configurations,
        trainer=arguments.trainer.rpartition(":")[2],
        plans_name=arguments.plans,
        folds=arguments.folds,
        checkpoints=tuple(dict.fromkeys(arguments.checkpoints)),
        overwrite=arguments.overwrite_existing,
    )
    for model in card.models:
        print(f"{task}: {model.configuration}, {agreeing(len(model.folds), 'fold')} {', '.join(model.folds)}")
    print(f"written: {arguments.target} ({arguments.target.stat().st_size / 1e6:.1f} MB)")
    if not card.about.licence:
        print("dataset.json states no licence; add one before you pass the models on, and export again")
    say_next(("autoseg_install_model", str(arguments.target)), where=" elsewhere")


def export_model(
    task: str,
    target: Path,
    workspace: Workspace,
    *,
    best: bool = False,
    configurations: Sequence[str] | None = None,
    trainer: str = DEFAULT_TRAINER,
    plans_name: str = DEFAULT_PLANS,
    folds: Sequence[str] | None = None,
    checkpoints: Sequence[str] = ("final",),
    overwrite: bool = False,
) -> ModelCard:
    """Pack a task's trained models, the stage before a cascade always with it.

    Args:
        best: The members of the task's selection, whatever trained them, in place of what the next three name.
        overwrite: Replace what is there, though it is no archive of models.

    Raises:
        ModelError: A model or fold is not trained, the command that trains it is named; or nothing is selected.
        WorkspaceError: Something else than an archive of models is there.
    """
    from autoseg.sharing.exporting import Sources, export_models

    if best:
        models = _find_selected(task, workspace, checkpoints)
    else:
        models = _find(task, workspace, configurations, trainer, plans_name, checkpoints)
    sources = Sources(
        about=about_task(task, workspace, models),
        fingerprint=workspace.task(task).fingerprint if workspace.task(task).fingerprint.is_file() else None,
        selection=_fitting_selection(workspace.task(task).selection, models, everything=not (configurations or folds)),
    )
    return export_models(models, target, sources, folds=folds, checkpoints=checkpoints, overwrite=overwrite)


def about_task(task: str, workspace: Workspace, models: Sequence[ModelFolder]) -> AboutData:
    """What is said of the data: by dataset.json where it is here, else by the card that came with an installed model."""
    from autoseg.sharing.card import AboutData, about_data, load_card

    if workspace.task(task).dataset.is_file():
        return about_data(read_description(workspace.task(task).raw))
    cards = [model.card for model in models if model.card.is_file()]
    return load_card(cards[0]).about if cards else AboutData()


def _find_selected(task: str, workspace: Workspace, checkpoints: Sequence[str]) -> list[ModelFolder]:
    from autoseg.ensembling.selection import load_selection

    found = {
        model.folder: model
        for member in load_selection(workspace.task(task).selection).members
        for model in _find(task, workspace, [member.configuration], member.trainer, member.plans, checkpoints)
    }
    return list(found.values())


def _find(
    task: str,
    workspace: Workspace,
    configurations: Sequence[str] | None,
    trainer: str,
    plans_name: str,
    checkpoints: Sequence[str],
) -> list[ModelFolder]:
    from autoseg.sharing.models import find_models

    known = find_models(workspace.results, task)
    fitting = {
        model.key.configuration: model
        for model in known
        if (model.key.trainer, model.key.plans) == (trainer, plans_name)
    }
    trained = [name for name, model in fitting.items() if model.folds(checkpoints[0])]
    wanted = set(configurations or trained)
    wanted |= {before for name in wanted & fitting.keys() if (before := _stage_before(fitting[name]))}
    if missing := sorted(wanted - fitting.keys()) or ([] if wanted else ["3d_fullres"]):
        others = [f"  {choosing_words(model.key)}" for model in known if model.folds()]
        first = ModelKey(task=task, configuration=missing[0], trainer=trainer, plans=plans_name)
        listing = "\n".join(["trained are:", *others]) if others else "nothing is trained yet"
        raise ModelError(
            f"{task}: no trained {', '.join(missing)} by {trainer} with plans {plans_name}; train with\n"
            f"  {training_command(first, '0')}\n{listing}"
        )
    return [fitting[name] for name in in_usual_order(wanted)]


def _stage_before(model: ModelFolder) -> str | None:
    return load_plans(model.plans_file).configuration(model.key.configuration).previous


def _fitting_selection(path: Path, models: Sequence[ModelFolder], *, everything: bool) -> Path | None:
    """The selection, unless it names a model that is not packed."""
    from autoseg.sharing.models import selected_configurations

    if not path.is_file():
        return None
    if everything or selected_configurations(path) <= {model.key.configuration for model in models}:
        return path
    log.info("%s: left out, for it names models that are not packed", path)
    return None


COMMAND = Command(
    name="autoseg_export_model",
    summary="pack trained models into one file to share",
    reads="results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/ of the trained folds; results/selections;\n"
    "raw_data/TaskXXX_Name/dataset.json (name, licence, reference of the data); the fingerprint",
    writes="FILE.zip: plans, weights, scores, postprocessing, fingerprint, selection, a model card and a manifest of\n"
    "SHA-256 sums; no image, and no checkpoint to go on training from",
    example="autoseg_export_model -t 4 -o hippocampus.zip\n"
    "autoseg_export_model -t 4 -o hippocampus.zip --best\n"
    "autoseg_export_model -t 4 -o fast.zip -m 2d -f 0 -chk final best",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
