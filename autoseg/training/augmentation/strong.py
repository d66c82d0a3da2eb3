"""Two stronger augmentations that the field knows as DA3 and DA5: elastic deformation, right angles, local effects.

Unlike the default they rotate, scale and deform through batchgenerators, which reads a window that holds every angle
and scale, whether or not one is drawn.

Source of the numbers, where no other is named: the reference system's trainers of these names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.dataset.target import OUTSIDE
from autoseg.geometry import Shape
from autoseg.training.augmentation.default import (
    Augmentation,
    AugmentationRecipe,
    OutsideBecomesBackground,
    RandomMirroring,
    Transform,
    ZeroOutside,
    build_intensity,
    build_spatial,
)
from autoseg.training.augmentation.intensity import RandomGamma, RandomNoise
from autoseg.training.augmentation.interpolation import OUTSIDE_DATA
from autoseg.training.augmentation.local_effects import (
    CHANNEL_PROBABILITY,
    LOCAL_CENTRE,
    BlankRectangles,
    gradient_strength,
    local_gamma,
    local_size,
)
from autoseg.training.augmentation.low_resolution import SimulateLowResolution
from autoseg.training.augmentation.steps import equal_axes
from autoseg.training.augmentation.warping import CUBIC

DA3 = AugmentationRecipe(
    rotation_probability=0.3,
    scale=(0.65, 1.6),
    scale_probability=0.3,
    noise_probability=0.15,
    blur=(0.5, 1.5),
    brightness=(0.7, 1.3),
    contrast=(0.65, 1.5),
    gamma=(0.5, 1.6),
    inverted_gamma_probability=0.15,
)

DA5 = AugmentationRecipe(
    rotation_probability=0.4,
    scale=(0.7, 1.43),
    scale_probability=0.2,
    noise_probability=0.1,
    blur=(0.3, 1.5),
    contrast=(0.5, 2.0),
    contrast_probability=0.2,
    low_resolution=(0.25, 1.0),
    low_resolution_probability=0.15,
    gamma=(0.7, 1.5),
    inverted_gamma_probability=0.1,
)


def build_da3(
    numbers: AugmentationRecipe = DA3,
    *,
    patch_size: Shape,
    dummy_2d: bool,
    mirror_axes: Sequence[int],
    masked_channels: Sequence[int],
) -> Augmentation:
    """Wider ranges than the default, each axis scaled for itself, elastic deformation, additive brightness.

    Args:
        numbers: Its ranges and probabilities.
    """
    from batchgenerators.transforms.color_transforms import BrightnessTransform

    noise, blur, brightness, *others = build_intensity(numbers, dummy_2d=dummy_2d)
    return Augmentation(
        window=window_of(numbers, patch_size=patch_size, dummy_2d=dummy_2d),
        transforms=(
            flexible_spatial(
                numbers,
                patch_size=patch_size,
                dummy_2d=dummy_2d,
                elastic_probability=0.3,
                rotated_axis_probability=1.0,
                scaled_axis_probability=0.3,
            ),
            noise,
            blur,
            brightness,
            BrightnessTransform(0, 0.2, per_channel=True, p_per_sample=0.3, p_per_channel=CHANNEL_PROBABILITY),
            *others,
            *_mirror(mirror_axes),
            *_last_steps(masked_channels),
        ),
    )


def build_da5(
    numbers: AugmentationRecipe = DA5,
    *,
    patch_size: Shape,
    dummy_2d: bool,
    mirror_axes: Sequence[int],
    masked_channels: Sequence[int],
) -> Augmentation:
    """Right angles and exchanged axes, filters, blank rectangles, and effects that vary over the patch.

    Args:
        numbers: Its ranges and probabilities.
    """
    return Augmentation(
        window=window_of(numbers, patch_size=patch_size, dummy_2d=dummy_2d),
        transforms=(
            flexible_spatial(
                numbers,
                patch_size=patch_size,
                dummy_2d=dummy_2d,
                elastic_probability=0.0,
                rotated_axis_probability=0.5,
                scaled_axis_probability=1.0,
            ),
            *_right_angles(patch_size, dummy_2d),
            *_da5_intensity(numbers, dummy_2d),
            *_mirror(mirror_axes),
            BlankRectangles(patch_size=patch_size, number=(1, 5), sample_probability=0.4),
            *_local_effects(),
            *_last_steps(masked_channels),
        ),
    )


def flexible_spatial(
    recipe: AugmentationRecipe,
    *,
    patch_size: Shape,
    dummy_2d: bool,
    elastic_probability: float,
    rotated_axis_probability: float,
    scaled_axis_probability: float,
) -> Transform:
    """Rotation, scaling and elastic deformation that crop the window to the patch; within slices where `dummy_2d`."""
    from batchgenerators.transforms.spatial_transforms import SpatialTransform_2

    angles = build_spatial(recipe, patch_size=patch_size, dummy_2d=dummy_2d).angles
    x, y, z = (angles * 3)[:3]
    transform = SpatialTransform_2(
        patch_size[1:] if dummy_2d else patch_size,
        do_elastic_deform=elastic_probability > 0,
        deformation_scale=(0, 0.25),
        p_el_per_sample=elastic_probability,
        angle_x=x,
        angle_y=y,
        angle_z=z,
        p_rot_per_sample=recipe.rotation_probability,
        p_rot_per_axis=rotated_axis_probability,
        scale=recipe.scale,
        p_scale_per_sample=recipe.scale_probability,
        independent_scale_for_each_axis=True,
        p_independent_scale_per_axis=scaled_axis_probability,
        border_mode_data="constant",
        border_cval_data=OUTSIDE_DATA,
        order_data=CUBIC if recipe.order is None else recipe.order,
        border_mode_seg="constant",
        border_cval_seg=OUTSIDE,
        order_seg=1,
        random_crop=False,
    )
    return WithinSlices(transform) if dummy_2d else transform


def window_of(recipe: AugmentationRecipe, *, patch_size: Shape, dummy_2d: bool) -> Shape:
    """What is read around the patch: enough for every angle about one axis at the greatest scale.

    The patch stays exactly in its middle. Several angles at once may reach beyond at the corners, which are then empty.
    """
    spatial = build_spatial(recipe, patch_size=patch_size, dummy_2d=dummy_2d)
    patch = np.array(patch_size[1:] if dummy_2d else patch_size, dtype=float)
    needed = patch.copy()
    pairs = [(0, 1)] if len(patch) == 2 else [(1, 2), (0, 2), (0, 1)]
    for (first, second), (_, limit) in zip(pairs, spatial.angles, strict=False):
        needed[first] = max(needed[first], _rotated_side(patch[first], patch[second], limit))
        needed[second] = max(needed[second], _rotated_side(patch[second], patch[first], limit))
    margins = np.ceil((needed * max(recipe.scale) - patch) / 2).astype(int)
    window = tuple((patch.astype(int) + 2 * margins).tolist())
    return (patch_size[0], *window) if dummy_2d else window


@dataclass(frozen=True, slots=True)
class WithinSlices:
    """Applies a two-dimensional transform to all slices of the first axis alike."""

    transform: Transform

    def __call__(self, **sample: Any) -> dict[str, Any]:
        slices = {key: sample[key].shape[2] for key in ("data", "seg")}
        for key in slices:
            batch, channels, depth, *plane = sample[key].shape
            sample[key] = sample[key].reshape(batch, channels * depth, *plane)
        sample = self.transform(**sample)
        for key, depth in slices.items():
            batch, _, *plane = sample[key].shape
            sample[key] = sample[key].reshape(batch, -1, depth, *plane)
        return sample


def whole_labels(**sample: Any) -> dict[str, Any]:
    """Labels as whole numbers again: batchgenerators' interpolation returns them as floats."""
    sample["seg"] = sample["seg"].astype(np.int16)
    return sample


