"""Probabilities of a case, packed so that they can be kept: for ensembles, whose labels they must not change.

Each plane keeps one or several boxes outside which the background is certain; how each voxel inside is told stands in
`probability_codes`. The labels of an ensemble move in fewer than one voxel of 100,000.
A packed case grows plane by plane, and is unpacked plane by plane, so no array of outputs times volume is needed.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from autoseg.arrays import Float32Array, Mask
from autoseg.dataset.target import LARGEST_LABEL, Exclusive, StoredTarget, Target, restored_target, stored_target
from autoseg.errors import DatasetError, StorageError
from autoseg.files.npy import opened_arrays
from autoseg.files.records import RecordFormat, require_format
from autoseg.files.storage import atomic_path, decode, parse_json, to_json
from autoseg.forms import Forms
from autoseg.geometry import Box, Geometry, Shape, bounding_box, box_shape, box_slices
from autoseg.inference.probability_codes import Code, Levels, code_of
from autoseg.preprocessing.prepare import CaseProperties
from autoseg.remedies import cannot_be_read
from autoseg.words import counted

T = TypeVar("T")
Bytes = npt.NDArray[np.uint8]

NUMBERED, NAMED = 2, 3
"""Formats: of labels that exclude each other the number says all; of other targets the file says what they are."""

FORMAT = RecordFormat(number=NAMED, what="probabilities", another="predict this case again", older=(NUMBERED,))

COMPRESSION = 4
"""Level of zlib: 1.7 times faster than its default, for 4 % more bytes."""

COMPRESSING_THREADS = 2
WAITING_PARTS = 8
"""Parts that may wait to be compressed; each is at most a plane of all classes."""


@dataclass(frozen=True, kw_only=True)
class PackedProbabilities:
    """The probabilities of one case on its original grid.

    Attributes:
        target: What they are of. Of outputs that share a voxel files hold the number alone, not their names.
        shape: `(Z, Y, X)` of the original grid.
        crop: The part of it that was predicted; the rest is certain background.
        transpose_forward: Order of the axes in which planes follow each other.
        part_planes: `(parts,)`, ascending: the plane that each part belongs to.
        part_boxes: `(parts, 4)`: first and past-last row and column kept of it.
        ends: Where each part's bytes end in `content`.
    """

    target: Target
    shape: tuple[int, ...]
    geometry: Geometry
    crop: Box
    transpose_forward: tuple[int, ...]
    part_planes: npt.NDArray[np.int32]
    part_boxes: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    content: Bytes

    @property
    def classes(self) -> int:
        """How many outputs; background included where it is one."""
        return len(self.target.outputs)

    @property
    def code(self) -> Code:
        """How each voxel is told."""
        return code_of(self.target)

    def unpacked(self) -> Float32Array:
        """`(C, Z, Y, X)` float32 on the original grid; background outside what was kept."""
        dense = self._background(self.shape)
        cropped = dense[(slice(None),) + box_slices(self.crop)]
        planes = cropped.transpose(0, *(axis + 1 for axis in self.transpose_forward))
        for index, (box, part) in enumerate(self.planes()):
            planes[(slice(None), index) + box_slices(box)] = part
        return dense

    def planes(self) -> Iterator[tuple[Box, Float32Array]]:
        """For each plane of the cropped, transposed grid the box that is kept, and `(C, rows, columns)` inside it."""
        return map(self.plane, range(len(self.boxes)))

    @cached_property
    def boxes(self) -> npt.NDArray[np.int32]:
        """`(planes, 4)`: first and past-last row and column of the box that holds all parts of each plane."""
        planes = box_shape(self.crop)[self.transpose_forward[0]]
        boxes = np.zeros((planes, 4), dtype=np.int32)
        used, first = np.unique(self.part_planes, return_index=True)
        if len(used):
            boxes[used] = np.minimum.reduceat(self.part_boxes, first)
            boxes[used, 1::2] = np.maximum.reduceat(self.part_boxes, first)[:, 1::2]
        return boxes

    def plane(self, index: int) -> tuple[Box, Float32Array]:
        """One plane of them; background between the parts.

        Raises:
            ValueError, zlib.error: The content is damaged.
        """
        parts = [self._part(number) for number in np.flatnonzero(self.part_planes == index).tolist()]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return ((0, 0), (0, 0)), np.zeros((self.classes, 0, 0), dtype=np.float32)
        top, bottom, left, right = self.boxes[index].tolist()
        box = ((top, bottom), (left, right))
        plane = self._background(box_shape(box))
        for own, part in parts:
            rows, columns = ((first - start, last - start) for (first, last), (start, _) in zip(own, box, strict=True))
            plane[:, slice(*rows), slice(*columns)] = part
        return box, plane

    def _part(self, number: int) -> tuple[Box, Float32Array]:
        top, bottom, left, right = self.part_boxes[number].tolist()
        start = int(self.ends[number - 1]) if number else 0
        box = ((top, bottom), (left, right))
        content = self.content[start : int(self.ends[number])]
        return box, _decompressed(content, (self.classes, *box_shape(box)), self.code)

    def _background(self, shape: Shape) -> Float32Array:
        """Certain background `(C, *shape)`."""
        certain = np.zeros((self.classes, *shape), dtype=np.float32)
        certain[: self.code.backgrounds] = 1
        return certain


class Packer:
    """Packs a case's probabilities part by part; they are compressed in threads."""

    def __init__(self, properties: CaseProperties, target: Target) -> None:
        self.properties = properties
        self.target = target
        self.code = code_of(target)
        self.next_plane = 0
        self.places: list[tuple[int, ...]] = []
        self.parts: list[Future[bytes]] = []
        self.pool = ThreadPoolExecutor(COMPRESSING_THREADS)

    def add(self, chunks: Iterable[torch.Tensor], *, plane: int, row: int = 0) -> None:
        """Add rows of a plane: its classes' probabilities `(n, rows, columns)`, some classes at a time.

        Args:
            row: The first of them.
        """
        self.next_plane = plane + 1
        levels = np.concatenate([self.code.levels(chunk) for chunk in chunks])
        box = _uncertain_box(levels[self.code.backgrounds :])
        (top, bottom), (left, right) = box
        if top == bottom:
            return
        if len(self.parts) >= WAITING_PARTS:
            self.parts[-WAITING_PARTS].result()
        self.places.append((plane, top + row, bottom + row, left, right))
        self.parts.append(self.pool.submit(_compressed, levels[(slice(None),) + box_slices(box)], self.code))

    def add_array(self, plane: Float32Array) -> None:
        """Add the next plane from an array `(C, rows, columns)`."""
        self.add([torch.from_numpy(plane)], plane=self.next_plane)

    def finish(self) -> PackedProbabilities:
        """The packed case, once every plane was added."""
        in_order = sorted(range(len(self.places)), key=lambda number: self.places[number])
        places = np.array([self.places[number] for number in in_order], dtype=np.int32).reshape(-1, 5)
        parts = [self.parts[number].result() for number in in_order]
        self.pool.shutdown()
        return PackedProbabilities(
            target=self.target,
            shape=self.properties.original_shape,
            geometry=self.properties.geometry,
            crop=self.properties.crop,
            transpose_forward=self.properties.transpose_forward,
            part_planes=places[:, 0],
            part_boxes=places[:, 1:],
            ends=np.cumsum([len(part) for part in parts], dtype=np.int64),
            content=np.frombuffer(b"".join(parts), dtype=np.uint8),
        )


