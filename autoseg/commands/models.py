"""Trainers and trained models as the commands name them: `Trainer`, or `my_file.py:MyTrainer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoseg.inference.model import BuildNetwork, TrainedModel
    from autoseg.training import Trainer

DEFAULT_TRAINER = "Trainer"


def trainer_class_name(reference: str) -> str:
    """The class's name, which a model's folder carries, of a reference that may name a file too."""
    return reference.rpartition(":")[2]


def find_trainer(reference: str) -> type[Trainer]:
    """The class that a reference names.

    Raises:
        ExtensionError: There is no such class; the known ones are listed.
    """
    from autoseg import training
    from autoseg.extensions import find_class

    return find_class(reference, base=training.Trainer, modules=[training])


def load_trained_model(
    folder: Path, configuration: str, *, trainer: str, folds: Sequence[str] | None, checkpoint: str
) -> TrainedModel:
    """Load a model's folder; the trainer's own file is needed only where it builds a network of its own.

    Raises:
        ModelError: Weights are missing, damaged or of another version, or need the trainer's file.
    """
    from autoseg.inference.model import load_model

    return load_model(
        folder,
        configuration,
        folds=folds,
        checkpoint="best" if checkpoint == "best" else "final",
        build_network=_network_builder(trainer),
    )


def _network_builder(reference: str) -> BuildNetwork | None:
    if reference == DEFAULT_TRAINER:
        return None  # the plans' own network, for which the second that importing trainings takes is not spent

    from autoseg import training

    if ":" in reference:
        return find_trainer(reference).build_network
    shipped = getattr(training, reference, None)
    return shipped.build_network if isinstance(shipped, type) and issubclass(shipped, training.Trainer) else None
