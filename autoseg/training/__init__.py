"""Training: from prepared cases and a plan to the weights of one fold."""

from autoseg.training.settings import TrainingSettings
from autoseg.training.splits import Split, open_split
from autoseg.training.trainer import Trainer

__all__ = ["Split", "Trainer", "TrainingSettings", "open_split"]
