"""A synthetic task, made on the spot: two organs in a body, for trying the whole walk without any data.

Each case is a noisy volume of its own size and voxel size. A large organ and a small one beside it differ from what
surrounds them only a little in brightness, their borders wave, the field is uneven, and bright vessels look like the
small organ but are not labelled, so that brightness alone does not solve it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.arrays import Float64Array, Mask
from autoseg.files.layout import DATASET_FILE
from autoseg.files.storage import write_json
from autoseg.geometry import Geometry
from autoseg.images import write_image

LABELS = ("background", "large organ", "small organ")
EXTENT_MM = ((30.0, 34.0), (40.0, 46.0), (38.0, 44.0))
"""Range of a case's size along z, y, x."""
SPACING_MM = ((1.1, 1.5), (0.9, 1.1), (0.9, 1.1))
"""Range of the voxel sides along z, y, x."""

TISSUE, LARGE, SMALL = 100.0, 145.0, 180.0
NOISE, TEXTURE, FIELD = 15.0, 10.0, 0.15
WAVES = 0.35
"""How far borders wave, as a share of the organ's size."""
VESSELS = 5


def make_phantom_task(raw_data: Path, task: str, *, cases: int = 20, test_cases: int = 4, seed: int = 0) -> Path:
    """Write a raw task of `cases` labelled and `test_cases` held-out volumes and return its folder.

    The true labels of the held-out cases lie beside the folder's others in `labelsTs`; nothing but scoring reads them.
    """
    folder = raw_data / task
    identifiers = [f"phantom_{number:03d}" for number in range(cases + test_cases)]
    for number, identifier in enumerate(identifiers):
        image, label, geometry = make_phantom(np.random.default_rng((seed, number)))
        part = "Tr" if number < cases else "Ts"
        write_image(folder / f"images{part}" / f"{identifier}_0000.nii.gz", image, geometry)
        write_image(folder / f"labels{part}" / f"{identifier}.nii.gz", label, geometry)
    description = {
        "name": task.partition("_")[2],
        "description": "synthetic volumes of two organs",
        "modality": {"0": "MRI"},
        "labels": {str(value): name for value, name in enumerate(LABELS)},
        "numTraining": cases,
        "numTest": test_cases,
        "training": [
            {"image": f"./imagesTr/{identifier}.nii.gz", "label": f"./labelsTr/{identifier}.nii.gz"}
            for identifier in identifiers[:cases]
        ],
        "test": [f"./imagesTs/{identifier}.nii.gz" for identifier in identifiers[cases:]],
    }
    write_json(folder / DATASET_FILE, description)
    return folder


def make_phantom(generator: np.random.Generator) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], Geometry]:
    """Draw one volume: image and label `(Z, Y, X)`, and the grid they lie on."""
    z, y, x = (round(float(generator.uniform(*bounds)), 3) for bounds in SPACING_MM)
    extent = [generator.uniform(*bounds) for bounds in EXTENT_MM]
    shape = tuple(round(size / side) for size, side in zip(extent, (z, y, x), strict=True))
    position = _positions(shape, (z, y, x))

    body = _ellipsoid(position, np.zeros(3), np.array(extent) * 0.47) < 1
    centre = generator.uniform((-3, -6, -6), (3, -2, -2))
    large = _organ(generator, position, centre, generator.uniform((9, 9, 8), (12, 12, 11)))
    small = _organ(generator, position, centre + (0, 15, 8), generator.uniform((5, 5, 4), (8, 7, 6)))
    vessels = np.any([_vessel(generator, position) for _ in range(VESSELS)], axis=0)
    label = np.zeros(shape, np.uint8)
    label[body & small] = 2
    label[body & large] = 1

    brightness = np.where(vessels, SMALL, TISSUE)
    brightness = np.choose(label, [brightness, LARGE, SMALL])
    uneven = 1 + FIELD * _smooth_noise(generator, shape, 10 / np.array((z, y, x)))
    image = brightness * uneven + TEXTURE * _smooth_noise(generator, shape, 1.5 / np.array((z, y, x)))
    image = np.where(body, image + generator.normal(0, NOISE, shape), 0)
    return image.round().astype(np.int16), label, Geometry(spacing=(z, y, x))


def _organ(generator: np.random.Generator, position: Float64Array, centre: Float64Array, radii: Float64Array) -> Mask:
    """Where an ellipsoid with a wavy border lies; `position` is `(3, Z, Y, X)` in mm."""
    spacing = position[:, -1, -1, -1] - position[:, -2, -2, -2]
    waves = WAVES * _smooth_noise(generator, position.shape[1:], 0.5 * radii / spacing)
    inside: Mask = _ellipsoid(position, centre, radii) + waves < 1
    return inside


def _vessel(generator: np.random.Generator, position: Float64Array) -> Mask:
    centre = generator.uniform((-12, -16, -16), (12, 16, 16))
    inside: Mask = _ellipsoid(position, centre, generator.uniform(1.2, 2.2, 3)) < 1
    return inside


def _positions(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> Float64Array:
    """Each voxel's place in mm from the middle of the volume, `(3, Z, Y, X)`."""
    axes = [(np.arange(size) - (size - 1) / 2) * side for size, side in zip(shape, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def _ellipsoid(position: Float64Array, centre: Float64Array, radii: Float64Array) -> Float64Array:
    """Below 1 inside, above 1 outside, growing outwards."""
    offset = (position - centre[:, None, None, None]) / radii[:, None, None, None]
    distance: Float64Array = np.sqrt((offset**2).sum(axis=0))
    return distance


def _smooth_noise(generator: np.random.Generator, shape: tuple[int, ...], voxels: Float64Array) -> Float64Array:
    """Noise of mean 0 and deviation 1 that changes over about as many voxels along each axis as given."""
    noise = ndimage.gaussian_filter(generator.normal(size=shape), voxels, mode="reflect")
    smooth: Float64Array = (noise - noise.mean()) / noise.std()
    return smooth
