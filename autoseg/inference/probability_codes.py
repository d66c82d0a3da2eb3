"""How the probabilities of a voxel's outputs are told in bytes: of those that share it, and of those that each stand alone.

Square roots in `LEVELS` steps are fine where a model is in doubt, and finer still near certainty, because between two
models that are sure of opposites the remaining doubt decides. High and low bytes are kept apart, as they compress better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from autoseg.arrays import Float32Array, label_type
from autoseg.dataset.target import Target
from autoseg.geometry import Shape
from autoseg.words import counted

Levels = npt.NDArray[np.int32]

LEVELS = 2**18 - 1
"""Of two models in doubt everywhere 4 per million labels change; with 16 bits 14, and with plain steps of 12 bits 240."""

SMALLEST = 2**7
"""In levels: probabilities below 2.4e-7 are taken for 0, so that most background takes no room. Sixteen times as much
saves a tenth of it, but moves labels where two models are sure of opposites."""

LEVEL_BYTES = 3

HELD = 2**23
"""The highest of these bytes' bits, beyond all levels: the output holds, and the level is of what it lacks to 1."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Outputs that sum to 1: the most probable is named, its probability being what the others lack."""

    backgrounds: ClassVar = 1
    """Outputs, the first, that are certain where nothing is kept; all others are 0."""

    def levels(self, probabilities: torch.Tensor) -> Levels:
        """Of some outputs `(n, ...)`, on any device; only the first `backgrounds` may be above 0 where nothing is kept."""
        return _roots(probabilities)

    def told(self, levels: Levels) -> bytes:
        """Of all outputs `(C, ...)`: which is the highest in each voxel, then levels with 0 in its place."""
        top = levels.argmax(axis=0)[None]
        others = levels.copy()
        np.put_along_axis(others, top, 0, axis=0)
        named: bytes = top.astype(_number_type(len(levels))).tobytes()
        return named + _split(others)

    def size(self, shape: Shape) -> int:
        """Bytes of outputs `(C, ...)`."""
        return int(np.prod(shape[1:])) * (_number_type(shape[0]).itemsize + shape[0] * LEVEL_BYTES)

    def understood(self, content: bytes, shape: Shape) -> Float32Array:
        """The probabilities `(C, ...)`.

        Raises:
            ValueError: An output is named that there is not.
        """
        kind, voxels = _number_type(shape[0]), int(np.prod(shape[1:]))
        top = np.frombuffer(content, dtype=kind, count=voxels).reshape(1, *shape[1:]).astype(np.intp)
        if voxels and top.max() >= shape[0]:
            raise ValueError(f"a plane names class {top.max()} where there are {shape[0]}")
        probabilities = _squares(_joined(content[voxels * kind.itemsize :], shape))
        np.put_along_axis(probabilities, top, 1 - probabilities.sum(axis=0, keepdims=True), axis=0)
        return probabilities


@dataclass(frozen=True, slots=True)
class Independent:
    """Outputs of which each says by itself whether it holds: the side of one half, and how much is lacking to certainty."""

    backgrounds: ClassVar = 0

    def levels(self, probabilities: torch.Tensor) -> Levels:
        """Of some outputs `(n, ...)`, on any device; 0 where nothing is kept."""
        levels = _roots(torch.minimum(probabilities, 1 - probabilities))
        levels[(probabilities > 1 / 2).cpu().numpy()] |= HELD
        return levels

    def told(self, levels: Levels) -> bytes:
        """Of all outputs `(C, ...)`."""
        return _split(levels)

    def size(self, shape: Shape) -> int:
        """Bytes of outputs `(C, ...)`."""
        return int(np.prod(shape)) * LEVEL_BYTES

    def understood(self, content: bytes, shape: Shape) -> Float32Array:
        """The probabilities `(C, ...)`.

        Raises:
            ValueError: A probability lies beyond its side of one half.
        """
        told = _joined(content, shape)
        held, levels = (told & HELD) > 0, told & ~np.int32(HELD)
        if levels.size and levels.max() > LEVELS:
            raise ValueError(f"a plane holds level {levels.max()}, and there are {counted(LEVELS + 1, 'level')}")
        doubt = _squares(levels)
        probabilities: Float32Array = np.where(held, 1 - doubt, doubt)
        return probabilities


Code: TypeAlias = Shared | Independent
"""Every one there is."""

CODES: dict[str, Code] = {"softmax": Shared(), "sigmoid": Independent()}
"""By the activation that a target names."""


def code_of(target: Target) -> Code:
    """How probabilities of a target's outputs are told."""
    return CODES[target.activation]


def _roots(probabilities: torch.Tensor) -> Levels:
    levels: Levels = (probabilities.sqrt() * LEVELS).round().to(torch.int32).cpu().numpy()
    levels[levels < SMALLEST] = 0
    return levels


def _squares(levels: Levels) -> Float32Array:
    squares: Float32Array = np.square(levels * np.float32(1 / LEVELS))
    return squares


def _split(levels: Levels) -> bytes:
    """All low bytes, then all next ones."""
    split: bytes = levels.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :LEVEL_BYTES].T.tobytes()
    return split


def _joined(content: bytes, shape: Shape) -> Levels:
    levels = np.zeros((int(np.prod(shape)), 4), dtype=np.uint8)
    levels[:, :LEVEL_BYTES] = np.frombuffer(content, np.uint8).reshape(LEVEL_BYTES, -1).T
    joined: Levels = levels.view("<i4").reshape(shape)
    return joined


def _number_type(outputs: int) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(label_type(outputs)).newbyteorder("<")
    return kind
