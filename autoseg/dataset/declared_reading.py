"""What a task's dataset.json says of its files where they may not say it themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoseg.dataset.notes import Notes
from autoseg.geometry import SPACING_RANGE
from autoseg.images import Reading

SPACING, HDF5, SHEARED = "spacing", "hdf5", "sheared"
REFUSE_OR_RESAMPLE = ("refuse", "resample")
ARRAYS = ("raw", "label")


def declared_reading(description: Mapping[str, Any], notes: Notes) -> Reading:
    """How the task's files are read; what cannot be understood is noted, and left out."""
    return Reading(
        spacing=_spacing(description.get(SPACING), notes),
        **_arrays(description.get(HDF5, {}), notes),
        **_sheared(description.get(SHEARED), notes),
    )


def _sheared(said: Any, notes: Notes) -> dict[str, str]:
    if said is None or said in REFUSE_OR_RESAMPLE:
        return {} if said is None else {SHEARED: said}
    notes.add(f'{SHEARED}: expected "refuse" or "resample", found {said!r:.100}')
    return {}


def _spacing(said: Any, notes: Notes) -> tuple[float, ...] | None:
    if said is None:
        return None
    least, most = SPACING_RANGE
    if (
        isinstance(said, list)
        and len(said) in (2, 3)
        and all(type(side) in (int, float) and least <= side <= most for side in said)
    ):
        return tuple(map(float, said))
    notes.add(
        f"{SPACING}: expected the size of a voxel in mm, [y, x] or [z, y, x], such as [0.5, 0.5], found {said!r:.100}"
    )
    return None


def _arrays(said: Any, notes: Notes) -> dict[str, str]:
    if (
        isinstance(said, dict)
        and said.keys() <= set(ARRAYS)
        and all(isinstance(name, str) and name for name in said.values())
    ):
        return dict(said)
    notes.add(f'{HDF5}: expected the names of arrays, such as {{"raw": "raw", "label": "label"}}, found {said!r:.100}')
    return {}
