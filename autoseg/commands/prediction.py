"""Predicting with one trained model, lowres stage included: what `autoseg_predict` and the demo share."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from autoseg.command_words import choosing_words, training_command
from autoseg.commands.models import load_trained_model
from autoseg.dataset import Case
from autoseg.errors import CasesFailed, WorkspaceError
from autoseg.files.layout import (
    CHECKPOINTS,
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    PREDICTION_FILE,
    ModelKey,
    predictions_folder,
)
from autoseg.geometry import STEP_SIZE
from autoseg.paths import Workspace
from autoseg.words import agreeing, counted

if TYPE_CHECKING:
    from autoseg.inference.guard import InputGuard
    from autoseg.inference.model import TrainedModel
    from autoseg.inference.predictor import Predictor

log = logging.getLogger(__name__)

DEFAULT_CONFIGURATION = "3d_fullres"

Failures = Sequence[tuple[str, str]]
"""Cases that failed, each with its cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """Which trained model to use, as far as the user names it; None leaves it to what is there.

    Attributes:
        trainer: `Trainer`, or `my_file.py:MyTrainer`.
        plans: Their name.
    """

    task: str | None = None
    configuration: str | None = None
    trainer: str | None = None
    plans: str | None = None
    folds: tuple[str, ...] | None = None
    checkpoint: str = "final"
    lowres_segmentations: Path | None = None

    def key(self, task: str) -> ModelKey:
        """The model of a task, by the defaults where it is not named."""
        return ModelKey.named(
            task,
            self.configuration or DEFAULT_CONFIGURATION,
            self.trainer or DEFAULT_TRAINER,
            self.plans or DEFAULT_PLANS,
        )


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


def find_task_with_models(task: str | None, workspace: Workspace) -> str:
    """The task named, or the only one that has a trained model.

    Raises:
        WorkspaceError: None has, or several have; they are listed.
    """
    if task is not None:
        return workspace.find_task(task)
    known = workspace.tasks_with_models()
    if len(known) == 1:
        log.info("%s: the only task with a trained model", known[0])
        return known[0]
    if not known:
        raise WorkspaceError(f"{workspace.results}: no trained model here; train one with autoseg_train, or set --home")
    raise WorkspaceError(f"{workspace.results}: several tasks have models; choose one with -t: {', '.join(known)}")


def choose_model(task: str, choice: ModelChoice, workspace: Workspace) -> ModelChoice:
    """The choice with what it leaves open: the defaults where these are trained, else the only model that fits.

    What is taken is said, and which others would fit; where none fits, the choice stays as it is.

    Raises:
        WorkspaceError: Several fit; they are listed.
    """
    fitting = _fitting_models(task, choice, workspace)
    default = choice.key(task)
    if default in fitting:
        if others := [choosing_words(key) for key in fitting if key != default]:
            log.info("%s: predicting with %s; also trained: %s", task, choosing_words(default), ", ".join(others))
        return choice
    listing = [choosing_words(key) for key in fitting]
    if len(fitting) > 1:
        best = ["--best"] if workspace.task(task).selection.is_file() else []
        lines = "\n".join(f"  {line}" for line in [*listing, *best])
        raise WorkspaceError(
            f"{task}: {counted(len(fitting), 'model is', 'models are')} trained; choose one with\n{lines}"
        )
    if not fitting:
        return choice
    (only,) = fitting
    log.info("%s: predicting with the only model that is trained: %s", task, listing[0])
    return replace(choice, configuration=only.configuration, trainer=choice.trainer or only.trainer, plans=only.plans)


def _fitting_models(task: str, choice: ModelChoice, workspace: Workspace) -> list[ModelKey]:
    """The models with a finished fold that the choice does not exclude."""
    from autoseg.sharing.models import find_models

    named = choice.key(task)
    return [
        model.key
        for model in find_models(workspace.results, task)
        if model.folds(choice.checkpoint)
        and choice.configuration in (None, model.key.configuration)
        and (choice.trainer is None or model.key.trainer == named.trainer)
        and choice.plans in (None, model.key.plans)
    ]


def open_model(task: str, choice: ModelChoice, workspace: Workspace) -> TrainedModel:
    """Load a task's trained model.

    Raises:
        WorkspaceError: There is none; what is trained is listed.
        ModelError: Its weights are missing, damaged or of another version.
    """
    model = workspace.model(choice.key(task))
    if not model.folder.is_dir():
        raise WorkspaceError(f"{model.folder}: no such model; {_trained_instead(model.key, workspace)}")
    return load_trained_model(model, folds=choice.folds, checkpoint=choice.checkpoint)


