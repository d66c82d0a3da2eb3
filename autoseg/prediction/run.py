"""Predicting cases with one trained model, and with the one that it refines where it is a cascade."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from autoseg.dataset import Case
from autoseg.errors import CasesFailed
from autoseg.files.layout import PREDICTION_FILE, predictions_folder
from autoseg.geometry import STEP_SIZE
from autoseg.inference.cases import predict_cases
from autoseg.inference.guard import InputGuard
from autoseg.inference.model import TrainedModel
from autoseg.inference.predictor import Predictor
from autoseg.paths import Workspace
from autoseg.prediction.choice import ChosenModel, first_stage
from autoseg.words import RESULT, agreeing, counted

log = logging.getLogger(__name__)

Failures = Sequence[tuple[str, str]]
"""Cases that failed, each with its cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSettings:
    """How to predict."""

    save_npz: bool = False
    mirror: bool = True
    step_size: float | None = None
    mode: str = "normal"
    overwrite: bool = False
    part: int = 0
    parts: int = 1
    preprocessing_threads: int = 2
    export_threads: int = 2
    postprocess: bool = True
    strict_inputs: bool = False
    device: str | None = None
    precision: str = "auto"
    engine: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRun:
    """A prediction, settled before its first case.

    Attributes:
        outputs: The file of each case, by its name.
        folder: Where the records and the predictions of an earlier stage go; None leaves no trace of them.
        guard: Compares each case with the training cases.
    """

    workspace: Workspace
    settings: PredictionSettings
    cases: Sequence[Case]
    outputs: Mapping[str, Path]
    folder: Path | None
    guard: InputGuard

    @property
    def record(self) -> Path | None:
        """Where it is written down with what was predicted."""
        return None if self.folder is None else self.folder / PREDICTION_FILE

    def without(self, failures: Failures) -> PredictionRun:
        """The same of the cases that did not fail."""
        failed = dict(failures)
        return replace(self, cases=[case for case in self.cases if case.identifier not in failed])

    def into(self, folder: Path, **settings: bool) -> PredictionRun:
        """The same into another folder, with other settings."""
        return replace(
            self,
            folder=folder,
            outputs={case.identifier: folder / f"{case.identifier}.nii.gz" for case in self.cases},
            settings=replace(self.settings, **settings),  # type: ignore[arg-type]  # those that are switches
        )


def predict_with_model(model: ChosenModel, run: PredictionRun) -> Failures:
    """Predict cases with one model, after the stage it refines where it is a cascade; returns those that failed."""
    failures: list[tuple[str, str]] = []
    given = model.choice.lowres_segmentations
    with _folder_of_first_stage(model.trained, given, run.folder) as first:
        if first is not None and first != given:
            earlier = run.into(first, postprocess=False, save_npz=False)
            failures += _predict_with(first_stage(model, run.workspace), earlier)
        whole = run.without(failures)
        if whole.cases:
            failures += _predict_with(model.trained, whole, previous=first)
    return failures


def _predict_with(model: TrainedModel, run: PredictionRun, previous: Path | None = None) -> Failures:
    """Predict with one model, say so, and return the cases that failed with their causes."""
    settings = run.settings
    predictor = make_predictor(model, settings)
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
        predict_cases(
            predictor,
            run.cases,
            [run.outputs[case.identifier] for case in run.cases],
            previous=previous,
            preprocessing_threads=settings.preprocessing_threads,
            export_threads=settings.export_threads,
            probabilities=settings.save_npz,
            overwrite=settings.overwrite,
            postprocess=settings.postprocess,
            record=run.record,
            shared=settings.parts > 1,
            guard=run.guard,
        )
    except CasesFailed as error:
        return error.failures
    return ()


def make_predictor(model: TrainedModel, settings: PredictionSettings) -> Predictor:
    """The predictor of a model with a user's settings."""
    return Predictor(
        model,
        device=settings.device,
        precision=settings.precision,
        step_size=settings.step_size or STEP_SIZE,
        mirror=settings.mirror,
        mode=settings.mode,  # type: ignore[arg-type]  # checked there
        engine=settings.engine,  # type: ignore[arg-type]  # likewise
    )


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
