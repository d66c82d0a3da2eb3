"""What a network says along each direction alone of the cases that it was not trained on: what a fusion is fitted to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoseg.errors import ModelError
from autoseg.files.model_folder import ModelKey
from autoseg.inference.model import TrainedModel, load_model
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation
from autoseg.paths import Workspace
from autoseg.plans import ConfigurationPlan, Views
from autoseg.training.choice import find_trainer
from autoseg.training.validation import validate_fold
from autoseg.training.workspace import data_of_fold
from autoseg.words import counted

log = logging.getLogger(__name__)


def views_of_plan(plan: ConfigurationPlan) -> Views:
    """The directions that a configuration looks along.

    Raises:
        ModelError: It looks along no directions.
    """
    views = plan.sampling.views
    if views is None:
        raise ModelError(
            f"{plan.name} looks along no directions whose answers could be fused; name multiplanar, or several "
            "configurations, whose answers are fused with each other"
        )
    return views


def validate_views(key: ModelKey, fold: str, workspace: Workspace, computation: Computation) -> Sequence[Path]:
    """Predict a fold's validation cases along each direction; what is there and current is kept.

    Returns:
        A folder for each, of segmentations and probabilities.
    """
    build = find_trainer(key.named_trainer).build_network
    model = load_model(workspace.model(key).folder, key.configuration, folds=[fold], build_network=build)
    views, data = views_of_plan(model.plan), data_of_fold(key, fold, workspace)
    folders = [data.folder.view(number) for number in range(len(views.directions))]
    for number, folder in enumerate(folders):
        log.info("fold %s: view %d of %s", fold, number + 1, counted(len(folders), "view"))
        predictor = Predictor(along(model, views, number), computation)
        validate_fold(predictor, data, folder=folder, probabilities=True)
    return folders


def along(model: TrainedModel, views: Views, number: int) -> TrainedModel:
    """A model that looks along one of its directions only, without what it knows of the others."""
    sampling = replace(model.plan.sampling, views=replace(views, directions=views.directions[number : number + 1]))
    plan = replace(model.plan, sampling=sampling)
    plans = replace(model.plans, configurations={**model.plans.configurations, model.configuration: plan})
    return replace(model, plans=plans, fusion=None, rules=())
