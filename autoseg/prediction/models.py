"""Trained models, with the network of the user's own trainer or recipe where that names one."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.files.layout import DEFAULT_TRAINER, is_recipe_file
from autoseg.files.model_folder import ModelFolder
from autoseg.inference.model import BuildNetwork, TrainedModel, load_model


def load_trained_model(model: ModelFolder, *, folds: Sequence[str] | None, checkpoint: str) -> TrainedModel:
    """Load a model's folder; the trainer's own file is needed only where it builds a network of its own.

    Raises:
        ModelError: Weights are missing, damaged or of another version, or need the trainer's file.
    """
    return load_model(
        model.folder,
        model.key.configuration,
        folds=folds,
        checkpoint="best" if checkpoint == "best" else "final",
        build_network=_network_builder(model.key.named_trainer),
    )


def _network_builder(reference: str) -> BuildNetwork | None:
    if reference == DEFAULT_TRAINER:
        return None  # the plans' own network, for which the second that importing trainings takes is not spent

    from autoseg.training import RECIPES, find_trainer

    is_named = ":" in reference or is_recipe_file(reference) or reference in RECIPES
    return find_trainer(reference).build_network if is_named else None
