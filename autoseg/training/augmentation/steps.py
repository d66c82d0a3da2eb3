"""An augmentation as a list of steps by name, in the order in which they are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autoseg.arrays import Array
from autoseg.catalogue import Catalogue, Part, Settings, Within
from autoseg.errors import TrainingError
from autoseg.geometry import Shape
from autoseg.training.augmentation.artefacts import BiasField, Ghosting, Motion, Spikes
from autoseg.training.augmentation.default import (
    AugmentationRecipe,
    Transform,
    build_spatial,
)
from autoseg.training.augmentation.deformation import Elastic, QuarterTurns
from autoseg.training.augmentation.filters import Clahe, Median, PoissonNoise, Sharpening
from autoseg.training.augmentation.intensity import (
    RandomBlur,
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomNoise,
)
from autoseg.training.augmentation.local_effects import (
    LOCAL_CENTRE,
    BlankRectangles,
    gradient_strength,
    local_gamma,
    local_size,
)
from autoseg.training.augmentation.low_resolution import SimulateLowResolution
from autoseg.training.augmentation.spatial import SpatialTransform
from autoseg.training.augmentation.step import require_range
from autoseg.training.augmentation.variations import Range
from autoseg.training.augmentation.warping import SplineOrder

CHANNEL_PROBABILITY = 0.5
DEFAULT = AugmentationRecipe()


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationAndScale(Settings):
    """Turned and scaled about the middle, only ever the first step: the image is read as far as that needs.

    Attributes:
        degrees: Greatest angle about each axis; null takes the default's: 30, within planes 180, in long ones 15.
        rotation_probability: That a sample is rotated.
        scale: Factor of the coordinates, half of the draws below 1 (zoom in).
        scale_probability: That a sample is scaled.
        order: Of the spline for the image; null takes what suits the device that trains.
    """

    degrees: float | None = None
    rotation_probability: float = DEFAULT.rotation_probability
    scale: Range = DEFAULT.scale
    scale_probability: float = DEFAULT.scale_probability
    order: SplineOrder | None = None

    def __post_init__(self) -> None:
        require_range("scale", self.scale)

    def build(self, patch_size: Shape, dummy_2d: bool, spline_order: SplineOrder) -> SpatialTransform:
        """As the plan's patch is."""
        chosen: dict[str, Any] = {}
        if self.degrees is not None:
            chosen = dict.fromkeys(("rotation", "rotation_in_plane", "rotation_in_plane_elongated"), self.degrees)
        numbers = AugmentationRecipe(
            rotation_probability=self.rotation_probability,
            scale=self.scale,
            scale_probability=self.scale_probability,
            order=spline_order if self.order is None else self.order,
            **chosen,
        )
        return build_spatial(numbers, patch_size=patch_size, dummy_2d=dummy_2d)


def noise(deviation: Range = DEFAULT.noise, probability: float = DEFAULT.noise_probability) -> Transform:
    """Gaussian noise.

    Args:
        deviation: Its standard deviation.
        probability: That a sample gets it.
    """
    return RandomNoise(deviation, probability)


def blur(
    sigma: Range = DEFAULT.blur, probability: float = DEFAULT.blur_probability, channel_probability: float = 0.5
) -> Transform:
    """Gaussian blur.

    Args:
        sigma: Its standard deviation in voxels.
        probability: That a sample is blurred.
        channel_probability: Of such a sample, that a channel is.
    """
    return RandomBlur(sigma=sigma, probability=probability, channel_probability=channel_probability)


def brightness(factor: Range = DEFAULT.brightness, probability: float = DEFAULT.brightness_probability) -> Transform:
    """All intensities multiplied.

    Args:
        factor: What by.
        probability: That a sample's are.
    """
    return RandomBrightness(factor, probability)


def contrast(factor: Range = DEFAULT.contrast, probability: float = DEFAULT.contrast_probability) -> Transform:
    """Distances from the mean intensity multiplied.

    Args:
        factor: What by.
        probability: That a sample's are.
    """
    return RandomContrast(factor, probability)


def low_resolution(
    dummy_2d: bool,
    zoom: Range = DEFAULT.low_resolution,
    probability: float = DEFAULT.low_resolution_probability,
    channel_probability: float = 0.5,
) -> Transform:
    """Reduced and enlarged again.

    Args:
        zoom: Factor of the number of voxels along each axis.
        probability: That a sample is.
        channel_probability: Of such a sample, that a channel is.
    """
    return SimulateLowResolution(
        zoom=zoom,
        sample_probability=probability,
        channel_probability=channel_probability,
        ignored_axes=(0,) if dummy_2d else (),
    )


def gamma(
    exponent: Range = DEFAULT.gamma, probability: float = DEFAULT.gamma_probability, inverted: bool = False
) -> Transform:
    """Darker or brighter middle intensities.

    Args:
        exponent: To which intensities from 0 to 1 are raised, half of the draws below 1.
        probability: That a sample's are.
        inverted: Whether it is done to the negative.
    """
    return RandomGamma(exponent, probability, is_inverted=inverted)


def additive_brightness(
    deviation: float = 0.2, probability: float = 0.3, channel_probability: float = 0.5
) -> Transform:
    """The same number added to all intensities of a channel.

    Args:
        deviation: Its standard deviation.
        probability: That a sample is changed.
        channel_probability: Of such a sample, that a channel is.
    """
    from batchgenerators.transforms.color_transforms import BrightnessTransform

    return BrightnessTransform(  # type: ignore[no-any-return]
        0, deviation, per_channel=True, p_per_sample=probability, p_per_channel=channel_probability
    )


