"""Fusions of a task: of the views of one model, and of several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoseg.ensembling.fusing import Fused, Source, as_source, train_fusion
from autoseg.ensembling.validation import CrossValidation, require_one_target
from autoseg.errors import WorkspaceError
from autoseg.files.layout import FUSION_FILE
from autoseg.files.task_folder import TaskFolder
from autoseg.inference.fusion_record import save_fusion, source_names
from autoseg.inference.model import networks_of
from autoseg.inference.settings import Computation
from autoseg.paths import Workspace
from autoseg.plans import load_plans


def fuse_views(validation: CrossValidation, workspace: Workspace, computation: Computation, *, workers: int) -> Fused:
    """Fit and judge how much each view of a model has to say, and write `fusion.json` into its folder.

    Each view predicts the validation cases of every fold; what is there is kept.

    Raises:
        ModelError: The model has no views, or too few patients.
        WorkspaceError: Nothing was validated.
    """
    from autoseg.training.view_validation import validate_views, views_of_plan

    model = validation.model
    _require_cases(validation)
    views = views_of_plan(load_plans(model.plans_file).configuration(model.key.configuration))
    folders = {fold: validate_views(model.key, fold, workspace, computation) for fold in validation.folds}
    sources = [
        as_source(name, validation.cases, {fold: of_views[number] for fold, of_views in folders.items()})
        for number, name in enumerate(source_names(views))
    ]
    fused = train_fusion(sources, validation.target, model.fused_validation, workers=workers)
    record = replace(fused.record, networks=networks_of(model, validation.folds))
    save_fusion(record, model.fusion)
    return replace(fused, record=record)


def fuse_models(validations: Sequence[CrossValidation], task: TaskFolder, *, workers: int) -> Fused:
    """Fit and judge how much each of several models has to say, and write `fusion.json` among the task's selections.

    Raises:
        ModelError: Models differ in their labels, or have too few patients in common.
        WorkspaceError: Nothing was validated, or probabilities are missing.
    """
    target = require_one_target(validations)
    for validation in validations:
        _require_cases(validation)
    folder = task.fusion_folder([one.model.key for one in validations])
    sources = [Source(name=one.model.key.name, cases=one.cases) for one in validations]
    fused = train_fusion(sources, target, folder, workers=workers)
    save_fusion(fused.record, folder / FUSION_FILE)
    return fused


def _require_cases(validation: CrossValidation) -> None:
    if not validation.cases:
        lines = "".join(f"\n  {line}" for line in validation.missing)
        raise WorkspaceError(f"{validation.model.folder}: nothing was validated{lines}")
