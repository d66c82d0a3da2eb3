"""What one configuration predicted, brought onto the grid of another that refines it: the input of a cascade.

A prediction is an ordinary segmentation of the original image. In training and in prediction alike it takes the
image's own way, the same crop, axis order and resampling, so the two cannot lie apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.arrays import LabelArray
from autoseg.dataset.coding import WHOLE, planes_of
from autoseg.dataset.planes import read_fractions
from autoseg.dataset.target import Target
from autoseg.errors import DatasetError, StorageError
from autoseg.files.npy import open_array, write_array
from autoseg.files.records import RecordFormat, read_record, write_record
from autoseg.files.storage import content_hash, file_hash
from autoseg.geometry import Geometry, Shape, inside, turned
from autoseg.images import read_label
from autoseg.images.whole_numbers import fractional_values
from autoseg.machine.pool import fitting_workers, run_on_cases
from autoseg.outputs import label_files
from autoseg.preprocessing.label_arrays import resample_labels
from autoseg.preprocessing.prepare import CaseProperties, PreparedCase
from autoseg.preprocessing.store import PreparedCases
from autoseg.remedies import pass_on_limit
from autoseg.words import first_few, in_digits

FORMAT = RecordFormat(number=1)

RECIPE = 1
"""Raised whenever preparing the same prediction gives another array, so that older ones are made anew."""

BYTES_PER_VOXEL = 16
"""Of the larger of both grids: 5 were measured for a file of bytes, one of floating-point numbers takes 11 more."""

BYTES_PER_MAP = 4
"""Of a voxel, for each map beyond the first: read in 16 bits, and kept in 8 on both grids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marker:
    """Written last; `signature` stands for what the prediction was prepared from."""

    signature: str


def prepare_previous(segmentation: LabelArray, properties: CaseProperties, *, target: Target) -> LabelArray:
    """Bring a segmentation of the original image onto a case's prepared grid, as `prepare_case` does with its labels.

    Args:
        segmentation: Of the target on the original grid, in file order: `(Z, Y, X)` labels, or masks `(outputs, Z, Y, X)`.
        properties: Of the prepared case.
        target: What is predicted, by both.

    Returns:
        As prepared labels on the prepared grid, axes in transposed order: a map `(Z', Y', X')`, int8, or int16 where labels
        need it; or planes `(outputs, Z', Y', X')`.

    Raises:
        DatasetError: The segmentation has another shape than the image, or labels that are not declared.
    """
    _require_shape(segmentation, properties, target)
    _require_labels(segmentation, properties, target)
    cropped = turned(inside(segmentation, properties.crop), properties.transpose_forward)
    return resample_labels(
        target.kept(cropped), shape=properties.prepared_shape, separated=properties.separated_axis, soft=target.soft
    )


def read_previous(path: Path, geometry: Geometry, shape: Shape, target: Target) -> LabelArray:
    """Read the segmentation that is to be refined.

    Args:
        path: `<case>.nii.gz`; where masks have a file each, those beside it.
        geometry: Of the image it must lie on, as must `shape`, `(Z, Y, X)` voxels.
        target: What was predicted.

    Returns:
        Whole numbers `(Z, Y, X)`, or `(outputs, Z, Y, X)`; of soft labels planes.

    Raises:
        DatasetError: It cannot be read, lies on another grid, or holds other than whole numbers, or than fractions.
    """
    return target.joined([_read_map(file, geometry, shape, target) for file in label_files(path, target)])


def _read_map(path: Path, geometry: Geometry, shape: Shape, target: Target) -> LabelArray:
    image = read_label(path)
    found = (
        image.geometry.differences(geometry)
        if image.data.shape == tuple(shape)
        else (f"size {image.data.shape} and {tuple(shape)} voxels (z, y, x)",)
    )
    if found:
        raise DatasetError(
            f"{path}: lies on another grid than the image it segments: {'; '.join(found)}; predict that very image"
        )
    if target.soft:
        return planes_of(read_fractions(image.data, None, f"{path}:"))
    if len(fractions := fractional_values(image.data)):
        raise DatasetError(
            f"{path}: holds values that are no labels: {first_few(fractions, say=in_digits)}; give a segmentation of whole numbers"
        )
    return image.data


