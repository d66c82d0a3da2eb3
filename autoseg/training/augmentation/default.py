"""How a training patch is varied: the spatial step, then batchgenerators' transforms in a fixed order.

Every transform is called with the sample's arrays by name (`data` `(1, C, *patch)` float32, `seg` `(1, S, *patch)`)
and returns them; it draws from numpy's and python's global generators, which are seeded for each sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from autoseg.dataset.target import OUTSIDE, is_outside
from autoseg.geometry import Shape
from autoseg.training.augmentation.device_warping import ORDERS
from autoseg.training.augmentation.intensity import (
    RandomBlur,
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomNoise,
)
from autoseg.training.augmentation.low_resolution import SimulateLowResolution
from autoseg.training.augmentation.spatial import SpatialTransform
from autoseg.training.augmentation.variations import Always, Drawing, Values, Variation, is_drawn
from autoseg.training.augmentation.warping import CUBIC, LINEAR, SplineOrder

Transform: TypeAlias = Callable[..., dict[str, Any]]

ELONGATED = 1.5
"""A two-dimensional patch whose sides differ more than this is not turned upside down (Isensee et al. 2021)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What happens to a patch between the prepared case and the network.

    Attributes:
        transforms: Applied one after the other.
        spatial: Applied first; it is asked for the window it needs before the case is read.
        window: For `transforms` that crop to the patch themselves, batchgenerators' own `SpatialTransform` for
            example: the shape of what is read around the patch. None: the patch.
    """

    transforms: tuple[Transform, ...] = ()
    spatial: SpatialTransform | None = None
    window: Shape | None = None

    @property
    def has_device_form(self) -> bool:
        """Whether a device can do all of it, and is spared the workers much by that: they turn and scale images."""
        drawn = all(isinstance(transform, Drawing) for transform in self.transforms)
        return drawn and self.spatial is not None and self.spatial.order in ORDERS

    def draw(self, channels: int, shape: Shape) -> tuple[Variation, ...]:
        """What all transforms draw one after the other, where there is a device form."""
        drawn = (transform.draw(channels, shape) for transform in self.transforms if isinstance(transform, Drawing))
        return tuple(one for one in drawn if one is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationRecipe:
    """Every number of the default augmentation; probabilities are per sample.

    Source: Isensee et al. 2021, "Fixed parameters: data augmentation".

    Attributes:
        rotation: Greatest angle in degrees about each axis, in three dimensions.
        rotation_in_plane: The same in two dimensions and for thick slices.
        rotation_in_plane_elongated: The same for elongated patches of two dimensions.
        rotation_probability: That a sample is rotated.
        scale: Factor of the coordinates, half of the draws below 1 (zoom in).
        scale_probability: That a sample is scaled.
        order: Of the spline that interpolates data; 1 is faster and blurs a little. None takes what suits the device that
            trains: 3 on a CPU, 1 on a GPU, which would wait for batches.
        noise: Standard deviation of Gaussian noise.
        noise_probability: That a sample gets noise.
        blur: Standard deviation of Gaussian blur in voxels, drawn for each channel.
        blur_probability: That a sample is blurred.
        blur_channel_probability: Of such a sample, that a channel is.
        brightness: Factor of all intensities.
        brightness_probability: That a sample's are multiplied.
        contrast: Factor of the distance from the mean intensity.
        contrast_probability: That a sample's is.
        low_resolution: Zoom to which data are reduced and enlarged again.
        low_resolution_probability: That a sample is.
        low_resolution_channel_probability: Of such a sample, that a channel is.
        gamma: Exponent, half of the draws below 1.
        inverted_gamma_probability: That it is applied to a sample's negative.
        gamma_probability: That it is applied to a sample.
        previous_radius: Of the ball, in voxels, that changes the previous stage's labels of a cascade.
        previous_morphology_probability: That a sample's are changed so.
        previous_removed_share: Components below this share of the patch may be removed from those labels.
        previous_removal_probability: That a sample's are.
    """

    rotation: float = 30.0
    rotation_in_plane: float = 180.0
    rotation_in_plane_elongated: float = 15.0
    rotation_probability: float = 0.2
    scale: tuple[float, float] = (0.7, 1.4)
    scale_probability: float = 0.2
    order: SplineOrder | None = None
    noise: tuple[float, float] = (0.0, 0.1)
    noise_probability: float = 0.1
    blur: tuple[float, float] = (0.5, 1.0)
    blur_probability: float = 0.2
    blur_channel_probability: float = 0.5
    brightness: tuple[float, float] = (0.75, 1.25)
    brightness_probability: float = 0.15
    contrast: tuple[float, float] = (0.75, 1.25)
    contrast_probability: float = 0.15
    low_resolution: tuple[float, float] = (0.5, 1.0)
    low_resolution_probability: float = 0.25
    low_resolution_channel_probability: float = 0.5
    gamma: tuple[float, float] = (0.7, 1.5)
    inverted_gamma_probability: float = 0.1
    gamma_probability: float = 0.3
    previous_radius: tuple[float, float] = (1.0, 8.0)
    previous_morphology_probability: float = 0.4
    previous_removed_share: float = 0.15
    previous_removal_probability: float = 0.2


DEFAULT = AugmentationRecipe()


def build_augmentation(
    numbers: AugmentationRecipe = DEFAULT,
    *,
    patch_size: Shape,
    dummy_2d: bool,
    mirror_axes: Sequence[int],
    masked_channels: Sequence[int],
) -> Augmentation:
    """The default training augmentation.

    Args:
        numbers: Its ranges and probabilities.
        dummy_2d: Slices are much thicker than wide: rotate, scale and blur resolution within them only.
        masked_channels: Channels that were normalised inside the mask and stay 0 outside of it.
    """
    return Augmentation(
        spatial=build_spatial(numbers, patch_size=patch_size, dummy_2d=dummy_2d),
        transforms=(
            *build_intensity(numbers, dummy_2d=dummy_2d),
            *last_steps(mirror_axes, masked_channels),
        ),
    )


def last_steps(mirror_axes: Sequence[int], masked_channels: Sequence[int]) -> tuple[Transform, ...]:
    """Mirroring, and what makes a patch ready for the network."""
    return (
        *([RandomMirroring(tuple(mirror_axes))] if mirror_axes else []),
        *([ZeroOutside(tuple(masked_channels))] if masked_channels else []),
        OutsideBecomesBackground(),
    )


def suiting_order(device: str) -> SplineOrder:
    """By which spline data are interpolated where nobody chose, by the type of the device that trains.

    A GPU takes batches faster than a dozen processes interpolate them by cubic splines; the Dice of trainings with either
    differs by less than that of two seeds (documentation/performance.md, "Cubic and linear interpolation").
    """
    return CUBIC if device == "cpu" else LINEAR


def build_no_augmentation() -> Augmentation:
    """Patches as they are, not even those of a cascade's previous stage are varied."""
    return build_validation_augmentation()


