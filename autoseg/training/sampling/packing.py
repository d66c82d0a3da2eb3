"""Drawn samples on their way to the device: their arrays one behind the other, in one piece for each type of number.

A worker hands over, and a GPU fetches, a few pieces sooner than hundreds of arrays, each of which would be a file.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg.arrays import Array
from autoseg.geometry import Shape
from autoseg.training.sampling.samples import DrawnSample


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array lies: in the piece of its type of number, from an entry on."""

    kind: str
    first: int
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Samples whose arrays lie elsewhere.

    Attributes:
        samples: They hold a `Place` for each array.
        pieces: `(n,)`, by type of number.
    """

    samples: tuple[DrawnSample, ...]
    pieces: Mapping[str, Tensor]

    def pin_memory(self) -> Packed:
        """A copy in memory from which a GPU fetches by itself."""
        return Packed(samples=self.samples, pieces={kind: piece.pin_memory() for kind, piece in self.pieces.items()})

    def unpacked(self, receive: Callable[[Tensor], Tensor]) -> Iterator[DrawnSample]:
        """Each sample with tensors, after `receive` had each of them; one after the other, so that few are there at once."""

        def found(place: Place) -> Tensor:
            end = place.first + math.prod(place.shape)
            return receive(self.pieces[place.kind][place.first : end].reshape(place.shape))

        return (sample.mapped(found) for sample in self.samples)


def pack(samples: Sequence[DrawnSample]) -> Packed:
    """Samples with arrays of numpy; double precision becomes single."""
    parts: dict[str, list[Array]] = defaultdict(list)
    sizes: Counter[str] = Counter()

    def put(array: Array) -> Place:
        part = array.astype(np.float32) if array.dtype == np.float64 else array
        kind = part.dtype.name
        place = Place(kind, sizes[kind], part.shape)
        parts[kind].append(part.reshape(-1))
        sizes[kind] += part.size
        return place

    placed = tuple(sample.mapped(put) for sample in samples)
    return Packed(samples=placed, pieces={kind: torch.from_numpy(np.concatenate(part)) for kind, part in parts.items()})
