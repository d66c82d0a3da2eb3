"""Bringing images and segmentations onto another voxel grid.

Spline resampling is linear and acts on each axis alone, so an axis is one small banded matrix, kept by (voxels in,
voxels out, order), and a volume is resampled slab by slab with matrix products: the same values as
`skimage.transform.resize(mode="edge", anti_aliasing=False)` in a fraction of its time, with a few slices of memory
beyond the result.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from threadpoolctl import ThreadpoolController

from autoseg.arrays import Array, Float32Array, FloatArray, LabelArray, LabelType
from autoseg.dataset.coding import IGNORED
from autoseg.errors import PlanError
from autoseg.geometry import SPACING_TOLERANCE, Shape, Spacing

Order = Literal[0, 1, 2, 3]

ANISOTROPY_THRESHOLD = 3.0
"""Largest over smallest voxel side above which slices are not mixed with each other (Isensee et al. 2021, Fig. 2)."""

IMAGE_ORDER: Order = 3
"""Cubic splines (Isensee et al. 2021, Fig. 2)."""

SEGMENTATION_ORDER: Order = 1
"""Linear interpolation of each label's map (Isensee et al. 2021, Fig. 2)."""

SEPARATED_ORDER: Order = 0
"""Nearest slice (Isensee et al. 2021, Fig. 2)."""

HALF = 0.5 - 1e-6
"""A label's map wins from one half on; single precision may leave an exact half this little below."""

NEGLIGIBLE = 1e-7
"""Smaller weights become zero: a spline's fade by 0.27 with each voxel and end in denormals, slow to multiply."""

SLAB = 16
"""Slices made at once: enough for efficient products, few enough to bound memory."""

PANEL = 64
"""Rows and columns made at once; the fewer, the fewer of the zeros beside the matrix's band are multiplied."""


def resampled_shape(shape: Shape, spacing: Spacing, target: Spacing) -> Shape:
    """Voxels per axis after resampling from `spacing` to `target` (mm); at least one."""
    sides = zip(shape, spacing, target, strict=True)
    return tuple(max(1, round(old / new * voxels)) for voxels, old, new in sides)


def separated_axis(spacing: Spacing, target: Spacing) -> int | None:
    """The axis along which slices are copied, not interpolated; None when there is none.

    It is the axis of the largest voxel side of `spacing` where that grid is anisotropic, else of `target` where that
    one is. Two or three equally large sides (but for rounding) leave no slice direction, so nothing is separated.

    Args:
        spacing: Voxel size in mm the case was recorded with, for either direction of resampling.
        target: Voxel size in mm the case is prepared with, in the same axis order.
    """
    for sides in (spacing, target):
        if max(sides) / min(sides) > ANISOTROPY_THRESHOLD:
            largest = [axis for axis, side in enumerate(sides) if side > max(sides) * (1 - SPACING_TOLERANCE)]
            return largest[0] if len(largest) == 1 else None
    return None


def resample_image(image: FloatArray, *, shape: Shape, separated: int | None) -> Float32Array:
    """Resample a multi-channel image onto a grid of another shape and the same extent.

    Cubic in every direction; with a separated axis cubic within its slices and nearest across them. Values stay
    within the range of the volume (with a separated axis, of the slice), so splines add no overshoot.

    Args:
        image: `(C, Z, Y, X)` finite intensities; channels are resampled independently.
        shape: Wanted `(Z', Y', X')` in voxels.
        separated: What `separated_axis` found for these axes.

    Returns:
        `(C, Z', Y', X')` float32, always a new array.

    Raises:
        PlanError: If a side of `shape` is below one voxel.

    Source: Isensee et al. 2021, Fig. 2, "Image resampling strategy".
    """
    if image.shape[1:] == shape:
        return np.array(image, dtype=np.float32, order="C")
    resampled = np.empty((len(image), *shape), dtype=np.float32)
    with _ONE_THREAD:
        for channel, result in zip(image, resampled, strict=True):
            source, target = (np.moveaxis(array, separated or 0, 0) for array in (channel, result))
            slabs = ImageSlabs(channel.shape, shape, separated=separated, limits=(channel.min(), channel.max()))
            for number, rows in enumerate(slabs.rows):
                slabs.make(number, source, out=target[rows])
    return resampled


class Volume(Protocol):
    """`(A, B, C)` of any type of which some slices along A are read, such as an array."""

    def __getitem__(self, slices: slice, /) -> Array: ...


