"""Predicting with one trained model, lowres stage included: what `autoseg_predict` and the demo share."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from autoseg.commands.models import DEFAULT_TRAINER, load_trained_model, trainer_class_name
from autoseg.dataset import Case
from autoseg.errors import CasesFailed, WorkspaceError
from autoseg.geometry import STEP_SIZE
from autoseg.paths import Workspace
from autoseg.plans import DEFAULT_IDENTIFIER
from autoseg.words import agreeing, counted

if TYPE_CHECKING:
    from autoseg.inference.guard import InputGuard
    from autoseg.inference.model import TrainedModel
    from autoseg.inference.predictor import Predictor
    from autoseg.sharing.models import ModelFolder

log = logging.getLogger(__name__)

DEFAULT_CONFIGURATION = "3d_fullres"
RECORD = "prediction.json"

Failures = Sequence[tuple[str, str]]
"""Cases that failed, each with its cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """Which trained model to use; None leaves it to what is there.

    Attributes:
        left_open: "trainer" or "identifier" where the user named none, so that the only one that is trained is taken.
    """

    task: str | None = None
    configuration: str | None = None
    trainer: str = DEFAULT_TRAINER
    identifier: str = DEFAULT_IDENTIFIER
    folds: tuple[str, ...] | None = None
    checkpoint: str = "final"
    lowres_segmentations: Path | None = None
    left_open: tuple[str, ...] = ()


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
    default = (choice.configuration or DEFAULT_CONFIGURATION, trainer_class_name(choice.trainer), choice.identifier)
    names = [(model.configuration, model.trainer, model.identifier) for model in fitting]
    listing = [_options(name) for name in names]
    if default in names:
        others = [option for name, option in zip(names, listing, strict=True) if name != default]
        if others:
            log.info("%s: predicting with %s; also trained: %s", task, _options(default), ", ".join(others))
        return choice
    if len(fitting) > 1:
        best = ["--best"] if workspace.selection_file(task).is_file() else []
        lines = "\n".join(f"  {line}" for line in [*listing, *best])
        raise WorkspaceError(
            f"{task}: {counted(len(fitting), 'model is', 'models are')} trained; choose one with\n{lines}"
        )
    if not fitting:
        return choice
    (only,) = fitting
    log.info("%s: predicting with the only model that is trained: %s", task, listing[0])
    trainer = choice.trainer if trainer_class_name(choice.trainer) == only.trainer else only.trainer
    return replace(choice, configuration=only.configuration, trainer=trainer, identifier=only.identifier)


def _fitting_models(task: str, choice: ModelChoice, workspace: Workspace) -> list[ModelFolder]:
    """The models with a finished fold that the choice does not exclude."""
    from autoseg.sharing.models import find_models

    return [
        model
        for model in find_models(workspace.results, task)
        if model.folds(choice.checkpoint)
        and choice.configuration in (None, model.configuration)
        and ("trainer" in choice.left_open or model.trainer == trainer_class_name(choice.trainer))
        and ("identifier" in choice.left_open or model.identifier == choice.identifier)
    ]


def _options(name: tuple[str, str, str]) -> str:
    return "-m {} -tr {} -p {}".format(*name)


def open_model(task: str, choice: ModelChoice, workspace: Workspace) -> TrainedModel:
    """Load a task's trained model.

    Raises:
        WorkspaceError: There is none; what is trained is listed.
        ModelError: Its weights are missing, damaged or of another version.
    """
    configuration = choice.configuration or DEFAULT_CONFIGURATION
    directory = workspace.model_dir(task, configuration, trainer_class_name(choice.trainer), choice.identifier)
    if not directory.is_dir():
        raise WorkspaceError(f"{directory}: no such model; {_trained_instead(task, configuration, choice, workspace)}")
    return load_trained_model(
        directory, configuration, trainer=choice.trainer, folds=choice.folds, checkpoint=choice.checkpoint
    )


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
                record=first / RECORD,
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
                record=None if work_folder is None else work_folder / RECORD,
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
        yield work_folder / f"{model.plan.previous}_predictions"


def first_stage(cascade: TrainedModel, workspace: Workspace, choice: ModelChoice) -> TrainedModel:
    """The model that a cascade refines, with the same folds; final weights, as those the cascade learned from.

    A cascade of fold `all` learned from all the folds of the other.
    """
    configuration = str(cascade.plan.previous)
    task = cascade.plans.dataset
    directory = workspace.model_dir(task, configuration, trainer_class_name(choice.trainer), choice.identifier)
    if not directory.is_dir():
        raise WorkspaceError(
            f"{directory}: no such model, but {cascade.configuration} refines what {configuration} predicts; train it, "
            "install it with the cascade, or give its segmentations (-l)"
        )
    folds = None if cascade.folds == ("all",) else cascade.folds
    return load_trained_model(directory, configuration, trainer=choice.trainer, folds=folds, checkpoint="final")


def _trained_instead(task: str, configuration: str, choice: ModelChoice, workspace: Workspace) -> str:
    from autoseg.sharing.models import find_models

    models = [model for model in find_models(workspace.results, task) if model.folds("final") or model.folds("best")]
    if not models:
        plans = "" if choice.identifier == DEFAULT_IDENTIFIER else f" -p {choice.identifier}"
        return f"train it with: autoseg_train {configuration} {choice.trainer} {task} 0{plans}"
    listing = "\n".join(f"  -m {model.configuration} -tr {model.trainer} -p {model.identifier}" for model in models)
    return f"trained are:\n{listing}"