def build_validation_augmentation() -> Augmentation:
    """Nothing is varied."""
    return Augmentation(transforms=(OutsideBecomesBackground(),))


def build_spatial(recipe: AugmentationRecipe, *, patch_size: Shape, dummy_2d: bool) -> SpatialTransform:
    """Rotation and scaling; about all axes in three dimensions, else within the plane."""
    degrees = recipe.rotation
    if len(patch_size) == 2 and max(patch_size) > ELONGATED * min(patch_size):
        degrees = recipe.rotation_in_plane_elongated
    elif len(patch_size) == 2 or dummy_2d:
        degrees = recipe.rotation_in_plane
    limits = (-math.radians(degrees), math.radians(degrees))
    return SpatialTransform(
        patch_size=patch_size,
        angles=(limits,) * (3 if len(patch_size) == 3 else 1),
        rotation_probability=recipe.rotation_probability,
        scale=recipe.scale,
        scale_probability=recipe.scale_probability,
        in_plane=dummy_2d,
        order=CUBIC if recipe.order is None else recipe.order,
    )


def build_intensity(recipe: AugmentationRecipe, *, dummy_2d: bool) -> tuple[Transform, ...]:
    """What changes data only, in the published order."""
    return (
        RandomNoise(recipe.noise, recipe.noise_probability),
        RandomBlur(
            sigma=recipe.blur,
            probability=recipe.blur_probability,
            channel_probability=recipe.blur_channel_probability,
        ),
        RandomBrightness(recipe.brightness, recipe.brightness_probability),
        RandomContrast(recipe.contrast, recipe.contrast_probability),
        SimulateLowResolution(
            zoom=recipe.low_resolution,
            sample_probability=recipe.low_resolution_probability,
            channel_probability=recipe.low_resolution_channel_probability,
            ignored_axes=(0,) if dummy_2d else (),
        ),
        RandomGamma(recipe.gamma, recipe.inverted_gamma_probability, is_inverted=True),
        RandomGamma(recipe.gamma, recipe.gamma_probability),
    )


@dataclass(frozen=True, slots=True)
class Mirroring(Variation):
    """Turns some axes of the patch round."""

    axes: tuple[int, ...]

    def apply(self, data: Values, labels: Values) -> None:
        """Change both in place."""
        for values in (data, labels):
            values[...] = np.flip(values, tuple(1 + axis for axis in self.axes))

    def apply_on_device(self, data: Tensor, labels: Tensor) -> None:
        """Change both in place."""
        for values in (data, labels):
            values.copy_(values.flip([1 + axis for axis in self.axes]))


@dataclass(frozen=True, slots=True)
class RandomMirroring(Drawing):
    """Turns each of the axes of the patch round in half of the samples, as batchgenerators' `MirrorTransform` does."""

    axes: tuple[int, ...]

    def draw(self, channels: int, shape: Shape) -> Mirroring | None:  # noqa: ARG002
        """Which axes."""
        np.random.uniform()  # batchgenerators decides for each sample whether to mirror it at all; here always
        drawn = tuple(axis for axis in sorted(self.axes) if axis < len(shape) and is_drawn(0.5))
        return Mirroring(drawn) if drawn else None


@dataclass(frozen=True, slots=True)
class ZeroOutside(Always):
    """Sets channels to 0 where the segmentation says outside of the mask."""

    channels: tuple[int, ...]

    def apply(self, data: Values, labels: Values) -> None:
        """Change `data` in place."""
        outside = is_outside(labels).any(axis=0)
        for channel in self.channels:
            data[channel][outside] = 0

    def apply_on_device(self, data: Tensor, labels: Tensor) -> None:
        """Change `data` in place."""
        outside = (labels == OUTSIDE).any(dim=0)
        for channel in self.channels:
            data[channel].masked_fill_(outside, 0)


@dataclass(frozen=True, slots=True)
class OutsideBecomesBackground(Always):
    """What is outside of the mask or of the image is learned as background."""

    def apply(self, data: Values, labels: Values) -> None:  # noqa: ARG002
        """Change `labels` in place."""
        labels += labels == OUTSIDE  # which is -1; what is ignored stays so
