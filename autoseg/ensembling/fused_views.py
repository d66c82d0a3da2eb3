"""A fusion of the views of one model."""

from __future__ import annotations

from dataclasses import replace

from autoseg.ensembling.fusing import Fused, as_source, train_fusion
from autoseg.ensembling.validation import CrossValidation, require_cases
from autoseg.errors import ModelError
from autoseg.inference.fusion_record import save_fusion, source_names
from autoseg.inference.model import networks_of
from autoseg.paths import Workspace
from autoseg.plans import load_plans
from autoseg.training.settings import TrainingSettings
from autoseg.training.workspace import build_trainer


def fuse_views(
    validation: CrossValidation,
    workspace: Workspace,
    *,
    settings: TrainingSettings,
    device: str | None = None,
    workers: int,
) -> Fused:
    """Fit and judge how much each view of a model has to say, and write `fusion.json` into its folder.

    Every fold is validated with probabilities, which keeps what each view says; what is there and current is kept.

    Args:
        settings, device: How and where what is missing is predicted.

    Raises:
        ModelError: The model has no views, or too few patients.
        WorkspaceError: Nothing was validated.
    """
    model = validation.model
    require_cases(validation)
    plan = load_plans(model.plans_file).configuration(model.key.configuration)
    views = plan.sampling.views
    if views is None:
        raise ModelError(
            f"{plan.name} looks along no directions whose answers could be fused; name multiplanar, or several "
            "configurations, whose answers are fused with each other"
        )
    for fold in validation.folds:
        build_trainer(model.key, fold, workspace, settings=settings, device=device).validate(save_probabilities=True)
    sources = [
        as_source(name, validation.cases, {fold: model.fold(fold).view(number) for fold in validation.folds})
        for number, name in enumerate(source_names(views))
    ]
    fused = train_fusion(sources, validation.target, model.fused_validation, workers=workers)
    record = replace(fused.record, networks=networks_of(model, validation.folds))
    save_fusion(record, model.fusion)
    return replace(fused, record=record)
