"""Augmentations by name, from none to those with what a scanner adds; and a list of steps of one's own."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.catalogue import Catalogue, Part
from autoseg.geometry import Shape
from autoseg.training.augmentation.artefacts import BiasField, Ghosting, Motion, Spikes
from autoseg.training.augmentation.default import (
    Augmentation,
    AugmentationRecipe,
    build_augmentation,
    build_intensity,
    build_no_augmentation,
    build_spatial,
    last_steps,
)
from autoseg.training.augmentation.deformation import Elastic
from autoseg.training.augmentation.steps import build_listed
from autoseg.training.augmentation.strong import build_da3, build_da5
from autoseg.training.augmentation.warping import CUBIC, SplineOrder

LIGHT = AugmentationRecipe(
    rotation=10.0,
    rotation_in_plane=15.0,
    rotation_in_plane_elongated=10.0,
    scale=(0.9, 1.1),
    noise=(0.0, 0.05),
    blur_probability=0.1,
    brightness=(0.9, 1.1),
    contrast=(0.9, 1.1),
    low_resolution_probability=0.0,
    gamma=(0.9, 1.1),
    gamma_probability=0.15,
    inverted_gamma_probability=0.0,
)
"""Ours: for many cases that look alike, and for a training that is short."""

LISTED = "listed"
"""What an augmentation is called that a recipe lists step by step."""


def build_light(
    numbers: AugmentationRecipe = LIGHT,
    *,
    patch_size: Shape,
    dummy_2d: bool,
    mirror_axes: Sequence[int],
    masked_channels: Sequence[int],
) -> Augmentation:
    """The default with narrower ranges, and nothing that blurs much.

    Args:
        numbers: Its ranges and probabilities.
    """
    return build_augmentation(
        numbers,
        patch_size=patch_size,
        dummy_2d=dummy_2d,
        mirror_axes=mirror_axes,
        masked_channels=masked_channels,
    )


def build_mri(
    numbers: AugmentationRecipe = AugmentationRecipe(),  # noqa: B008  # frozen
    *,
    patch_size: Shape,
    dummy_2d: bool,
    mirror_axes: Sequence[int],
    masked_channels: Sequence[int],
) -> Augmentation:
    """The default, with elastic deformation and what a scanner of magnetic resonance adds.

    Args:
        numbers: Ranges and probabilities of what it has from the default.
    """
    return Augmentation(
        spatial=build_spatial(numbers, patch_size=patch_size, dummy_2d=dummy_2d),
        transforms=(
            Elastic().build(dummy_2d),
            BiasField(),
            Motion(),
            Ghosting(),
            Spikes(),
            *build_intensity(numbers, dummy_2d=dummy_2d),
            *last_steps(mirror_axes, masked_channels),
        ),
    )


def build_steps(
    steps: Sequence[Part] = (),
    *,
    patch_size: Shape,
    dummy_2d: bool,
    mirror_axes: Sequence[int],
    masked_channels: Sequence[int],
    spline_order: SplineOrder = CUBIC,
) -> Augmentation:
    """The steps of a list one after the other; mirroring, where the recipe mirrors, comes last.

    Args:
        steps: What is done, in that order.

    Raises:
        TrainingError: A patch would be turned after something else was done.
    """
    spatial, others = build_listed(steps, patch_size=patch_size, dummy_2d=dummy_2d, spline_order=spline_order)
    return Augmentation(spatial=spatial, transforms=(*others, *last_steps(mirror_axes, masked_channels)))


AUGMENTATIONS = Catalogue(
    kind="augmentation",
    entries={
        "none": build_no_augmentation,
        "light": build_light,
        "default": build_augmentation,
        "DA3": build_da3,
        "DA5": build_da5,
        "mri": build_mri,
        LISTED: build_steps,
    },
    given=("patch_size", "dummy_2d", "mirror_axes", "masked_channels", "spline_order"),
)

OTHERWISE_SPELT = {"da3": "DA3", "da5": "DA5"}
"""Names that are taken for those of the catalogue."""
