"""A case's images that stay in their files: what a prediction reads where an image is too large to be held."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autoseg.dataset.cases import Case
from autoseg.geometry import Geometry, Shape
from autoseg.images.stored import StoredImage, stored_image


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCase:
    """The channels of a case, all on one grid; see `RawCase`."""

    identifier: str
    channels: tuple[StoredImage, ...]

    @property
    def shape(self) -> Shape:
        """Voxels of a channel, (z, y, x)."""
        return self.channels[0].shape

    @property
    def geometry(self) -> Geometry:
        return self.channels[0].geometry

    @property
    def size(self) -> int:
        """Bytes of the case where it is held, in single precision."""
        return len(self.channels) * math.prod(self.shape) * np.dtype(np.float32).itemsize


def stored_case(case: Case) -> StoredCase | None:
    """A case whose images can be read in parts; None where they cannot, or lie on different grids.

    Raises:
        DatasetError: A file cannot be read.
    """
    channels = tuple(found for one in case.images if (found := stored_image(one, case.reading)) is not None)
    if len(channels) < len(case.images):
        return None
    first, *others = channels
    if any(one.shape != first.shape or first.geometry.differences(one.geometry) for one in others):
        return None
    return StoredCase(identifier=case.identifier, channels=channels)