def save_probabilities(path: Path, packed: PackedProbabilities) -> None:
    """Write packed probabilities as an `.npz` of plain arrays, in one step."""
    geometry = packed.geometry
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            format=np.array(_format_of(packed.target)),
            classes=np.array(packed.classes),
            shape=np.array(packed.shape),
            spacing=np.array(geometry.spacing),
            origin=np.array(geometry.origin),
            direction=np.array(geometry.direction),
            forms=np.array(() if geometry.forms is None else geometry.forms.as_numbers()),
            crop=np.array(packed.crop),
            transpose_forward=np.array(packed.transpose_forward),
            part_planes=packed.part_planes,
            part_boxes=packed.part_boxes,
            ends=packed.ends,
            content=packed.content,
            **_arrays_of(packed.target),
        )


def load_probabilities(path: Path) -> Float32Array:
    """Read and unpack probabilities: `(C, Z, Y, X)` float32 on the original grid.

    Raises:
        StorageError: The file is missing, damaged or of another format.
    """
    try:
        return load_packed(path).unpacked()
    except (ValueError, IndexError, zlib.error) as error:
        raise StorageError(f"{path}: damaged: {error}; predict this case again with `save_npz`") from error


def load_packed(path: Path) -> PackedProbabilities:
    """Read packed probabilities, to be unpacked plane by plane.

    Raises:
        StorageError: The file is missing, damaged or of another format.
    """
    return _read(path, _from_arrays)


