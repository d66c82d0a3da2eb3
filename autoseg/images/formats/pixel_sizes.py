"""The size of a picture's pixels: from a sidecar beside it, from its task, or from the file itself, in this order.

Sidecar: `<picture>.json` or, without the channel's number, `<case>.json`, with `spacing` in mm, (z, y, x) or (y, x), or as
BIDS has it for microscopy `PixelSize`, (x, y) or (x, y, z), and `PixelSizeUnits`:
https://bids-specification.readthedocs.io/en/stable/modality-specific-files/microscopy.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoseg.errors import StorageError
from autoseg.files.storage import read_json
from autoseg.geometry import SPACING_RANGE, Geometry
from autoseg.images.format import Reading
from autoseg.images.refusals import refusal

UNITS = {"mm": 1.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "nm": 1e-6, "cm": 10.0, "m": 1000.0}
"""In mm."""

NUMBERED = re.compile(r"(.+)_\d{4}", re.ASCII)
REMEDY = 'write {"spacing": [0.5, 0.5]} in mm, (y, x) or (z, y, x)'

IN_PIXELS = (1.0, 1.0, 1.0)
"""Where no size is known."""


def sidecars(path: Path) -> tuple[Path, ...]:
    """The JSON file that goes with a picture, where it is there."""
    stem = path.name.rpartition(".")[0]
    match = NUMBERED.fullmatch(stem)
    names = [f"{stem}.json", *([f"{match[1]}.json"] if match else [])]
    return tuple(path.with_name(name) for name in names if path.with_name(name).is_file())[:1]


def picture_grid(path: Path, reading: Reading, own: tuple[float, ...] | None = None) -> Geometry:
    """The grid of a picture or of a stack of them, which lies nowhere.

    Args:
        own: What the file says itself, in mm.

    Raises:
        DatasetError: A size that cannot be, or that cannot be understood.
    """
    beside = sidecars(path)
    if beside and (size := _by_sidecar(beside[0])) is not None:
        return Geometry(spacing=_three(beside[0], size))
    if reading.spacing is not None:
        return Geometry(spacing=_three(path, reading.spacing))
    return Geometry(spacing=IN_PIXELS, in_pixels=True) if own is None else Geometry(spacing=_three(path, own))


def _by_sidecar(path: Path) -> tuple[float, ...] | None:
    try:
        content = read_json(path)
    except StorageError as error:
        raise refusal(path, "goes with a picture, and is no JSON", f"correct it, or {REMEDY}") from error
    if not isinstance(content, dict):
        raise refusal(path, "goes with a picture, and is no JSON object", f"correct it, or {REMEDY}")
    if "spacing" in content:
        return _numbers(path, content["spacing"], 1.0)
    if "PixelSize" not in content:
        return None
    return _numbers(path, content["PixelSize"], _unit(path, content))[::-1]


def _unit(path: Path, content: Mapping[str, Any]) -> float:
    unit = content.get("PixelSizeUnits", "mm")
    if unit not in UNITS:
        raise refusal(path, f"its PixelSizeUnits is {unit!a}", "write mm, um or nm")
    return UNITS[unit]


def _numbers(path: Path, values: Any, unit: float) -> tuple[float, ...]:
    if isinstance(values, (int, float)) and not isinstance(values, bool):
        values = [values, values]
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise refusal(path, f"its size of a pixel is {values!a:.60}, which are no numbers", REMEDY)
    return tuple(unit * value for value in values)


def _three(path: Path, size: tuple[float, ...]) -> tuple[float, float, float]:
    """(z, y, x); across a plane alone as along its larger side, so that it is the last axis of all to be cut."""
    least, most = SPACING_RANGE
    if len(size) not in (2, 3) or not all(math.isfinite(side) and least <= side <= most for side in size):
        shown = ", ".join(f"{side:g}" for side in size)
        raise refusal(
            path,
            f"says that a pixel is [{shown}] mm; each of 2 or 3 sides must be from {least:g} to {most:g} mm",
            REMEDY,
        )
    y, x = size[-2:]
    return (size[0] if len(size) == 3 else max(y, x), y, x)
