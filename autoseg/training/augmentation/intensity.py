"""What changes the intensities of a patch, voxel by voxel or by its neighbours.

The draws and their order, and what is done, are those of batchgenerators' transforms, whose places these take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from autoseg.geometry import Shape
from autoseg.training.augmentation.axis_weights import blur_weights, multiplied
from autoseg.training.augmentation.variations import (
    Drawing,
    Range,
    Values,
    Variation,
    draw_around_one,
    draw_between,
    is_drawn,
)

RANGE_EPSILON = 1e-7
DEVIATION_EPSILON = 1e-8
"""Added to divisors (batchgenerators)."""


@dataclass(frozen=True, slots=True, eq=False)
class Noise(Variation):
    """Adds `field`, `(C, *patch)`."""

    field: Values

    def apply(self, data: Values, labels: Values) -> None:  # noqa: ARG002
        """Change `data` in place."""
        data += self.field

    def mapped(self, function: Callable[[Any], Any]) -> Noise:
        """With another field."""
        return replace(self, field=function(self.field))


@dataclass(frozen=True, slots=True)
class Blur(Variation):
    """Blurs each channel by a Gaussian of so many voxels of standard deviation, or not (0)."""

    sigmas: tuple[float, ...]

    def apply(self, data: Values, labels: Values) -> None:  # noqa: ARG002
        """Change `data` in place."""
        from scipy.ndimage import gaussian_filter

        for channel, sigma in zip(data, self.sigmas, strict=True):
            if sigma:
                gaussian_filter(channel, sigma, output=channel)

    def apply_on_device(self, data: Tensor, labels: Tensor) -> None:  # noqa: ARG002
        """Change `data` in place."""
        for channel, sigma in zip(data, self.sigmas, strict=True):
            if sigma:
                weights = [blur_weights(side, sigma, data.device) for side in channel.shape]
                channel.copy_(multiplied(channel[None], weights)[0])


@dataclass(frozen=True, slots=True)
class Brightness(Variation):
    """Multiplies each channel."""

    factors: tuple[float, ...]

    def apply(self, data: Values, labels: Values) -> None:  # noqa: ARG002
        """Change `data` in place."""
        for channel, factor in zip(data, self.factors, strict=True):
            channel *= factor


@dataclass(frozen=True, slots=True)
class Contrast(Variation):
    """Multiplies each channel's distances from its mean, and keeps its range."""

    factors: tuple[float, ...]

    def apply(self, data: Values, labels: Values) -> None:  # noqa: ARG002
        """Change `data` in place."""
        for channel, factor in zip(data, self.factors, strict=True):
            mean, low, high = channel.mean(), channel.min(), channel.max()
            channel[...] = ((channel - mean) * factor + mean).clip(low, high)


@dataclass(frozen=True, slots=True)
class Gamma(Variation):
    """Raises each channel, brought to 0 to 1, to a power, and gives it back its range, mean and standard deviation.

    Attributes:
        is_inverted: Done to the negative image.
    """

    exponents: tuple[float, ...]
    is_inverted: bool

    def apply(self, data: Values, labels: Values) -> None:  # noqa: ARG002
        """Change `data` in place."""
        for channel, exponent in zip(data, self.exponents, strict=True):
            changed = _to_the_power(-channel if self.is_inverted else channel, exponent)
            channel[...] = -changed if self.is_inverted else changed


@dataclass(frozen=True, slots=True)
class RandomNoise(Drawing):
    """Gaussian noise whose standard deviation all channels share."""

    deviation: Range
    probability: float

    def draw(self, channels: int, shape: Shape) -> Noise | None:
        """The noise itself, so that it is the same wherever it is added."""
        if not is_drawn(self.probability):
            return None
        deviation = draw_between(self.deviation)
        return Noise(np.stack([_noise_of_channel(deviation, shape) for _ in range(channels)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomBlur(Drawing):
    """Gaussian blur, by voxels that are drawn for each channel."""

    sigma: Range
    probability: float
    channel_probability: float

    def draw(self, channels: int, shape: Shape) -> Blur | None:  # noqa: ARG002
        """For each channel how much."""
        if not is_drawn(self.probability):
            return None
        drawn = (np.random.uniform() <= self.channel_probability for _ in range(channels))
        return Blur(tuple(draw_between(self.sigma) if blurred else 0.0 for blurred in drawn))


@dataclass(frozen=True, slots=True)
class RandomBrightness(Drawing):
    """A factor for each channel."""

    factor: Range
    probability: float

    def draw(self, channels: int, shape: Shape) -> Brightness | None:  # noqa: ARG002
        """For each channel its factor."""
        if not is_drawn(self.probability):
            return None
        np.random.uniform(*self.factor)  # batchgenerators draws one for all channels, and then does not use it
        return Brightness(tuple(float(np.random.uniform(*self.factor)) for _ in range(channels)))


@dataclass(frozen=True, slots=True)
class RandomContrast(Drawing):
    """More or less contrast, drawn for each channel."""

    factor: Range
    probability: float

    def draw(self, channels: int, shape: Shape) -> Contrast | None:  # noqa: ARG002
        """For each channel its factor."""
        if not is_drawn(self.probability):
            return None
        return Contrast(tuple(_drawn_for_each(channels, self.factor)))


@dataclass(frozen=True, slots=True)
class RandomGamma(Drawing):
    """Darker or brighter middle intensities, drawn for each channel."""

    exponent: Range
    probability: float
    is_inverted: bool = False

    def draw(self, channels: int, shape: Shape) -> Gamma | None:  # noqa: ARG002
        """For each channel its exponent."""
        if not is_drawn(self.probability):
            return None
        exponents = tuple(draw_around_one(self.exponent) for _ in range(channels))
        return Gamma(exponents, is_inverted=self.is_inverted)


def _drawn_for_each(channels: int, ends: Range) -> list[float]:
    factors = []
    for _ in range(channels):
        np.random.uniform()  # batchgenerators decides for each channel whether to change it; here always
        factors.append(draw_around_one(ends))
    return factors


def _noise_of_channel(deviation: float, shape: Shape) -> Values:
    np.random.uniform()  # as for contrast
    return np.random.normal(0.0, deviation, size=shape)


def _to_the_power(image: Values, exponent: float) -> Values:
    mean, deviation = image.mean(), _deviation(image)
    low = image.min()
    extent = image.max() - low + RANGE_EPSILON
    changed = ((image - low) / extent) ** exponent * extent + low
    changed = changed - changed.mean()
    return changed / (_deviation(changed) + DEVIATION_EPSILON) * deviation + mean


def _deviation(image: Values) -> Values:
    return image.std(correction=0) if isinstance(image, Tensor) else image.std()
