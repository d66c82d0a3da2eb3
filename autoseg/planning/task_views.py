"""The directions that a task's volumes are looked along: drawn once, written down, and taken from there ever after."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import autoseg
from autoseg.arrays import Float64Array
from autoseg.errors import PlanError
from autoseg.files.records import RecordFormat, read_record, write_record
from autoseg.files.storage import read_json
from autoseg.planning.views import NUMBER_OF_VIEWS, draw_directions
from autoseg.plans import Direction
from autoseg.plans.configuration import MOST_VIEWS
from autoseg.views.frame import upward
from autoseg.words import RESULT, counted

log = logging.getLogger(__name__)

FORMAT = RecordFormat(
    number=1,
    what="views",
    error=PlanError,
    another="install a matching version, or delete the file so that views are drawn anew",
    damaged="correct it, or delete it so that views are drawn anew",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskViews:
    """What the file holds.

    Attributes:
        axes: Of the directions' entries.
        directions: Unit vectors in patient coordinates.
    """

    directions: tuple[Direction, ...]
    axes: tuple[str, str, str] = ("z", "y", "x")


def directions_of_task(path: Path, wanted: int | Path | None, voxels: Float64Array) -> tuple[Direction, ...]:
    """Those that are there, unless others are asked for; the file holds them then.

    Args:
        path: `views.json` of the task.
        wanted: How many, or a file of them; None takes those that are there, or draws six.
        voxels: `(3, 3)`, from `voxels_in_space`.

    Raises:
        PlanError: A file is damaged, or holds no vectors.
    """
    there = read_record(path, TaskViews, FORMAT).directions if path.is_file() else None
    if isinstance(wanted, Path):
        directions = read_directions(wanted)
    elif there is not None and wanted in (None, len(there)):
        return there
    else:
        directions = draw_directions(voxels, wanted or NUMBER_OF_VIEWS)
    if there is not None and there != directions:
        log.info("%s: %s in place of %s", path.name, counted(len(directions), "view"), len(there), extra=RESULT)
    content = TaskViews(directions=directions)
    write_record(path, {"version": autoseg.__version__, "axes": content.axes, "directions": directions}, FORMAT)
    return directions


def read_directions(path: Path) -> tuple[Direction, ...]:
    """Vectors of a file: `views.json` of a task, or a list of vectors [z, y, x] of any length.

    Raises:
        PlanError: It holds anything else.
    """
    content = read_json(path)
    if isinstance(content, dict) and "format" in content:
        return read_record(path, TaskViews, FORMAT).directions
    if not (isinstance(content, list) and 1 <= len(content) <= MOST_VIEWS and all(map(_is_vector, content))):
        raise PlanError(
            f"{path}: expected a list of 1 to {MOST_VIEWS} vectors [z, y, x], such as [[1, 0, 0], [0, 1, 0], [0, 0, 1]] "
            "for the three axes of the scanner; correct the file"
        )
    return tuple(upward(np.array(vector, dtype=np.float64)) for vector in content)


def _is_vector(value: Any) -> bool:
    is_triple = isinstance(value, list) and len(value) == len("zyx")
    return is_triple and all(type(one) in (int, float) for one in value) and any(value)
