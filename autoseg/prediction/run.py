"""Predicting cases with one trained model, and with the one that it refines where it is a cascade."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from autoseg.errors import CasesFailed
from autoseg.files.layout import predictions_folder
from autoseg.inference.cases import predict_cases
from autoseg.inference.model import TrainedModel
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Failures, PredictionRun
from autoseg.paths import Workspace
from autoseg.prediction.choice import ChosenModel, first_stage
from autoseg.words import RESULT, agreeing, counted

log = logging.getLogger(__name__)


def predict_with_model(model: ChosenModel, run: PredictionRun, workspace: Workspace) -> Failures:
    """Predict cases with one model, after the stage it refines where it is a cascade; returns those that failed."""
    failures: list[tuple[str, str]] = []
    given = model.choice.lowres_segmentations
    with _folder_of_first_stage(model.trained, given, run.folder) as first:
        if first is not None and first != given:
            earlier = run.into(first, postprocess=False, save_npz=False)
            failures += _predict_with(first_stage(model, workspace), earlier)
        whole = run.without(failures)
        if whole.cases:
            failures += _predict_with(model.trained, whole, previous=first)
    return failures


def _predict_with(model: TrainedModel, run: PredictionRun, previous: Path | None = None) -> Failures:
    """Predict with one model, say so, and return the cases that failed with their causes."""
    predictor = Predictor(model, run.settings)
    log.info(
        "%s: %s, %s %s, %s weights, %s, on %s in %s",
        model.plans.dataset,
        model.configuration,
        agreeing(len(model.folds), "fold"),
        ", ".join(model.folds),
        model.checkpoint,
        counted(len(run.cases), "case"),
        predictor.device,
        predictor.precision.name,
        extra=RESULT,
    )
    try:
        predict_cases(predictor, run, previous=previous)
    except CasesFailed as error:
        return error.failures
    return ()


@contextmanager
def _folder_of_first_stage(model: TrainedModel, given: Path | None, work_folder: Path | None) -> Iterator[Path | None]:
    """Where the segmentations lie that a cascade refines: the user's, or in the work folder; None for other models."""
    if given is not None or model.plan.previous is None:
        yield given
    elif work_folder is None:
        with TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        yield work_folder / predictions_folder(model.plan.previous)
