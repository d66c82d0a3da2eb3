"""What a user may name as the trainer: a recipe that ships, a recipe file, or a class in a file of their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.catalogue import code_digests
from autoseg.errors import ExtensionError
from autoseg.extensions import find_class
from autoseg.files.layout import is_recipe_file, recipe_name
from autoseg.inference.model import BuildNetwork
from autoseg.networks.build import build_named_network
from autoseg.training.fold.data import FoldData
from autoseg.training.recipes.file import read_recipe
from autoseg.training.recipes.recipe import Recipe
from autoseg.training.recipes.record import RecipeRecord, own_code, recorded
from autoseg.training.recipes.shipped import RECIPES
from autoseg.training.settings import TrainingSettings
from autoseg.training.several_tasks import TrainerOfTasks
from autoseg.training.trainer import Trainer
from autoseg.words import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerChoice:
    """A recipe, the class that trains by it, and what its models are called after."""

    name: str
    recipe: Recipe
    kind: type[Trainer] = Trainer

    def build(self, data: FoldData, *, settings: TrainingSettings | None = None, device: str | None = None) -> Trainer:
        """A trainer; see `Parts` for the arguments."""
        kind = TrainerOfTasks if self.recipe.tasks else self.kind
        return kind(data, settings=settings, device=device, recipe=self.recipe, name=self.name)

    @property
    def build_network(self) -> BuildNetwork:
        """The class's own way, or the recipe's."""
        own = self.kind.builds_own_network()
        return self.kind.build_network if own else partial(build_named_network, self.recipe.network)

    @property
    def record(self) -> RecipeRecord:
        """What can be told of it before a training; of a class only the user's files, which hold its numbers."""
        values = recorded(self.recipe) if self.kind is Trainer else {}
        return RecipeRecord(values=values, code=own_code(self.kind) | code_digests(self.recipe.parts))


def find_trainer(reference: str) -> TrainerChoice:
    """The trainer that a reference names: `TrainerDice`, `my_recipe.json` or `my_file.py:MyTrainer`.

    Raises:
        ExtensionError: There is none; the known ones are listed. Or a recipe file does not hold a recipe.
    """
    if is_recipe_file(reference):
        path = Path(reference)
        return TrainerChoice(name=recipe_name(path), recipe=read_recipe(path))
    if ":" in reference:
        kind = find_class(reference, base=Trainer, modules=())
        return TrainerChoice(name=kind.__name__, recipe=kind.as_recipe(), kind=kind)
    if reference not in RECIPES:
        raise ExtensionError(
            f"no trainer is called {reference!r}; known: {', '.join(sorted(RECIPES))}{nearest(reference, RECIPES)}; name a "
            "recipe file as path/to/recipe.json, a class of your own as path/to/file.py:ClassName"
        )
    return TrainerChoice(name=reference, recipe=RECIPES[reference])
