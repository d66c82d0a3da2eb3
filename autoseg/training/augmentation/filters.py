"""Steps that change intensities by their neighbours or their number: noise of few photons, local contrast, sharpening."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.arrays import Float32Array
from autoseg.training.augmentation.step import ImageStep
from autoseg.training.augmentation.variations import Range

LEAST_EXTENT = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class PoissonNoise(ImageStep):
    """The noise of a picture that few photons made, stronger where it is bright.

    Attributes:
        photons: How many fall on the brightest voxel; fewer make more noise.
    """

    photons: Range = (300.0, 3000.0)

    def image(self, image: Float32Array) -> Float32Array:
        """With the same mean at every voxel."""
        photons = max(1.0, float(np.exp(np.random.uniform(*np.log(np.maximum(self.photons, 1.0))))))
        low, extent = _range(image)
        return np.asarray(np.random.poisson((image - low) / extent * photons) / photons * extent + low, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clahe(ImageStep):
    """Local contrast as even as a limit allows (Zuiderveld 1994), in the image's own range.

    Attributes:
        clip: Greatest share of the voxels around a place that one of 256 grey values may keep; more gives more contrast.
        tile: Side of what counts as around a place, as a share of the patch's.
    """

    clip: Range = (0.005, 0.03)
    tile: float = 0.125

    def image(self, image: Float32Array) -> Float32Array:
        """By skimage."""
        from skimage.exposure import equalize_adapthist

        low, extent = _range(image)
        sides = [max(1, round(side * self.tile)) for side in image.shape]
        even = equalize_adapthist(
            np.clip((image - low) / extent, 0, 1), kernel_size=sides, clip_limit=float(np.random.uniform(*self.clip))
        )
        return np.asarray(even * extent + low, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpening(ImageStep):
    """Edges made stronger: what a blur takes away is added once more; the range stays.

    Attributes:
        sigma: Standard deviation of the blur in voxels.
        strength: How often it is added.
    """

    sigma: Range = (0.5, 1.5)
    strength: Range = (0.3, 1.5)

    def image(self, image: Float32Array) -> Float32Array:
        """By a mask that is not sharp."""
        from scipy.ndimage import gaussian_filter

        blurred = gaussian_filter(image, np.random.uniform(*self.sigma))
        sharp = image + np.random.uniform(*self.strength) * (image - blurred)
        return np.asarray(sharp.clip(image.min(), image.max()), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Median(ImageStep):
    """Each voxel the median of those around it.

    Attributes:
        side: Smallest and largest side of the cube that is looked at, in voxels.
    """

    side: tuple[int, int] = (2, 4)

    def image(self, image: Float32Array) -> Float32Array:
        """By scipy."""
        from scipy.ndimage import median_filter

        return np.asarray(median_filter(image, np.random.randint(self.side[0], self.side[1] + 1)), np.float32)


def _range(image: Float32Array) -> tuple[float, float]:
    low = float(image.min())
    return low, max(float(image.max()) - low, LEAST_EXTENT)