def predict_with_model(
    trained: TrainedModel,
    choice: ModelChoice,
    cases: Sequence[Case],
    outputs: Mapping[str, Path],
    workspace: Workspace,
    settings: PredictionSettings,
    *,
    work_folder: Path | None,
    guard: InputGuard,
) -> Failures:
    """Predict cases with one model, after the stage it refines where it is a cascade.

    Args:
        outputs: The file of each case.
        work_folder: Where the earlier stage's folder and the record of the prediction go; None leaves no trace of them.
        guard: Compares each case with the training cases.

    Returns:
        The cases that failed.
    """
    failures: list[tuple[str, str]] = []
    with _folder_of_first_stage(trained, choice.lowres_segmentations, work_folder) as first:
        if first is not None and first != choice.lowres_segmentations:
            failures += _predict_with(
                first_stage(trained, workspace, choice),
                cases,
                [first / f"{case.identifier}.nii.gz" for case in cases],
                replace(settings, postprocess=False, save_npz=False),
                record=first / PREDICTION_FILE,
                guard=guard,
            )
        whole = [case for case in cases if case.identifier not in dict(failures)]
        if whole:
            failures += _predict_with(
                trained,
                whole,
                [outputs[case.identifier] for case in whole],
                settings,
                previous=first,
                record=None if work_folder is None else work_folder / PREDICTION_FILE,
                guard=guard,
            )
    return failures


def _predict_with(
    model: TrainedModel,
    cases: Sequence[Case],
    outputs: Sequence[Path],
    settings: PredictionSettings,
    *,
    guard: InputGuard,
    previous: Path | None = None,
    record: Path | None = None,
) -> Failures:
    """Predict with one model, say so, and return the cases that failed with their causes."""
    from autoseg.inference.cases import predict_cases

    predictor = make_predictor(model, settings)
    print(
        f"{model.plans.dataset}: {model.configuration}, {agreeing(len(model.folds), 'fold')} "
        f"{', '.join(model.folds)}, {model.checkpoint} weights, {counted(len(cases), 'case')}, "
        f"on {predictor.device} in {predictor.precision.name}"
    )
    try:
        predict_cases(
            predictor,
            cases,
            outputs,
            previous=previous,
            preprocessing_threads=settings.preprocessing_threads,
            export_threads=settings.export_threads,
            probabilities=settings.save_npz,
            overwrite=settings.overwrite,
            postprocess=settings.postprocess,
            record=record,
            shared=settings.parts > 1,
            guard=guard,
        )
    except CasesFailed as error:
        return error.failures
    return ()


def make_predictor(model: TrainedModel, settings: PredictionSettings) -> Predictor:
    """The predictor of a model with a user's settings."""
    from autoseg.inference.predictor import Predictor

    return Predictor(
        model,
        device=settings.device,
        precision=settings.precision,
        step_size=settings.step_size or STEP_SIZE,
        mirror=settings.mirror,
        mode=settings.mode,  # type: ignore[arg-type]  # a choice of the parser
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


def first_stage(cascade: TrainedModel, workspace: Workspace, choice: ModelChoice) -> TrainedModel:
    """The model that a cascade refines, with the same folds; final weights, as those the cascade learned from.

    A cascade of fold `all` learned from all the folds of the other.
    """
    model = workspace.model(choice.key(cascade.plans.dataset).of(str(cascade.plan.previous)))
    if not model.folder.is_dir():
        raise WorkspaceError(
            f"{model.folder}: no such model, but {cascade.configuration} refines what {model.key.configuration} predicts; "
            "train it, install it with the cascade, or give its segmentations (-l)"
        )
    folds = None if cascade.folds == ("all",) else cascade.folds
    return load_trained_model(model, folds=folds, checkpoint="final")


def _trained_instead(wanted: ModelKey, workspace: Workspace) -> str:
    from autoseg.sharing.models import find_models

    models = [model for model in find_models(workspace.results, wanted.task) if any(map(model.folds, CHECKPOINTS))]
    if not models:
        return f"train it with: {training_command(wanted, '0')}"
    listing = "\n".join(f"  {choosing_words(model.key)}" for model in models)
    return f"trained are:\n{listing}"
