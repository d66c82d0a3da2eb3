"""The selection that a prediction takes its models from, where it is wanted."""

from __future__ import annotations

import logging
from dataclasses import replace

from autoseg.command_words import selecting_command
from autoseg.ensembling.selection import Selection, load_selection
from autoseg.ensembling.validation import changed_since
from autoseg.errors import ModelError, WorkspaceError
from autoseg.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from autoseg.machine.resources import available_cores
from autoseg.paths import Workspace
from autoseg.prediction.choice import ModelChoice

log = logging.getLogger(__name__)


def open_selection(task: str, model: ModelChoice, workspace: Workspace, *, best: bool) -> Selection | None:
    """The task's selection where it is wanted: asked for, or there while the user names no model.

    Raises:
        WorkspaceError: It is asked for, and another model too.
        ModelError: It is asked for and missing, or cannot be read.
    """
    path = workspace.task(task).selection
    unnamed = replace(model, task=None, trainer=None, plans=None) == ModelChoice()
    names_no_model = unnamed and model.plans in (None, DEFAULT_PLANS)
    if best and not names_no_model:
        raise WorkspaceError(
            "`best=True` predicts with what was selected; leave out `configuration`, `plans`, `folds`, `checkpoint` and "
            "`lowres_segmentations`, or leave out `best=True`"
        )
    if not best and not (names_no_model and model.trainer in (None, DEFAULT_TRAINER) and path.is_file()):
        return None
    selection = load_selection(path)
    if selection.task != task:
        raise ModelError(
            f"{path}: was selected for {selection.task}, not for {task}; select anew with {selecting_command(task)}"
        )
    log.info("%s: predicting with the selection %s (%s)", task, selection.name, path)
    if changed := changed_since(selection, workspace, workers=available_cores()):
        log.warning(
            "%s: %s: trained or validated again, or scored against other labels, since this was selected; "
            "select anew with %s",
            path,
            ", ".join(changed),
            selecting_command(task),
        )
    return selection


def selected_models(selection: Selection, model: ModelChoice) -> list[ModelChoice]:
    """A choice for each member; the user's reference to a trainer's own file is kept where it names that trainer."""
    return [
        replace(
            model,
            configuration=member.configuration,
            trainer=model.trainer if model.key(selection.task).trainer == member.trainer else member.trainer,
            plans=member.plans,
            folds=member.folds,
        )
        for member in selection.members
    ]
