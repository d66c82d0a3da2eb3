"""Recipes that the field uses besides the default, each the default but for a few numbers or names.

What each is for stands in documentation/variants.md. Each has a results folder of its own, so they never mix; where only
the length or the first learning rate differs, --epochs and --learning_rate do the same without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from autoseg.catalogue import Part
from autoseg.files.layout import DEFAULT_TRAINER
from autoseg.networks.build import RECIPE_NETWORKS
from autoseg.training.augmentation.default import AugmentationRecipe
from autoseg.training.augmentation.named import AUGMENTATIONS, LISTED
from autoseg.training.augmentation.steps import STEPS
from autoseg.training.ending import STOPPINGS
from autoseg.training.losses import LOSSES
from autoseg.training.optimisers import OPTIMISERS
from autoseg.training.recipes.recipe import DEFAULT, Recipe
from autoseg.training.schedule import SCHEDULES

LENGTHS = (5, 20, 50, 100, 250, 500, 2000, 4000)
"""In epochs."""

_dice, _cross_entropy, _top_k, _focal = map(LOSSES.part, ("dice", "cross_entropy", "top_k", "focal"))

PLANES, VALIDATION_PLANES, PLANES_OF_A_BATCH = 2500, 3500, 16
"""Of an epoch of the Multi-Planar U-Net, and at once."""

MPUNET = replace(
    DEFAULT,
    epochs=500,
    iterations_per_epoch=PLANES // PLANES_OF_A_BATCH,
    validation_batches=VALIDATION_PLANES // PLANES_OF_A_BATCH,
    batch_size=PLANES_OF_A_BATCH,
    learning_rate=5e-5,
    network=RECIPE_NETWORKS.part("unet_multiplanar"),
    loss=(_cross_entropy,),
    optimiser=OPTIMISERS.part("Adam", weight_decay=0.0, amsgrad=False),
    schedule=SCHEDULES.part("on_plateau", patience=2, factor=0.9, watch="dice", least_improvement=0.0),
    stopping=STOPPINGS.part("early", patience=15, watch="dice", factor=1.0),
    augmentation=Part(
        name=LISTED, settings={"steps": (STEPS.part("elastic", probability=0.333, smoothness=(20.0, 30.0)),)}
    ),
    foreground_fraction=0.5,
    mirror=False,
    frequency_bias=True,
)
"""How the Multi-Planar U-Net is trained by its authors (Perslev et al. 2019, arXiv 1911.01764, and its software)."""

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
        "mpunet": MPUNET,
    }
)