@dataclass(frozen=True, slots=True)
class PreviousMaps:
    """Prepared predictions of one task in a folder: `<case>.npy` and, written last, `<case>.json` with its origin's hash."""

    folder: Path

    def load(self, identifier: str) -> LabelArray:
        """Labels as `prepare_previous` gives them, a read-only memory map.

        Raises:
            StorageError: It is not there, or damaged.
        """
        path = self._array(identifier)
        try:
            return open_array(path)
        except (OSError, ValueError, EOFError, OverflowError) as error:
            pass_on_limit(error, path)
            raise StorageError(
                f"case {identifier}: its prediction by the previous stage cannot be opened: {error}; "
                f"delete the folder {self.folder} and train again, which prepares them anew"
            ) from error

    def save(self, identifier: str, labels: LabelArray, signature: str) -> None:
        """Write one prediction, its marker last."""
        marker = self._marker(identifier)
        if marker.is_file():
            marker.unlink(missing_ok=True)
        write_array(self._array(identifier), labels)
        write_record(marker, _Marker(signature=signature), FORMAT)

    def is_current(self, identifier: str, signature: str) -> bool:
        """Whether the prediction is there, opens, and was made from what `signature` stands for."""
        try:
            self.load(identifier)
            return self.signature(identifier) == signature
        except StorageError:
            return False

    def signature(self, identifier: str) -> str:
        """The hash of what a prediction was prepared from.

        Raises:
            StorageError: It is not there, or damaged.
        """
        return read_record(self._marker(identifier), _Marker, FORMAT).signature

    def _array(self, identifier: str) -> Path:
        return self.folder / f"{identifier}.npy"

    def _marker(self, identifier: str) -> Path:
        return self.folder / f"{identifier}.json"


def open_case(cases: PreparedCases, maps: PreviousMaps | None, identifier: str) -> PreparedCase:
    """A prepared case, for a cascade with what the previous stage predicted; its arrays are read-only memory maps."""
    prepared = cases.load(identifier)
    return prepared if maps is None else replace(prepared, previous=maps.load(identifier))


def gather_previous(
    predictions: Mapping[str, Path],
    cases: PreparedCases,
    maps: PreviousMaps,
    *,
    target: Target,
    workers: int | None = None,
) -> str:
    """Prepare what was predicted for every case; what is prepared from the same files already is left alone.

    Args:
        predictions: A segmentation on the original grid for each case, `<case>.nii.gz`; see `read_previous`.
        cases: The prepared cases whose grids are wanted.
        maps: Where the prepared predictions go.
        target: What is predicted, by both.
        workers: Processes; None for as many as cores and memory allow.

    Returns:
        A hash that stands for all of them.

    Raises:
        CasesFailed: Naming each prediction that cannot be read or does not lie on its image's grid.
    """
    identifiers = sorted(predictions)
    prepare = partial(_gather_one, predictions=predictions, cases=cases, maps=maps, target=target)
    needed = [_bytes_needed(cases.properties(identifier), target) for identifier in identifiers]
    count = fitting_workers(workers, max(needed, default=1))
    signatures = run_on_cases(prepare, identifiers, task="previous stage", workers=count)
    return content_hash(list(zip(identifiers, signatures, strict=True)))


def _gather_one(
    identifier: str, *, predictions: Mapping[str, Path], cases: PreparedCases, maps: PreviousMaps, target: Target
) -> str:
    path, properties = predictions[identifier], cases.properties(identifier)
    hashes = [file_hash(file) for file in label_files(path, target)]
    signature = content_hash(RECIPE, *hashes, properties, len(target.outputs))
    if not maps.is_current(identifier, signature):
        segmentation = read_previous(path, properties.geometry, properties.original_shape, target)
        maps.save(identifier, prepare_previous(segmentation, properties, target=target), signature)
    return signature


def _bytes_needed(properties: CaseProperties, target: Target) -> int:
    voxels = max(int(np.prod(shape)) for shape in (properties.original_shape, properties.prepared_shape))
    return (BYTES_PER_VOXEL + BYTES_PER_MAP * (target.maps - 1)) * voxels


def _require_shape(segmentation: LabelArray, properties: CaseProperties, target: Target) -> None:
    wanted = target.shape_of(tuple(properties.original_shape))
    if segmentation.shape != wanted:
        raise DatasetError(
            f"case {properties.identifier}: the previous stage's segmentation has {segmentation.shape} voxels, "
            f"the image {wanted}; give the segmentation of this very image, on its whole grid"
        )


def _require_labels(segmentation: LabelArray, properties: CaseProperties, target: Target) -> None:
    lowest, highest = int(segmentation.min()), int(segmentation.max())
    values = range(WHOLE + 1) if target.soft else target.values
    if lowest not in values or highest not in values:
        raise DatasetError(
            f"case {properties.identifier}: the previous stage's segmentation has labels from {lowest} to {highest}, "
            f"but the plans' go from {values[0]} to {values[-1]}; give a segmentation with this task's labels"
        )
