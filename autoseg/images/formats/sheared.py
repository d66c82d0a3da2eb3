"""Images whose axes are not perpendicular, as of a tilted gantry, resampled onto a straight grid through nibabel."""

from __future__ import annotations

import numpy as np

from autoseg.arrays import Array, Float32Array, Float64Array
from autoseg.geometry import Shape

LINEAR, NEAREST = 1, 0
"""Orders of splines: images, and labels, whose values must not be mixed."""


def straight_grid(shape: Shape, affine: Float64Array, spacing: tuple[float, ...]) -> tuple[Shape, Float64Array]:
    """The grid along the patient's axes that holds all of an image: its shape, and voxel to position.

    Args:
        shape: (x, y, z), as are all others.
        affine: 4x4, mm.
        spacing: Voxel size of the image, mm; along each of the patient's axes the grid has that of the image's axis nearest to it.
    """
    from nibabel.orientations import io_orientation
    from nibabel.spaces import vox2out_vox

    nearest = io_orientation(affine)[:, 0].astype(int)
    sides = [spacing[axis] for axis in np.argsort(nearest)]
    found, placed = vox2out_vox((shape, affine), sides)
    return tuple(map(int, found)), np.asarray(placed, dtype=np.float64)


def straightened(voxels: Array, affine: Float64Array, grid: tuple[Shape, Float64Array], *, label: bool) -> Float32Array:
    """`(z, y, x)` voxels on another grid; what the image does not reach is its least value, of labels background.

    Args:
        voxels: `(z, y, x)`.
        affine: 4x4, of x, y, z.
        grid: From `straight_grid`.
    """
    from nibabel.nifti1 import Nifti1Image
    from nibabel.processing import resample_from_to

    image = Nifti1Image(np.asarray(voxels, dtype=np.float32).T, affine)
    outside = 0.0 if label else float(voxels.min())
    resampled = resample_from_to(image, grid, order=NEAREST if label else LINEAR, mode="constant", cval=outside)
    return np.ascontiguousarray(np.asarray(resampled.dataobj, dtype=np.float32).T)
