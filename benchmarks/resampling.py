"""Resampling an image with cubic splines onto another grid, in all directions and with slices kept apart."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import Contest, report, timed_work
from setting import Setting, fresh

ISOTROPIC = {"old": (160, 384, 384), "new": (200, 300, 300), "spacing": (1.0, 1.0, 1.0)}
THICK = {"old": (160, 384, 384), "new": (192, 300, 300), "spacing": (4.0, 1.0, 1.0)}
"""192 and not 200 slices, where no new slice lies half-way between two old ones: which is the nearest is then open."""

TAPS = 4
"""Weights of a cubic spline that are not zero for a voxel along one axis, once prefiltered."""


def contests(setting: Setting) -> Iterator[Contest]:
    """One for cubes of voxels, one for thick slices."""
    for stage, grids in (("resampling", ISOTROPIC), ("resampling, thick slices", THICK)):
        shrink = 8 if setting.quick else 1
        sizes = {
            "old": tuple(side // shrink for side in grids["old"]),
            "new": tuple(side // shrink for side in grids["new"]),
            "spacing": grids["spacing"],
        }
        voxels = math.prod(sizes["old"]) + math.prod(sizes["new"])
        text = json.dumps(sizes)
        yield Contest(
            stage=stage,
            work=f"{_shape(sizes['old'])} to {_shape(sizes['new'])} voxels, float32",
            autoseg=setting.script("autoseg", "resampling", text, fresh("result.npy")),
            peer=setting.script("peer", "resampling", text, fresh("result.npy")),
            ceiling=setting.ceiling(moved=4 * voxels, operations=2 * TAPS * 3 * math.prod(sizes["new"])),
            agreement=(
                str(setting.autoseg_python),
                str(Path(__file__).with_name("agreement.py")),
                "{autoseg}/result.npy",
                "{peer}/result.npy",
            ),
        )


def _shape(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides))


def autoseg_side(image: Any, sizes: Any) -> Any:
    """As preparing a case does it."""
    from autoseg.preprocessing.resampling import resample_image, separated_axis

    new_spacing = _new_spacing(sizes)
    separated = separated_axis(tuple(sizes["spacing"]), new_spacing)
    return resample_image(image, shape=tuple(sizes["new"]), separated=separated)


def peer_side(image: Any, sizes: Any) -> Any:
    """The peer's own function, with the orders that its plans give for images."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

    return resample_data_or_seg_to_shape(
        image,
        sizes["new"],
        sizes["spacing"],
        _new_spacing(sizes),
        is_seg=False,
        order=3,
        order_z=0,
        force_separate_z=None,
    )


def _new_spacing(sizes: Any) -> tuple[float, ...]:
    return tuple(side * old / new for side, old, new in zip(sizes["spacing"], sizes["old"], sizes["new"], strict=True))


def main() -> None:
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["autoseg", "peer"])
    parser.add_argument("sizes", type=json.loads)
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args()
    side = autoseg_side if arguments.side == "autoseg" else peer_side
    image = np.random.default_rng(0).standard_normal((1, *arguments.sizes["old"]), dtype=np.float32)
    side(image[:, :8, :8, :8], {**arguments.sizes, "old": (8, 8, 8), "new": (9, 9, 9)})  # imports what it needs
    with timed_work() as work:
        resampled = side(image, arguments.sizes)
    volume = max(image.nbytes, 4 * resampled.size)
    work["volumes_beyond"] = (work.pop("beyond_bytes") - 4 * resampled.size) / volume
    np.save(arguments.result, np.asarray(resampled, dtype=np.float32))
    report(**work)


if __name__ == "__main__":
    main()
