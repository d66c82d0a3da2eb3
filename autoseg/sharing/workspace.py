"""Models of a workspace as one file, and back: which are packed with what, and installing from a file or an address."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.command_words import training_command
from autoseg.dataset import read_description
from autoseg.ensembling.selection import load_selection
from autoseg.errors import ModelError, WorkspaceError
from autoseg.files.layout import CHECKPOINTS, DEFAULT_PLANS, DEFAULT_TRAINER, FULL, in_usual_order, task_number
from autoseg.files.model_folder import ModelFolder, ModelKey
from autoseg.files.storage import remove_file
from autoseg.paths import Workspace, find_models
from autoseg.planning.fingerprint import load_fingerprint
from autoseg.plans import load_plans
from autoseg.sharing.card import AboutData, ModelCard, ModelEntry, about_data, load_card, make_card, make_entry
from autoseg.sharing.downloading import downloaded, is_url
from autoseg.sharing.exporting import Sources, export_models
from autoseg.sharing.fetching import fetch
from autoseg.sharing.index import find_offer, read_index
from autoseg.sharing.installing import Installation, install_models
from autoseg.sharing.models import selected_configurations

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportChoice:
    """Which of a task's models are packed.

    Attributes:
        best: The members of the task's selection, whatever trained them; then the next three name nothing.
        configurations: None for all that are trained.
        trainer: The class's name.
        plans: Their name.
        folds: None for every one that is trained.
        checkpoints: "final", "best" or both.
    """

    best: bool = False
    configurations: tuple[str, ...] | None = None
    trainer: str = DEFAULT_TRAINER
    plans: str = DEFAULT_PLANS
    folds: tuple[str, ...] | None = None
    checkpoints: tuple[str, ...] = ("final",)


def export_model(
    task: str, target: Path, workspace: Workspace, choice: ExportChoice | None = None, *, overwrite: bool = False
) -> ModelCard:
    """Pack a task's trained models, the stage before a cascade always with it.

    Args:
        choice: None for all that ours trained.
        overwrite: Replace what is there, though it is no archive of models.

    Raises:
        ModelError: A model or fold is not trained, the command that trains it is named; or nothing is selected.
        WorkspaceError: Something else than an archive of models is there; or models are named beside the selection.
    """
    choice, folder = choice or ExportChoice(), workspace.task(task)
    named = (choice.configurations, choice.trainer, choice.plans)
    if choice.best and named != (None, DEFAULT_TRAINER, DEFAULT_PLANS):
        raise WorkspaceError(
            "`best=True` packs what was selected; leave out `configurations`, `trainer` and `plans`, or leave out `best=True`"
        )
    models = (_find_selected if choice.best else _find_named)(task, workspace, choice)
    everything = not (choice.configurations or choice.folds)
    sources = Sources(
        about=about_task(task, workspace, models),
        fingerprint=folder.fingerprint if folder.fingerprint.is_file() else None,
        selection=_fitting_selection(folder.selection, models, everything=everything),
    )
    return export_models(
        models, target, sources, folds=choice.folds, checkpoints=choice.checkpoints, overwrite=overwrite
    )


def install_model(
    source: str, workspace: Workspace, *, overwrite: bool = False, index: str | None = None
) -> Installation:
    """Install from a file, a web address, or by a name of an index.

    Args:
        index: A file or an address.

    Raises:
        ModelError: The archive is refused, or a model of that name is here; nothing has changed then. Or the index has nothing
            of that name.
        StorageError: It cannot be fetched or written; nothing has changed then.
    """
    before = workspace.tasks()
    with _archive(source, workspace, index) as archive:
        installed = install_models(archive, workspace.results, overwrite=overwrite)
    _warn_of_doubt(installed.card, workspace, before)
    return installed


@contextmanager
def _archive(source: str, workspace: Workspace, index: str | None) -> Iterator[Path]:
    if is_url(source):
        with downloaded(source, workspace.results) as path:
            yield path
        return
    file = Path(source).expanduser()
    if index is None or file.exists() or len(file.parts) > 1:
        yield file
        return
    path = fetch(find_offer(read_index(index, workspace.results).models, source, "the index"), workspace.results)
    try:
        yield path
    finally:
        remove_file(path)


def task_card(task: str, workspace: Workspace) -> ModelCard:
    """The card of all models of a task that have weights.

    Raises:
        ModelError: There is none.
    """
    models = [model for model in find_models(workspace.results, task) if _checkpoint(model)]
    if not models:
        command = training_command(ModelKey(task=task, configuration=FULL), "0")
        raise ModelError(f"{task}: no trained model here; train one with: {command}")
    fingerprints = [workspace.task(task).fingerprint, *(model.fingerprint for model in models)]
    found = [path for path in fingerprints if path.is_file()]
    return make_card(
        load_plans(models[0].plans_file),
        about_task(task, workspace, models),
        [_entry(model) for model in models],
        training_cases=len(load_fingerprint(found[0]).cases) if found else None,
        selection=workspace.task(task).selection.is_file(),
    )


def _warn_of_doubt(card: ModelCard, workspace: Workspace, before: Sequence[str]) -> None:
    """Say where a task can be mistaken for another now, or its selection for one among these models."""
    number, selection = task_number(card.task), workspace.task(card.task).selection
    if same := [name for name in before if name != card.task and task_number(name) == number]:
        log.warning("%s: has the number of %s; name the tasks in full with `task`", card.task, ", ".join(same))
    if not card.selection and selection.is_file():
        log.warning("%s: was chosen from other models; run autoseg_find_best_configuration again", selection)


def _entry(model: ModelFolder) -> ModelEntry:
    checkpoint = _checkpoint(model)
    return make_entry(model, load_plans(model.plans_file), model.folds(checkpoint), checkpoint=checkpoint)


def _checkpoint(model: ModelFolder) -> str:
    """The weights to describe: final ones where there are any."""
    return next((name for name in CHECKPOINTS if model.folds(name)), "")


def about_task(task: str, workspace: Workspace, models: Sequence[ModelFolder]) -> AboutData:
    """What is said of the data: by dataset.json where it is here, else by the card that came with an installed model."""
    if workspace.task(task).dataset.is_file():
        return about_data(read_description(workspace.task(task).raw))
    cards = [model.card for model in models if model.card.is_file()]
    return load_card(cards[0]).about if cards else AboutData()


def _find_selected(task: str, workspace: Workspace, choice: ExportChoice) -> list[ModelFolder]:
    found = {
        model.folder: model
        for member in load_selection(workspace.task(task).selection).members
        for model in _find_named(
            task,
            workspace,
            replace(choice, configurations=(member.configuration,), trainer=member.trainer, plans=member.plans),
        )
    }
    return list(found.values())


def _find_named(task: str, workspace: Workspace, choice: ExportChoice) -> list[ModelFolder]:
    known = find_models(workspace.results, task)
    fitting = {
        model.key.configuration: model
        for model in known
        if (model.key.trainer, model.key.plans) == (choice.trainer, choice.plans)
    }
    trained = [name for name, model in fitting.items() if model.folds(choice.checkpoints[0])]
    wanted = set(choice.configurations or trained)
    wanted |= {before for name in wanted & fitting.keys() if (before := _stage_before(fitting[name]))}
    if missing := sorted(wanted - fitting.keys()) or ([] if wanted else [FULL]):
        others = [f"  {model.key.choice}" for model in known if model.folds()]
        first = ModelKey(task=task, configuration=missing[0], trainer=choice.trainer, plans=choice.plans)
        listing = "\n".join(["trained are:", *others]) if others else "nothing is trained yet"
        raise ModelError(
            f"{task}: no trained {', '.join(missing)} by {choice.trainer} with plans {choice.plans}; train with\n"
            f"  {training_command(first, '0')}\n{listing}"
        )
    return [fitting[name] for name in in_usual_order(wanted)]


def _stage_before(model: ModelFolder) -> str | None:
    return load_plans(model.plans_file).configuration(model.key.configuration).previous


def _fitting_selection(path: Path, models: Sequence[ModelFolder], *, everything: bool) -> Path | None:
    """The selection, unless it names a model that is not packed."""
    if not path.is_file():
        return None
    if everything or selected_configurations(path) <= {model.key.configuration for model in models}:
        return path
    log.info("%s: left out, for it names models that are not packed", path)
    return None
