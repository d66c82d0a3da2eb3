"""How the labels of the stage before a cascade are varied, so that the cascade learns not to trust them blindly.

They are varied as one image of labels: a voxel that one label gains is thereby lost by the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from autoseg.arrays import LabelArray
from autoseg.dataset.target import BACKGROUND, outside_as_background
from autoseg.training.augmentation.default import AugmentationRecipe, Transform
from autoseg.training.augmentation.morphology import closing, dilation, erosion, opening, surroundings

PREVIOUS = 1
"""Channel of a sample's `seg` that holds the previous stage's labels; 0 holds the true ones."""

OPERATIONS = (dilation, erosion, closing, opening)


def build_previous_augmentation(recipe: AugmentationRecipe) -> tuple[Transform, ...]:
    """What is done to the previous stage's labels after everything else."""
    return (
        RandomMorphology(probability=recipe.previous_morphology_probability, radius=recipe.previous_radius),
        RemoveComponent(probability=recipe.previous_removal_probability, largest_share=recipe.previous_removed_share),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomMorphology:
    """Dilates, erodes, closes or opens each label, in random order, by a ball; what a label gains the others lose.

    Attributes:
        probability: Of a sample to be varied.
        radius: Lowest and highest radius of the ball in voxels.
    """

    probability: float
    radius: tuple[float, float]

    def __call__(self, **sample: Any) -> dict[str, Any]:
        for labels in _chosen(sample, self.probability):
            for label in np.random.permutation(_labels_in(labels)):
                operation = OPERATIONS[np.random.randint(len(OPERATIONS))]
                radius = np.random.uniform(*self.radius)
                if (box := surroundings(labels == label, radius)) is not None:
                    part = labels[box]
                    before = part == label
                    after = operation(before, radius)
                    part[before & ~after] = BACKGROUND
                    part[after] = label
        return sample


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveComponent:
    """Turns one small connected component of each label, drawn at random, into background.

    Attributes:
        probability: Of a sample to be varied.
        largest_share: A component of this share of the patch or more always stays.
    """

    probability: float
    largest_share: float

    def __call__(self, **sample: Any) -> dict[str, Any]:
        for labels in _chosen(sample, self.probability):
            neighbours = np.ones((3,) * labels.ndim, dtype=bool)
            for label in _labels_in(labels):
                components, _ = ndimage.label(labels == label, neighbours)
                sizes = np.bincount(components.ravel())[1:]
                small = 1 + np.flatnonzero(sizes < self.largest_share * labels.size)
                if small.size:
                    labels[components == np.random.choice(small)] = BACKGROUND
        return sample


def _chosen(sample: dict[str, Any], probability: float) -> Iterator[LabelArray]:
    """The previous stage's labels `(*patch)` of each sample that is to be varied, to be changed in place."""
    for labels in sample["seg"][:, PREVIOUS]:
        if np.random.uniform() < probability:
            yield labels


def _labels_in(labels: LabelArray) -> list[int]:
    boxes = ndimage.find_objects(outside_as_background(labels))
    return [label for label, box in enumerate(boxes, start=1) if box is not None]