def load_target(path: Path) -> Target:
    """What packed probabilities are of, alone.

    Raises:
        StorageError: The file is missing, damaged or of another format.
    """
    return _read(path, _target_from)


def _read(path: Path, understand: Callable[[Any], T]) -> T:
    try:
        with opened_arrays(path) as arrays:
            require_format({"format": int(arrays["format"])}, FORMAT, path)
            return understand(arrays)
    except OSError as error:
        raise cannot_be_read(path, error) from error
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(f"{path}: damaged: {error}; predict this case again with `save_npz`") from error


def _format_of(target: Target) -> int:
    """What is decided of labels that exclude each other follows from their number, unless it is fractions."""
    return NUMBERED if code_of(target).backgrounds and not target.soft else NAMED


def _arrays_of(target: Target) -> dict[str, Any]:
    """What a file holds of its target beside the number of outputs."""
    stored = stored_target(target)
    if _format_of(target) == NUMBERED or stored is None:
        return {}
    return {"labels": np.array(target.labels), "target": np.array(to_json(stored).decode())}


def _target_from(arrays: Any) -> Target:
    """The reverse."""
    classes = int(arrays["classes"])
    if int(arrays["format"]) == NUMBERED:
        if not 2 <= classes <= LARGEST_LABEL + 1:
            raise ValueError(
                f"it holds {counted(classes, 'class', 'classes')}, and there can be 2 to {LARGEST_LABEL + 1}"
            )
        return Exclusive.numbered(classes)
    try:
        stored = decode(StoredTarget, parse_json(str(arrays["target"]).encode(), "target"), "target")
        target = restored_target(tuple(arrays["labels"].tolist()), stored)
    except (StorageError, DatasetError) as error:
        raise ValueError(str(error)) from error
    if len(target.outputs) != classes or _format_of(target) != NAMED:
        raise ValueError(f"it holds {counted(classes, 'output')} of another kind or number than it names")
    return target


def _from_arrays(arrays: Any) -> PackedProbabilities:
    packed = PackedProbabilities(
        target=_target_from(arrays),
        shape=tuple(arrays["shape"].tolist()),
        geometry=Geometry(
            spacing=tuple(arrays["spacing"].tolist()),
            origin=tuple(arrays["origin"].tolist()),
            direction=tuple(arrays["direction"].tolist()),
            forms=_forms(arrays),
        ),
        crop=tuple((first, last) for first, last in arrays["crop"].tolist()),
        transpose_forward=tuple(arrays["transpose_forward"].tolist()),
        part_planes=arrays["part_planes"],
        part_boxes=arrays["part_boxes"],
        ends=arrays["ends"],
        content=arrays["content"],
    )
    _require_plausible(packed)
    return packed


def _forms(arrays: Any) -> Forms | None:
    """Those of the image's header, which earlier versions did not keep."""
    numbers = arrays["forms"].tolist() if "forms" in arrays else []
    return Forms.from_numbers(numbers) if numbers else None


def _require_plausible(packed: PackedProbabilities) -> None:
    """So that no part can ask for more memory than the image."""
    sides = box_shape(packed.crop)
    planes, rows, columns = (sides[axis] for axis in packed.transpose_forward)
    number, (top, bottom, left, right) = packed.part_planes, packed.part_boxes.T
    inside = (number >= 0) & (number < planes) & (top >= 0) & (bottom <= rows) & (left >= 0) & (right <= columns)
    if not (inside.all() and (np.diff(number) >= 0).all()):
        raise ValueError("its parts lie outside of the image or are out of order")


def _uncertain_box(plane: Levels) -> Box:
    """Rows and columns outside which every voxel of `(n, rows, columns)` is 0; empty where all are."""
    uncertain: Mask = np.any(plane, axis=0)
    return bounding_box(uncertain) or ((0, 0), (0, 0))


def _compressed(part: Levels, code: Code) -> bytes:
    return zlib.compress(code.told(part), COMPRESSION)


def _decompressed(content: Bytes, shape: Shape, code: Code) -> Float32Array:
    """Probabilities `(C, rows, columns)`."""
    size = code.size(shape)
    unpacked = zlib.decompressobj().decompress(content.tobytes(), size + 1)
    if len(unpacked) != size:
        raise ValueError(f"a plane holds {counted(len(unpacked), 'byte')} where {counted(size, 'is', 'are')} due")
    return code.understood(unpacked, shape)