def _mirror(axes: Sequence[int]) -> list[Transform]:
    return [RandomMirroring(tuple(axes))] if axes else []


def _last_steps(masked_channels: Sequence[int]) -> list[Transform]:
    masked = [ZeroOutside(tuple(masked_channels))] if masked_channels else []
    return [*masked, whole_labels, OutsideBecomesBackground()]


def _right_angles(patch_size: Shape, dummy_2d: bool) -> list[Transform]:
    """Turns by 90 degrees and exchanges of axes, among those of the most frequent length."""
    from batchgenerators.transforms.spatial_transforms import Rot90Transform, TransposeAxesTransform

    axes = equal_axes(patch_size, dummy_2d)
    if len(axes) < 2:
        return []
    return [
        Rot90Transform((0, 1, 2, 3), axes=axes, p_per_sample=0.5),
        TransposeAxesTransform(axes, p_per_sample=0.5),
    ]


def _da5_intensity(recipe: AugmentationRecipe, dummy_2d: bool) -> tuple[Transform, ...]:
    from batchgenerators.transforms.color_transforms import BrightnessTransform, ContrastAugmentationTransform
    from batchgenerators.transforms.noise_transforms import GaussianBlurTransform, MedianFilterTransform
    from batchgenerators.transforms.utility_transforms import OneOfTransform

    filters = {"p_per_sample": recipe.blur_probability, "p_per_channel": CHANNEL_PROBABILITY}
    contrasts = [
        ContrastAugmentationTransform(
            recipe.contrast,
            preserve_range=preserved,
            p_per_sample=recipe.contrast_probability,
            p_per_channel=CHANNEL_PROBABILITY,
        )
        for preserved in (True, False)
    ]
    gammas = [RandomGamma(recipe.gamma, recipe.inverted_gamma_probability, is_inverted=True)] * 2
    return (
        OneOfTransform([MedianFilterTransform((2, 8), **filters), GaussianBlurTransform(recipe.blur, **filters)]),
        RandomNoise(recipe.noise, recipe.noise_probability),
        BrightnessTransform(0, 0.5, per_channel=True, p_per_sample=0.1, p_per_channel=CHANNEL_PROBABILITY),
        OneOfTransform(contrasts),
        SimulateLowResolution(
            zoom=recipe.low_resolution,
            sample_probability=recipe.low_resolution_probability,
            channel_probability=CHANNEL_PROBABILITY,
            ignored_axes=(0,) if dummy_2d else (),
        ),
        *gammas,
    )


def _local_effects() -> tuple[Transform, ...]:
    from batchgenerators.transforms.local_transforms import BrightnessGradientAdditiveTransform, LocalGammaTransform
    from batchgenerators.transforms.noise_transforms import SharpeningTransform

    each = {"same_for_all_channels": False, "p_per_sample": 0.3, "p_per_channel": CHANNEL_PROBABILITY}
    return (
        BrightnessGradientAdditiveTransform(
            local_size, LOCAL_CENTRE, max_strength=gradient_strength, mean_centered=False, **each
        ),
        LocalGammaTransform(local_size, LOCAL_CENTRE, gamma=local_gamma, **each),
        SharpeningTransform(
            (0.1, 1.0), same_for_each_channel=False, p_per_sample=0.2, p_per_channel=CHANNEL_PROBABILITY
        ),
    )


def _rotated_side(side: float, other: float, limit: float) -> float:
    """The greatest extent along an axis of a rectangle that is turned by at most `limit` (radians)."""
    angle = min(limit, math.atan2(other, side))
    return side * math.cos(angle) + other * math.sin(angle)