def brightness_gradient(probability: float = 0.3, channel_probability: float = 0.5) -> Transform:
    """Brighter or darker around a place.

    Args:
        probability: That a sample is changed.
        channel_probability: Of such a sample, that a channel is.
    """
    from batchgenerators.transforms.local_transforms import BrightnessGradientAdditiveTransform

    return BrightnessGradientAdditiveTransform(  # type: ignore[no-any-return]
        local_size,
        LOCAL_CENTRE,
        max_strength=gradient_strength,
        mean_centered=False,
        same_for_all_channels=False,
        p_per_sample=probability,
        p_per_channel=channel_probability,
    )


def gamma_around_a_place(probability: float = 0.3, channel_probability: float = 0.5) -> Transform:
    """Darker or brighter middle intensities around a place.

    Args:
        probability: That a sample is changed.
        channel_probability: Of such a sample, that a channel is.
    """
    from batchgenerators.transforms.local_transforms import LocalGammaTransform

    return LocalGammaTransform(  # type: ignore[no-any-return]
        local_size,
        LOCAL_CENTRE,
        gamma=local_gamma,
        same_for_all_channels=False,
        p_per_sample=probability,
        p_per_channel=channel_probability,
    )


def blank_rectangles(patch_size: Shape, number: tuple[int, int] = (1, 5), probability: float = 0.4) -> Transform:
    """Boxes filled with the mean of what was in them.

    Args:
        number: Fewest and most boxes of a channel.
        probability: That a sample gets them.
    """
    return BlankRectangles(patch_size=patch_size, number=number, sample_probability=probability)


def exchanged_axes(patch_size: Shape, dummy_2d: bool, probability: float = 0.5) -> Transform:
    """Axes of the same length exchanged; nothing where no two are.

    Args:
        probability: That a sample is changed.
    """
    from batchgenerators.transforms.spatial_transforms import TransposeAxesTransform

    axes = equal_axes(patch_size, dummy_2d)
    if len(axes) < 2:
        return _unchanged
    return TransposeAxesTransform(axes, p_per_sample=probability)  # type: ignore[no-any-return]


def _unchanged(**arrays: Array) -> dict[str, Array]:
    return arrays


def equal_axes(patch_size: Shape, dummy_2d: bool) -> tuple[int, ...]:
    """The axes of the most frequent length, without that of thick slices."""
    candidates = range(1 if dummy_2d else 0, len(patch_size))
    groups = [tuple(axis for axis in candidates if patch_size[axis] == patch_size[one]) for one in candidates]
    return max(groups, key=len)


LARGEST = 100
"""Of intensities that have a deviation of 1, of factors and exponents, and of rectangles; what is beyond is a slip."""

LARGEST_SIGMA = 20
"""Voxels."""

STEPS = Catalogue(
    kind="step",
    entries={
        "rotation_and_scale": RotationAndScale,
        "elastic": Elastic,
        "quarter_turns": QuarterTurns,
        "exchanged_axes": exchanged_axes,
        "noise": noise,
        "poisson_noise": PoissonNoise,
        "blur": blur,
        "median": Median,
        "sharpening": Sharpening,
        "brightness": brightness,
        "additive_brightness": additive_brightness,
        "brightness_gradient": brightness_gradient,
        "contrast": contrast,
        "clahe": Clahe,
        "gamma": gamma,
        "local_gamma": gamma_around_a_place,
        "low_resolution": low_resolution,
        "blank_rectangles": blank_rectangles,
        "bias_field": BiasField,
        "motion": Motion,
        "ghosting": Ghosting,
        "spikes": Spikes,
    },
    given=("patch_size", "dummy_2d", "spline_order"),
    within={
        **dict.fromkeys(
            ("probability", "channel_probability", "rotation_probability", "scale_probability"), Within(0, 1)
        ),
        "noise.deviation": Within(0, LARGEST, rising=True),
        "additive_brightness.deviation": Within(0, LARGEST),
        "blur.sigma": Within(0, LARGEST_SIGMA, rising=True),
        "brightness.factor": Within(0, LARGEST, rising=True),
        "contrast.factor": Within(0, LARGEST, rising=True),
        "gamma.exponent": Within(0, LARGEST, above=True, rising=True),
        "low_resolution.zoom": Within(0, 1, above=True, rising=True),
        "blank_rectangles.number": Within(0, LARGEST, rising=True),
    },
)


def require_turned_first(steps: Sequence[Part]) -> None:
    """Refuse a patch that is turned after something else was done.

    Raises:
        TrainingError: It would be.
    """
    for number, part in enumerate(steps):
        if number and STEPS.entries.get(part.name) is RotationAndScale:
            raise TrainingError(f"augmentation[{number}]: {part.name} is the first step, and there is one at most")


def build_listed(
    steps: Sequence[Part], *, patch_size: Shape, dummy_2d: bool, spline_order: SplineOrder
) -> tuple[SpatialTransform | None, tuple[Transform, ...]]:
    """What turns and scales, and the other steps.

    Raises:
        TrainingError: A patch would be turned after something else was done.
    """
    require_turned_first(steps)
    built = [STEPS.build(part, patch_size=patch_size, dummy_2d=dummy_2d, spline_order=spline_order) for part in steps]
    spatial = built[0] if built and isinstance(built[0], SpatialTransform) else None
    return spatial, tuple(built[1:] if spatial else built)
