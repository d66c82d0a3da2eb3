"""From class scores on the network's grid to labels on the original grid."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import Contest, report, timed_work
from setting import Setting, fresh

CLASSES = (10, 25)
REGIONS = 10
"""Each inside the one before it, so that all overlap."""

NETWORK_SHAPE, IMAGE_SHAPE = (178, 341, 341), (267, 512, 512)
NETWORK_SPACING = (1.5, 1.5, 1.5)
COARSE = 12
"""Side of the random grid that smooth scores are interpolated from."""

PLANES = 16
"""Scores come in slabs of so many planes, as from the sliding window."""

LERPS = 3
"""Linear interpolations of a score, one for each axis; each takes three operations."""


def contests(setting: Setting) -> Iterator[Contest]:
    """One for each number of classes, and one for regions."""
    shrink = 8 if setting.quick else 1
    old, new = (tuple(side // shrink for side in shape) for shape in (NETWORK_SHAPE, IMAGE_SHAPE))
    for outputs, regions in (*((classes, False) for classes in CLASSES), (REGIONS, True)):
        words = (
            json.dumps({"outputs": outputs, "regions": regions, "old": old, "new": new}),
            setting.prepared["peer"],
            fresh("labels.npy"),
        )
        yield Contest(
            stage=f"export, {outputs} {'regions' if regions else 'classes'}",
            work=f"scores {_shape(old)} to labels {_shape(new)}",
            autoseg=setting.script("autoseg", "export", *words),
            peer=setting.script("peer", "export", *words),
            ceiling=setting.ceiling(
                moved=4 * outputs * math.prod(old) + math.prod(new), operations=3 * LERPS * outputs * math.prod(new)
            ),
            agreement=(
                str(setting.autoseg_python),
                str(Path(__file__).with_name("agreement.py")),
                "{autoseg}/labels.npy",
                "{peer}/labels.npy",
            ),
        )


def _shape(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides))


def region_members(outputs: int) -> list[list[int]]:
    """The labels of each region: of a nested row, the first covers all."""
    return [list(range(first, outputs + 1)) for first in range(1, outputs + 1)]


def autoseg_side(scores: Any, new: Any, prepared: Path, *, regions: bool) -> Any:  # noqa: ARG001
    """As prediction does it, slab by slab."""
    from autoseg.dataset.target import Exclusive, Regions
    from autoseg.geometry import Geometry
    from autoseg.inference.export import Slab, export_segmentation
    from autoseg.preprocessing.prepare import CaseProperties

    old = tuple(scores.shape[1:])
    fine = tuple(side * before / after for side, before, after in zip(NETWORK_SPACING, old, new, strict=True))
    properties = CaseProperties(
        identifier="scores",
        geometry=Geometry(spacing=fine, origin=(0.0, 0.0, 0.0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)),
        original_shape=tuple(new),
        crop=tuple((0, side) for side in new),
        transpose_forward=(0, 1, 2),
        cropped_shape=tuple(new),
        spacing=fine,
        prepared_spacing=NETWORK_SPACING,
        prepared_shape=old,
    )
    slabs = (Slab(start=first, scores=scores[:, first : first + PLANES]) for first in range(0, old[0], PLANES))
    outputs = len(scores)
    nested = Regions(
        names=tuple(f"region {number}" for number in range(1, outputs + 1)),
        members=tuple(tuple(labels) for labels in region_members(outputs)),
        order=tuple(range(1, outputs + 1)),
    )
    return export_segmentation(slabs, properties, nested if regions else Exclusive.numbered(outputs))


def peer_side(scores: Any, new: Any, prepared: Path, *, regions: bool) -> Any:
    """The peer's own function, with its plans of a task that has as many labels or regions."""
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = json.loads((prepared / "nnUNetPlans.json").read_text())
    plans["configurations"]["3d_fullres"]["spacing"] = list(NETWORK_SPACING)
    dataset = json.loads((prepared / "dataset.json").read_text())
    if regions:
        members = region_members(len(scores))
        dataset["labels"] = {"background": 0} | {f"region {labels[0]}": labels for labels in members}
        dataset["regions_class_order"] = [labels[0] for labels in members]
    else:
        dataset["labels"] = {"background": 0} | {f"label {number}": number for number in range(1, len(scores))}
    manager = PlansManager(plans)
    old = scores.shape[1:]
    return convert_predicted_logits_to_segmentation_with_correct_shape(
        scores,
        manager,
        manager.get_configuration("3d_fullres"),
        manager.get_label_manager(dataset),
        {
            "spacing": [side * before / after for side, before, after in zip(NETWORK_SPACING, old, new, strict=True)],
            "shape_before_cropping": tuple(new),
            "bbox_used_for_cropping": [[0, side] for side in new],
            "shape_after_cropping_and_before_resampling": tuple(new),
        },
    )


def smooth_scores(outputs: int, shape: tuple[int, ...], *, regions: bool) -> Any:
    """`(outputs, *shape)` float32, the same on both sides."""
    import torch

    coarse = torch.randn(1, outputs, COARSE, COARSE, COARSE, generator=torch.Generator().manual_seed(0))
    scores = torch.nn.functional.interpolate(4 * coarse, size=shape, mode="trilinear")[0]
    return (scores.sigmoid() if regions else scores.softmax(dim=0)).contiguous()


def main() -> None:
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["autoseg", "peer"])
    parser.add_argument("sizes", type=json.loads)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args()
    sizes = arguments.sizes
    side = autoseg_side if arguments.side == "autoseg" else peer_side
    regions = sizes["regions"]
    side(smooth_scores(3, (8, 8, 8), regions=regions), (9, 9, 9), arguments.prepared, regions=regions)  # imports
    scores = smooth_scores(sizes["outputs"], tuple(sizes["old"]), regions=regions)
    if regions and arguments.side == "peer":
        scores -= 0.5  # it decides logits at 0 where we decide probabilities at one half
    with timed_work() as work:
        labels = side(scores, tuple(sizes["new"]), arguments.prepared, regions=regions)
    work["share_of_scores_beyond"] = work["beyond_bytes"] / (4 * scores.numel())
    np.save(arguments.result, np.asarray(labels, dtype=np.int32))
    report(**work)


if __name__ == "__main__":
    main()
