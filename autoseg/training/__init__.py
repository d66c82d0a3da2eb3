"""Training: from prepared cases and a plan to the weights of one fold. Trainers imported here are shipped by name."""

from autoseg.dataset.splits import Split, open_split
from autoseg.training.settings import TrainingSettings
from autoseg.training.trainer import Trainer
from autoseg.training.trainers import find_trainer
from autoseg.training.variants import (
    Trainer5Epochs,
    Trainer20Epochs,
    Trainer50Epochs,
    Trainer100Epochs,
    Trainer250Epochs,
    Trainer500Epochs,
    Trainer2000Epochs,
    Trainer4000Epochs,
    TrainerAdam,
    TrainerAdamW,
    TrainerBatchNorm,
    TrainerCrossEntropy,
    TrainerDA3,
    TrainerDA5,
    TrainerDice,
    TrainerDiceFocal,
    TrainerDiceTopK10,
    TrainerFocal,
    TrainerLinearInterpolation,
    TrainerNoAugmentation,
    TrainerNoMirroring,
    TrainerNoSmoothing,
    TrainerTopK10,
)
from autoseg.training.workspace import build_trainer

__all__ = [
    "Split",
    "Trainer",
    "Trainer5Epochs",
    "Trainer20Epochs",
    "Trainer50Epochs",
    "Trainer100Epochs",
    "Trainer250Epochs",
    "Trainer500Epochs",
    "Trainer2000Epochs",
    "Trainer4000Epochs",
    "TrainerAdam",
    "TrainerAdamW",
    "TrainerBatchNorm",
    "TrainerCrossEntropy",
    "TrainerDA3",
    "TrainerDA5",
    "TrainerDice",
    "TrainerDiceFocal",
    "TrainerDiceTopK10",
    "TrainerFocal",
    "TrainerLinearInterpolation",
    "TrainerNoAugmentation",
    "TrainerNoMirroring",
    "TrainerNoSmoothing",
    "TrainerTopK10",
    "TrainingSettings",
    "build_trainer",
    "find_trainer",
    "open_split",
]
