"""Class probabilities of a case, packed so that they can be kept: for ensembles, whose labels they must not change.

Each plane keeps the box outside which the background is certain. Inside, probabilities are whole numbers of
1/`LEVELS`, which moves the labels of an ensemble in fewer than one voxel of 100,000; the background is kept as what
the classes' sum lacks, which is nearly always nothing; high and low bytes are compressed apart. A packed case grows
plane by plane, and is unpacked plane by plane, so no array of classes times volume is needed.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoseg.errors import StorageError
from autoseg.geometry import Box, Geometry, box_shape, box_slices
from autoseg.preprocessing.prepare import CaseProperties
from autoseg.storage import atomic_path

FloatArray = npt.NDArray[np.float32]
Quantised = npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]

FORMAT = 1

LEVELS = 2**12 - 1
"""Two per million labels of a two-member ensemble change; with 8 bits 45, with 16 none, at twice the bytes."""

COMPRESSION = 4
"""Level of zlib: 1.7 times faster than its default, for 4 % more bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedProbabilities:
    """The probabilities of one case on its original grid.

    Attributes:
        classes: How many, background included.
        shape: `(Z, Y, X)` of the original grid.
        crop: The part of it that was predicted; the rest is certain background.
        transpose_forward: Order of the axes in which planes follow each other.
        boxes: `(planes, 4)`: first and past-last row and column kept of each plane.
        ends: Where each plane's bytes end in `content`.
    """

    classes: int
    shape: tuple[int, ...]
    geometry: Geometry
    crop: Box
    transpose_forward: tuple[int, ...]
    boxes: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    content: Bytes

    def unpacked(self) -> FloatArray:
        """`(C, Z, Y, X)` float32 on the original grid; background outside what was kept."""
        dense = np.zeros((self.classes, *self.shape), dtype=np.float32)
        dense[0] = 1
        cropped = dense[(slice(None),) + box_slices(self.crop)]
        planes = cropped.transpose(0, *(axis + 1 for axis in self.transpose_forward))
        for index, (box, part) in enumerate(self.planes()):
            planes[(slice(None), index) + box_slices(box)] = part
        return dense

    def planes(self) -> Iterator[tuple[Box, FloatArray]]:
        """For each plane of the cropped, transposed grid the box that is kept, and `(C, rows, columns)` inside it."""
        start = 0
        for (top, bottom, left, right), end in zip(self.boxes.tolist(), self.ends.tolist(), strict=True):
            box = ((top, bottom), (left, right))
            yield box, _decompressed(self.content[start:end], (self.classes, *box_shape(box)))
            start = end


class Packer:
    """Packs a case's probabilities plane by plane."""

    def __init__(self, properties: CaseProperties, classes: int) -> None:
        self.properties = properties
        self.classes = classes
        self.boxes: list[tuple[int, ...]] = []
        self.parts: list[bytes] = []

    def add(self, chunks: Iterable[torch.Tensor]) -> None:
        """Add the next plane: its classes' probabilities `(n, rows, columns)`, some classes at a time."""
        plane = np.concatenate([_quantised(chunk) for chunk in chunks])
        box = _uncertain_box(plane)
        (top, bottom), (left, right) = box
        self.boxes.append((top, bottom, left, right))
        self.parts.append(_compressed(plane[(slice(None),) + box_slices(box)]))

    def finish(self) -> PackedProbabilities:
        """The packed case, once every plane was added."""
        return PackedProbabilities(
            classes=self.classes,
            shape=self.properties.original_shape,
            geometry=self.properties.geometry,
            crop=self.properties.crop,
            transpose_forward=self.properties.transpose_forward,
            boxes=np.array(self.boxes, dtype=np.int32).reshape(-1, 4),
            ends=np.cumsum([len(part) for part in self.parts], dtype=np.int64),
            content=np.frombuffer(b"".join(self.parts), dtype=np.uint8),
        )


def save_probabilities(path: Path, packed: PackedProbabilities) -> None:
    """Write packed probabilities as an `.npz` of plain arrays, in one step."""
    geometry = packed.geometry
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            format=np.array(FORMAT),
            classes=np.array(packed.classes),
            shape=np.array(packed.shape),
            spacing=np.array(geometry.spacing),
            origin=np.array(geometry.origin),
            direction=np.array(geometry.direction),
            crop=np.array(packed.crop),
            transpose_forward=np.array(packed.transpose_forward),
            boxes=packed.boxes,
            ends=packed.ends,
            content=packed.content,
        )


def load_probabilities(path: Path) -> FloatArray:
    """Read and unpack probabilities: `(C, Z, Y, X)` float32 on the original grid.

    Raises:
        StorageError: The file is missing, damaged or of another format.
    """
    try:
        return load_packed(path).unpacked()
    except (ValueError, IndexError, zlib.error) as error:
        raise StorageError(f"{path}: damaged: {error}; predict this case again with --save_npz") from error


def load_packed(path: Path) -> PackedProbabilities:
    """Read packed probabilities, to be unpacked plane by plane.

    Raises:
        StorageError: The file is missing, damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if int(arrays["format"]) != FORMAT:
                raise StorageError(
                    f"{path}: probabilities of format {int(arrays['format'])}, but this autoseg reads format {FORMAT}; "
                    "predict this case again"
                )
            return _from_arrays(arrays)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(f"{path}: damaged: {error}; predict this case again with --save_npz") from error


def _from_arrays(arrays: Any) -> PackedProbabilities:
    return PackedProbabilities(
        classes=int(arrays["classes"]),
        shape=tuple(arrays["shape"].tolist()),
        geometry=Geometry(
            spacing=tuple(arrays["spacing"].tolist()),
            origin=tuple(arrays["origin"].tolist()),
            direction=tuple(arrays["direction"].tolist()),
        ),
        crop=tuple((first, last) for first, last in arrays["crop"].tolist()),
        transpose_forward=tuple(arrays["transpose_forward"].tolist()),
        boxes=arrays["boxes"],
        ends=arrays["ends"],
        content=arrays["content"],
    )


def _quantised(probabilities: torch.Tensor) -> Quantised:
    whole = (probabilities * LEVELS + 0.5).to(torch.int16)
    return whole.cpu().numpy().view(np.uint16)


def _uncertain_box(plane: Quantised) -> Box:
    """Rows and columns outside which every voxel is certainly background; empty where all are."""
    uncertain = (plane[0] != LEVELS) | plane[1:].any(axis=0)
    box = []
    for axis in (1, 0):
        used = np.flatnonzero(uncertain.any(axis=axis))
        box.append((int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0))
    return tuple(box)


def _compressed(part: Quantised) -> bytes:
    stored = part.copy()
    stored[0] = stored.sum(axis=0, dtype=np.uint16) - np.uint16(LEVELS)  # wraps round, and back when it is undone
    halves = stored.astype("<u2").reshape(-1, 1).view(np.uint8)
    return zlib.compress(halves.T.tobytes(), COMPRESSION)


def _decompressed(content: Bytes, shape: tuple[int, ...]) -> FloatArray:
    size = 2 * int(np.prod(shape))
    halves = zlib.decompressobj().decompress(content.tobytes(), size + 1)
    if len(halves) != size:
        raise ValueError(f"a plane holds {len(halves)} bytes where {size} are due")
    stored = np.frombuffer(halves, dtype=np.uint8).reshape(2, -1).T.copy().view("<u2").reshape(shape)
    stored[0] = stored[0] + np.uint16(LEVELS) - stored[1:].sum(axis=0, dtype=np.uint16)
    probabilities: FloatArray = stored.astype(np.float32) / np.float32(LEVELS)
    return probabilities
