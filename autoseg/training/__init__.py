"""Training: from prepared cases and a plan to the weights of one fold."""

from autoseg.dataset.folds import Split
from autoseg.dataset.splits import open_split
from autoseg.training.choice import TrainerChoice, find_trainer
from autoseg.training.recipes.file import read_recipe, write_recipe
from autoseg.training.recipes.recipe import Recipe
from autoseg.training.recipes.shipped import RECIPES
from autoseg.training.settings import TrainingSettings
from autoseg.training.trainer import Trainer
from autoseg.training.workspace import build_trainer

__all__ = [
    "RECIPES",
    "Recipe",
    "Split",
    "Trainer",
    "TrainerChoice",
    "TrainingSettings",
    "build_trainer",
    "find_trainer",
    "open_split",
    "read_recipe",
    "write_recipe",
]
