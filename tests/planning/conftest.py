"""Fingerprints without images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pytest

from autoseg.planning.fingerprint import DatasetFingerprint


class MakeFingerprint(Protocol):
    """A fingerprint of given cases; `cases` repeats a single spacing and shape."""

    def __call__(
        self,
        spacings: Sequence[Sequence[float]],
        shapes: Sequence[Sequence[int]],
        *,
        cases: int | None = None,
        channels: Sequence[str] = ("MRI",),
        foreground: int = 1,
        kept: float = 1.0,
    ) -> DatasetFingerprint: ...


@pytest.fixture(scope="session")
def make_fingerprint() -> MakeFingerprint:
    def make(
        spacings: Sequence[Sequence[float]],
        shapes: Sequence[Sequence[int]],
        *,
        cases: int | None = None,
        channels: Sequence[str] = ("MRI",),
        foreground: int = 1,
        kept: float = 1.0,
    ) -> DatasetFingerprint:
        times = cases or 1
        spacings, shapes = list(spacings) * times, list(shapes) * times
        return DatasetFingerprint(
            channels=tuple(channels),
            labels=("background", *(f"label {value}" for value in range(1, foreground + 1))),
            cases=tuple(f"case_{number}" for number in range(len(shapes))),
            spacings=tuple((float(z), float(y), float(x)) for z, y, x in spacings),
            shapes=tuple((z, y, x) for z, y, x in shapes),
            kept_fractions=(kept,) * len(shapes),
            intensities=(None,) * len(channels),
        )

    return make
