"""Which trained model to predict with: what the user names of it, and what is there."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.command_words import training_command
from autoseg.errors import WorkspaceError
from autoseg.files.layout import CHECKPOINTS, DEFAULT_CONFIGURATION, DEFAULT_PLANS, DEFAULT_TRAINER
from autoseg.files.model_folder import ModelKey
from autoseg.inference.model import TrainedModel
from autoseg.paths import Workspace, find_models
from autoseg.prediction.models import load_trained_model
from autoseg.words import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """Which trained model to use, as far as the user names it; None leaves it to what is there.

    Attributes:
        trainer: `Trainer`, or `my_file.py:MyTrainer`.
        plans: Their name.
        folds: Those to average; None for every one that is trained.
        checkpoint: "final" or "best" weights.
        lowres_segmentations: For a cascade, the folder of what it refines; None to have it predicted first.
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
class ChosenModel:
    """A model that predicts, with how it was chosen."""

    choice: ModelChoice
    trained: TrainedModel

    @property
    def key(self) -> ModelKey:
        """Which model it is."""
        return self.choice.key(self.trained.plans.dataset)

    @property
    def key_before(self) -> ModelKey | None:
        """The model that a cascade refines; None for other models."""
        previous = self.trained.plan.previous
        return None if previous is None else self.key.of(previous)

    def refining(self, predictions: Path | None) -> ChosenModel:
        """The same, refining what lies in a folder."""
        return replace(self, choice=replace(self.choice, lowres_segmentations=predictions))


def choose_model(task: str, choice: ModelChoice, workspace: Workspace) -> ModelChoice:
    """The choice with what it leaves open: the defaults where these are trained, else the only model that fits.

    What is taken is said, and which others would fit; where none fits, the choice stays as it is.

    Raises:
        WorkspaceError: Several fit; they are listed.
    """
    fitting = _fitting_models(task, choice, workspace)
    default = choice.key(task)
    if default in fitting:
        if others := [key.choice for key in fitting if key != default]:
            log.info("%s: predicting with %s; also trained: %s", task, default.choice, ", ".join(others))
        return choice
    listing = [key.choice for key in fitting]
    if len(fitting) > 1:
        best = ["`best=True`"] if workspace.task(task).selection.is_file() else []
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
    named = choice.key(task)
    return [
        model.key
        for model in find_models(workspace.results, task)
        if model.folds(choice.checkpoint)
        and choice.configuration in (None, model.key.configuration)
        and (choice.trainer is None or model.key.trainer == named.trainer)
        and choice.plans in (None, model.key.plans)
    ]


def open_model(task: str, choice: ModelChoice, workspace: Workspace) -> ChosenModel:
    """Load a task's trained model.

    Raises:
        WorkspaceError: There is none; what is trained is listed.
        ModelError: Its weights are missing, damaged or of another version.
    """
    model = workspace.model(choice.key(task))
    if not model.folder.is_dir():
        raise WorkspaceError(f"{model.folder}: no such model; {_trained_instead(model.key, workspace)}")
    return ChosenModel(
        choice=choice, trained=load_trained_model(model, folds=choice.folds, checkpoint=choice.checkpoint)
    )


def first_stage(cascade: ChosenModel, workspace: Workspace) -> TrainedModel:
    """The model that a cascade refines, with the same folds; final weights, as those the cascade learned from.

    A cascade of fold `all` learned from all the folds of the other.
    """
    trained = cascade.trained
    model = workspace.model(cascade.key.of(str(trained.plan.previous)))
    if not model.folder.is_dir():
        raise WorkspaceError(
            f"{model.folder}: no such model, but {trained.configuration} refines what {model.key.configuration} predicts; "
            "train it, install it with the cascade, or give its segmentations (`lowres_segmentations`)"
        )
    folds = None if trained.folds == ("all",) else trained.folds
    return load_trained_model(model, folds=folds, checkpoint="final")


def _trained_instead(wanted: ModelKey, workspace: Workspace) -> str:
    models = [model for model in find_models(workspace.results, wanted.task) if any(map(model.folds, CHECKPOINTS))]
    if not models:
        return f"train it with: {training_command(wanted, '0')}"
    listing = "\n".join(f"  {model.key.choice}" for model in models)
    return f"trained are:\n{listing}"