class ImageSlabs:
    """How `resample_image` makes a channel, `SLAB` slices at a time along the separated axis, else the first.

    Each slab can be made by itself, of the slices alone that it draws on.

    Args:
        old, new: `(Z, Y, X)`, two different ones.
        separated: What `separated_axis` found for these axes.
        limits: The least and the largest value of the channel.

    Raises:
        PlanError: If a side of `new` is below one voxel.
    """

    def __init__(self, old: Shape, new: Shape, *, separated: int | None, limits: tuple[Any, Any]) -> None:
        across, *self.in_plane = _matrices(old, new, IMAGE_ORDER, separated)
        self.panels = tuple(across.panels(SLAB))
        self.low, self.high = (np.float32(limit) for limit in limits)
        # Centred values keep the precision of intensities that lie far from zero in a narrow range.
        self.centre = self.low / 2 + self.high / 2
        self.clip_slices = separated is not None

    @property
    def rows(self) -> tuple[slice, ...]:
        """The slices of each slab."""
        return tuple(outputs for outputs, _, _ in self.panels)

    def make(self, number: int, volume: Volume, *, out: Float32Array) -> None:
        """Write slab `number` into `(n, B, C)`; the volume's first axis is that along which slabs are made."""
        _, inputs, weights = self.panels[number]
        with _ONE_THREAD:
            slices = np.subtract(volume[inputs], self.centre, dtype=np.float32)
            slab = _resampled_slab(slices, weights, self.in_plane, clip=self.clip_slices)
            np.clip(slab, self.low - self.centre, self.high - self.centre, out=slab)
            np.add(slab, self.centre, out=out)


def resample_segmentation(
    segmentation: npt.NDArray[LabelType], *, shape: Shape, separated: int | None
) -> npt.NDArray[LabelType]:
    """Resample a label image onto a grid of another shape and the same extent.

    Each label's 0/1 map is resampled linearly, nearest across a separated axis. A voxel takes the label whose map
    reaches one half there (of two that do, the larger) and background where none does; where something is ignored, the
    background has to reach one half, too, and nobody knows where none does.

    Args:
        segmentation: `(Z, Y, X)` whole numbers; -1, the region outside the image, is a label like the others.
        shape: Wanted `(Z', Y', X')` in voxels.
        separated: What `separated_axis` found for these axes.

    Returns:
        `(Z', Y', X')` of the same type, always a new array.

    Raises:
        PlanError: If a side of `shape` is below one voxel.

    Source: Isensee et al. 2021, Fig. 2, "Annotation resampling strategy".
    """
    resampled = np.zeros(shape, dtype=segmentation.dtype)
    if segmentation.shape == shape:
        resampled[...] = segmentation
        return resampled
    if segmentation.min() == IGNORED:
        resampled[...] = IGNORED
    matrices = _matrices(segmentation.shape, shape, SEGMENTATION_ORDER, separated)
    source, result = (np.moveaxis(array, separated or 0, 0) for array in (segmentation, resampled))
    with _ONE_THREAD:
        for label, box in _labels_present(source):
            restricted = [matrix.restricted(part) for matrix, part in zip(matrices, box, strict=True)]
            region = result[tuple(outputs for outputs, _ in restricted)]
            for rows, slab in _resampled_slabs(source[box] == label, [matrix for _, matrix in restricted]):
                region[rows][slab >= HALF] = label
    return resampled


def resample_fractions(fractions: Array, *, shape: Shape, separated: int | None) -> Float32Array:
    """Resample fractions, or a mask, linearly onto a grid of another shape and the same extent.

    Args:
        fractions: `(Z, Y, X)` from 0 to 1.
        shape: Wanted `(Z', Y', X')` in voxels.
        separated: What `separated_axis` found for these axes; nearest across it.

    Returns:
        `(Z', Y', X')` float32, always a new array.
    """
    if fractions.shape == shape:
        return np.array(fractions, dtype=np.float32, order="C")
    resampled = np.empty(shape, dtype=np.float32)
    matrices = _matrices(fractions.shape, shape, SEGMENTATION_ORDER, separated)
    source, result = (np.moveaxis(array, separated or 0, 0) for array in (fractions, resampled))
    with _ONE_THREAD:
        for rows, slab in _resampled_slabs(source, matrices):
            np.clip(slab, 0, 1, out=result[rows])
    return resampled


def resample_steps(steps: npt.NDArray[LabelType], *, shape: Shape, separated: int | None) -> npt.NDArray[LabelType]:
    """Resample fractions in whole steps linearly, to the nearest step; as `resample_fractions`, in the memory of the steps."""
    if steps.shape == shape:
        return np.array(steps, order="C")
    resampled = np.empty(shape, dtype=steps.dtype)
    matrices = _matrices(steps.shape, shape, SEGMENTATION_ORDER, separated)
    source, result = (np.moveaxis(array, separated or 0, 0) for array in (steps, resampled))
    with _ONE_THREAD:
        for rows, slab in _resampled_slabs(source, matrices):
            np.rint(slab, out=result[rows], casting="unsafe")
    return resampled


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisMatrix:
    """Resampling along one axis: `weights` is `(voxels out, voxels in)` and all but empty beside its band."""

    weights: Float32Array
    is_identity: bool

    def panels(self, size: int) -> Iterator[tuple[slice, slice, Float32Array]]:
        """Cut into panels of `size` outputs: outputs, the inputs they draw on, the weights between them."""
        for start in range(0, len(self.weights), size):
            rows = self.weights[start : start + size]
            inputs = _range_of(rows.any(axis=0))
            yield slice(start, start + len(rows)), inputs, rows[:, inputs]

    def restricted(self, inputs: slice) -> tuple[slice, AxisMatrix]:
        """The outputs that draw on some inputs at all, and the matrix between the two."""
        outputs = _range_of(self.weights[:, inputs].any(axis=1))
        return outputs, AxisMatrix(weights=self.weights[outputs, inputs], is_identity=self.is_identity)


