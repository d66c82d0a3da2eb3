"""How the labels of the stage before a cascade are varied, so that the cascade learns not to trust them blindly.

They are varied as one image of labels: a voxel that one label gains is thereby lost by the others. Planes, of outputs that
may overlap or are fractions, are varied each for itself, by where they hold more than half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from autoseg.arrays import LabelArray
from autoseg.dataset.coding import BACKGROUND, WHOLE, outside_as_background
from autoseg.training.augmentation.default import AugmentationRecipe, Transform
from autoseg.training.augmentation.morphology import closing, dilation, erosion, opening, surroundings

PREVIOUS = 1
"""Channel of a sample's `seg` from which on it holds the previous stage's labels, behind one map of the true ones."""

OPERATIONS = (dilation, erosion, closing, opening)


def build_previous_augmentation(
    recipe: AugmentationRecipe, *, first: int = PREVIOUS, planes: bool = False
) -> tuple[Transform, ...]:
    """What is done to the previous stage's labels after everything else.

    Args:
        first: Of the channels of a sample's `seg` that hold them.
        planes: Whether these are planes, and not one map.
    """
    return (
        RandomMorphology(
            probability=recipe.previous_morphology_probability,
            radius=recipe.previous_radius,
            first=first,
            planes=planes,
        ),
        RemoveComponent(
            probability=recipe.previous_removal_probability,
            largest_share=recipe.previous_removed_share,
            first=first,
            planes=planes,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfPrevious:
    """What is done to the previous stage's labels of some samples.

    Attributes:
        probability: Of a sample to be varied.
        first, planes: As for `build_previous_augmentation`.
    """

    probability: float
    first: int = PREVIOUS
    planes: bool = False

    def __call__(self, **sample: Any) -> dict[str, Any]:
        for maps in sample["seg"][:, self.first :]:
            if np.random.uniform() < self.probability:
                for labels in maps:
                    self._vary(labels)
        return sample

    def _vary(self, labels: LabelArray) -> None:
        if not self.planes:
            self.change(labels)
            return
        held = (labels > WHOLE / 2).astype(np.int8)
        before = held.copy()
        self.change(held)
        labels[held < before] = BACKGROUND
        labels[held > before] = WHOLE

    def change(self, labels: LabelArray) -> None:
        """Vary a map of labels `(*patch)` in place."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomMorphology(_OfPrevious):
    """Dilates, erodes, closes or opens each label, in random order, by a ball; what a label gains the others lose.

    Attributes:
        radius: Lowest and highest radius of the ball in voxels.
    """

    radius: tuple[float, float]

    def change(self, labels: LabelArray) -> None:
        """Vary a map of labels `(*patch)` in place."""
        for label in np.random.permutation(_labels_in(labels)):
            operation = OPERATIONS[np.random.randint(len(OPERATIONS))]
            radius = np.random.uniform(*self.radius)
            if (box := surroundings(labels == label, radius)) is not None:
                part = labels[box]
                before = part == label
                after = operation(before, radius)
                part[before & ~after] = BACKGROUND
                part[after] = label


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveComponent(_OfPrevious):
    """Turns one small connected component of each label, drawn at random, into background.

    Attributes:
        largest_share: A component of this share of the patch or more always stays.
    """

    largest_share: float

    def change(self, labels: LabelArray) -> None:
        """Vary a map of labels `(*patch)` in place."""
        neighbours = np.ones((3,) * labels.ndim, dtype=bool)
        for label in _labels_in(labels):
            components, _ = ndimage.label(labels == label, neighbours)
            sizes = np.bincount(components.ravel())[1:]
            small = 1 + np.flatnonzero(sizes < self.largest_share * labels.size)
            if small.size:
                labels[components == np.random.choice(small)] = BACKGROUND


def _labels_in(labels: LabelArray) -> list[int]:
    boxes = ndimage.find_objects(outside_as_background(labels))
    return [label for label, box in enumerate(boxes, start=1) if box is not None]
