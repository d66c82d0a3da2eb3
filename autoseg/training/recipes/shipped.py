"""Recipes that the field uses besides the default, each the default but for a few numbers or names.

What each is for stands in documentation/variants.md. Each has a results folder of its own, so they never mix; where only
the length or the first learning rate differs, --epochs and --learning_rate do the same without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from autoseg.files.layout import DEFAULT_TRAINER
from autoseg.networks.build import RECIPE_NETWORKS
from autoseg.training.augmentation.default import AugmentationRecipe
from autoseg.training.augmentation.named import AUGMENTATIONS
from autoseg.training.losses import LOSSES
from autoseg.training.optimisers import OPTIMISERS
from autoseg.training.recipes.recipe import DEFAULT, Recipe

LENGTHS = (5, 20, 50, 100, 250, 500, 2000, 4000)
"""In epochs."""

_dice, _cross_entropy, _top_k, _focal = map(LOSSES.part, ("dice", "cross_entropy", "top_k", "focal"))

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        DEFAULT_TRAINER: DEFAULT,
        **{f"Trainer{epochs}Epochs": replace(DEFAULT, epochs=epochs) for epochs in LENGTHS},
        "TrainerNoMirroring": replace(DEFAULT, mirror=False),
        "TrainerNoAugmentation": replace(DEFAULT, mirror=False, augmentation=AUGMENTATIONS.part("none")),
        "TrainerLinearInterpolation": replace(
            DEFAULT, augmentation=AUGMENTATIONS.part("default", numbers=AugmentationRecipe(order=1))
        ),
        "TrainerDA3": replace(DEFAULT, augmentation=AUGMENTATIONS.part("DA3")),
        "TrainerDA5": replace(DEFAULT, augmentation=AUGMENTATIONS.part("DA5")),
        "TrainerCrossEntropy": replace(DEFAULT, loss=(_cross_entropy,)),
        "TrainerDice": replace(DEFAULT, loss=(_dice,)),
        "TrainerNoSmoothing": replace(DEFAULT, loss=(LOSSES.part("dice", smooth=0.0), _cross_entropy)),
        "TrainerTopK10": replace(DEFAULT, loss=(_top_k,)),
        "TrainerDiceTopK10": replace(DEFAULT, loss=(_dice, _top_k)),
        "TrainerFocal": replace(DEFAULT, loss=(_focal,)),
        "TrainerDiceFocal": replace(DEFAULT, loss=(_dice, _focal)),
        # the rate of the reference system's first generation, and that of MedNeXt (Roy et al. 2023)
        "TrainerAdam": replace(DEFAULT, optimiser=OPTIMISERS.part("Adam"), learning_rate=3e-4),
        "TrainerAdamW": replace(DEFAULT, optimiser=OPTIMISERS.part("AdamW"), learning_rate=1e-3),
        "TrainerBatchNorm": replace(DEFAULT, network=RECIPE_NETWORKS.part("planned", normalisation="batch")),
    }
)