@lru_cache(maxsize=32)
def axis_matrix(voxels_in: int, voxels_out: int, order: Order) -> AxisMatrix:
    """The matrix of spline interpolation of `order` along one axis, voxel borders aligned, edges repeated.

    Its columns are the library's own answers to unit vectors, prefilter and border included.
    """
    zoom = (1, voxels_out / voxels_in)
    weights = ndimage.zoom(np.eye(voxels_in), zoom, order=order, mode="nearest", grid_mode=True).T
    weights[np.abs(weights) < NEGLIGIBLE] = 0
    return AxisMatrix(weights=np.ascontiguousarray(weights, dtype=np.float32), is_identity=voxels_in == voxels_out)


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


class _OneThread:
    """Keeps matrix products on one thread: so many small ones lose more to waiting for each other than they gain.

    Three to thirty times slower was measured with two threads while another process was busy. The limit is the whole
    process's: of threads that overlap, the first sets it, and the last gives back what was there before.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.limit = ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.limit.enter_context(_libraries().limit(limits=1, user_api="blas"))
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.limit.close()


_ONE_THREAD = _OneThread()


def _matrices(old: Shape, new: Shape, order: Order, separated: int | None) -> tuple[AxisMatrix, ...]:
    """One matrix for each axis, that of the separated axis first."""
    if min(new) < 1:
        raise PlanError(f"resampling {old} to {new}: every side needs at least one voxel; check the plan's spacing")
    orders = [SEPARATED_ORDER if axis == separated else order for axis in range(len(old))]
    matrices = [axis_matrix(before, after, kind) for before, after, kind in zip(old, new, orders, strict=True)]
    first = matrices.pop(separated or 0)
    return first, *matrices


def _resampled_slabs(volume: Array, matrices: Sequence[AxisMatrix]) -> Iterator[tuple[slice, Float32Array]]:
    """Resample a volume and yield it a few output slices at a time, with their place along the first axis.

    Args:
        volume: `(A, B, C)` of any type.
        matrices: One for each axis.
    """
    across, *in_plane = matrices
    for outputs, inputs, weights in across.panels(SLAB):
        yield outputs, _resampled_slab(volume[inputs].astype(np.float32), weights, in_plane)


def _resampled_slab(
    slab: Float32Array, weights: Float32Array, in_plane: Sequence[AxisMatrix], *, clip: bool = False
) -> Float32Array:
    """Some output slices from the slices `(m, B, C)` that they draw on, with `(n, m)` weights.

    Args:
        clip: Keep each slice within its range before slices are put together.
    """
    # The plane's two products are the costly ones: they are done on whichever are fewer, slices in or slices out.
    if len(slab) > len(weights):
        return _resample_slices(_mix(weights, slab), in_plane, clip=clip)
    return _mix(weights, _resample_slices(slab, in_plane, clip=clip))


def _mix(weights: Float32Array, slices: Float32Array) -> Float32Array:
    """Weighted sums of slices: `(n, B, C)` from `(m, B, C)` with `(n, m)` weights."""
    count, rows, columns = slices.shape
    return (weights @ slices.reshape(count, rows * columns)).reshape(len(weights), rows, columns)


def _resample_slices(slices: Float32Array, in_plane: Sequence[AxisMatrix], *, clip: bool) -> Float32Array:
    """Resample `(n, B, C)` within the slices."""
    down, along = in_plane
    resampled = slices
    if not down.is_identity:
        resampled = np.empty((len(slices), len(down.weights), slices.shape[2]), dtype=np.float32)
        for outputs, inputs, weights in down.panels(PANEL):
            np.matmul(weights, slices[:, inputs], out=resampled[:, outputs])
    if not along.is_identity:
        rows, resampled = resampled, np.empty((*resampled.shape[:2], len(along.weights)), dtype=np.float32)
        for outputs, inputs, weights in along.panels(PANEL):
            np.matmul(rows[:, :, inputs], weights.T, out=resampled[:, :, outputs])
    if clip:
        np.clip(resampled, *(bound(axis=(1, 2), keepdims=True) for bound in (slices.min, slices.max)), out=resampled)
    return resampled


def _labels_present(segmentation: LabelArray) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Labels in ascending order, each with the box that holds it; background only where it has a rival below it."""
    lowest = int(segmentation.min())
    # Background is what is left where no label wins; only a label below it could take a tie from it.
    offset = 1 - lowest if lowest < 0 else 0
    shifted = np.add(segmentation, offset, dtype=np.promote_types(segmentation.dtype, np.int16))
    for number, box in enumerate(ndimage.find_objects(shifted), start=1):
        if box is not None:
            yield number - offset, box


def _range_of(used: Any) -> slice:
    """From the first to the last True of a vector; empty where there is none."""
    positions = np.flatnonzero(used)
    return slice(int(positions[0]), int(positions[-1]) + 1) if positions.size else slice(0, 0)
