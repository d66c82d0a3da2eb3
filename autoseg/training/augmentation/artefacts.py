"""What a scanner adds to images: uneven coils, a patient who moves, echoes, stray radio waves.

Sources: Sudre et al. 2017 (bias field as a polynomial), Shaw et al. 2019 (motion), Perez-Garcia et al. 2021 (ghosts, spikes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from autoseg.arrays import Array, Float32Array
from autoseg.training.augmentation.step import ImageStep
from autoseg.training.augmentation.variations import Range

KEPT_IN_THE_MIDDLE = 0.02
"""Share of the frequencies, around the lowest, that no ghost touches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasField(ImageStep):
    """Brighter here and darker there: multiplied by e to the power of a polynomial of the place.

    Attributes:
        order: Of the polynomial.
        strength: Greatest absolute coefficient, the place counted from -1 to 1 along each side.
    """

    order: int = 3
    strength: Range = (0.1, 0.5)

    def image(self, image: Float32Array) -> Float32Array:
        """Counted from its lowest value."""
        axes = np.ogrid[tuple(slice(-1, 1, complex(0, side)) for side in image.shape)]
        strength = np.random.uniform(*self.strength)
        exponent: Array = np.zeros(image.shape)
        for powers in product(range(self.order + 1), repeat=image.ndim):
            if 0 < sum(powers) <= self.order:
                term = math.prod(axis**power for axis, power in zip(axes, powers, strict=True))
                exponent = exponent + np.random.uniform(-strength, strength) * term
        low = image.min()
        return np.asarray(low + (image - low) * np.exp(exponent), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion(ImageStep):
    """As if the patient had moved while it was recorded: frequencies of one axis come from images that are turned and shifted.

    Attributes:
        degrees: How far it is turned, either way.
        shift: How far it is shifted along each axis, either way, in voxels.
        moves: How often.
    """

    probability: float = 0.1
    degrees: Range = (0.5, 5.0)
    shift: Range = (0.0, 3.0)
    moves: int = 2

    def image(self, image: Float32Array) -> Float32Array:
        """By Fourier's transform, and back."""
        axis = np.random.randint(image.ndim)
        ends = np.sort(np.random.uniform(0, 1, self.moves)) * image.shape[axis]
        spectrum = np.moveaxis(_spectrum(image), axis, 0)
        middle = image.shape[axis] // 2
        for end in map(int, ends):  # what was recorded before, the lowest frequencies as they were at rest
            moved = np.moveaxis(_spectrum(self._moved(image)), axis, 0)
            part = slice(0, end) if end <= middle else slice(end, None)
            spectrum[part] = moved[part]
        return _image(np.moveaxis(spectrum, 0, axis))

    def _moved(self, image: Float32Array) -> Array:
        from scipy.ndimage import rotate, shift

        plane = tuple(np.random.permutation(image.ndim)[:2].tolist())
        angle = np.random.uniform(*self.degrees) * np.random.choice((-1, 1))
        turned = rotate(image, angle, axes=plane, reshape=False, order=1, mode="nearest")
        way = np.random.uniform(*self.shift, size=image.ndim) * np.random.choice((-1, 1), size=image.ndim)
        return np.asarray(shift(turned, way, order=1, mode="nearest"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ghosting(ImageStep):
    """Pale copies along an axis: every n-th of its frequencies is weaker.

    Attributes:
        ghosts: Fewest and most copies.
        strength: How much weaker, 1 leaves nothing of them.
    """

    probability: float = 0.1
    ghosts: tuple[int, int] = (3, 8)
    strength: Range = (0.5, 1.0)

    def image(self, image: Float32Array) -> Float32Array:
        """By Fourier's transform, and back."""
        axis, every = np.random.randint(image.ndim), np.random.randint(self.ghosts[0], self.ghosts[1] + 1)
        spectrum = np.moveaxis(_spectrum(image), axis, 0)
        numbers = np.arange(len(spectrum)) - len(spectrum) // 2
        weaker = (numbers % max(1, every) == 0) & (np.abs(numbers) > KEPT_IN_THE_MIDDLE * len(spectrum))
        spectrum[weaker] *= 1 - np.random.uniform(*self.strength)
        return _image(np.moveaxis(spectrum, 0, axis))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spikes(ImageStep):
    """Stripes across all of the image: single frequencies that are far too strong.

    Attributes:
        number: Fewest and most.
        strength: Height of the stripes, in standard deviations of the image.
    """

    probability: float = 0.05
    number: tuple[int, int] = (1, 2)
    strength: Range = (0.2, 0.6)

    def image(self, image: Float32Array) -> Float32Array:
        """With waves of those frequencies added."""
        deviation = float(image.std())
        changed: Array = image.astype(np.float64)
        for _ in range(np.random.randint(self.number[0], self.number[1] + 1)):
            waves = [np.random.randint(-(side // 4), side // 4 + 1) for side in image.shape]
            axes = np.ogrid[tuple(slice(0, side) for side in image.shape)]
            turns = sum(wave * axis / side for wave, axis, side in zip(waves, axes, image.shape, strict=True))
            height = np.random.uniform(*self.strength) * deviation
            changed = changed + height * np.cos(2 * math.pi * (turns + np.random.uniform()))
        return np.asarray(changed, dtype=np.float32)


def _spectrum(image: Array) -> Array:
    """Frequencies, the lowest in the middle."""
    return np.fft.fftshift(np.fft.fftn(image))


def _image(spectrum: Array) -> Float32Array:
    return np.asarray(np.fft.ifftn(np.fft.ifftshift(spectrum)).real, dtype=np.float32)
