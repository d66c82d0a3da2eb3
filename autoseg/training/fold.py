"""The folder of one fold: what lies in it, and the plans beside it that its model shares."""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import TrainingError
from autoseg.inference.model import PLANS_FILE
from autoseg.plans import Plans, load_plans, plan_signature, save_plans
from autoseg.training.run_record import RUN_FILE

CHECKPOINT_FILE = "checkpoint.pt"
LOG_FILE = "training.log"
VALIDATION_FOLDERS = {"final": "validation_raw", "best": "validation_raw_best"}
TRAINING_FILES = (
    CHECKPOINT_FILE,
    "weights_final.pt",
    "weights_best.pt",
    "history.json",
    "history.csv",
    "progress.png",
    LOG_FILE,
    RUN_FILE,
    "debug.json",
    "architecture.txt",
    "architecture.png",
)
TRAINING_FOLDERS = (*VALIDATION_FOLDERS.values(), "tensorboard")


def weights_file(fold: Path, checkpoint: str) -> Path:
    """The weights "final" or "best"."""
    return fold / f"weights_{checkpoint}.pt"


def write_model_plans(plans: Plans, configuration: str, fold: Path) -> None:
    """Write the plans into the model's folder, beside its folds.

    Raises:
        TrainingError: Another fold there was trained with other plans.
    """
    path = fold.parent / PLANS_FILE
    others = sorted(file.parent.name for file in fold.parent.glob("*/weights_final.pt") if file.parent != fold)
    if others and path.is_file():
        if plan_signature(load_plans(path), configuration) != plan_signature(plans, configuration):
            raise TrainingError(
                f"{path}: {', '.join(others)} were trained with other plans than these; "
                "train with the same, or give the new plans another name (-p) so that they get a folder of their own"
            )
        return
    save_plans(plans, path)


def require_model_plans(plans: Plans, configuration: str, fold: Path) -> None:
    """Refuse to validate with other plans than the model's.

    Raises:
        TrainingError: The model was trained with others.
    """
    path = fold.parent / PLANS_FILE
    if path.is_file() and plan_signature(load_plans(path), configuration) != plan_signature(plans, configuration):
        raise TrainingError(
            f"{path}: this model was trained with other plans than those now in the task's folder; "
            "name the plans it was trained with (-p), or train it anew with --overwrite"
        )
