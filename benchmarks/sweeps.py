"""What prediction along six directions takes beside the network itself, and how much memory the whole process does.

python benchmarks/sweeps.py preprocessed/Task004_Hippocampus/autoseg_plans_2D.pkl

A large CT is timed with the planned network at a quarter of its width, which fits into a few minutes: what is not the
network takes as long with any. Memory is measured with one layer in its place, whose own memory does not count.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from autoseg.geometry import Geometry
from autoseg.inference.model import TrainedModel
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation
from autoseg.networks.build import build_network
from autoseg.planning.views import draw_directions
from autoseg.plans import Plans, Views, load_plans
from autoseg.preprocessing.prepare import CaseProperties, PreparedCase

CONFIGURATION = "multiplanar"
SMALL, LARGE, LARGEST = (36, 50, 35), (200, 512, 512), (300, 512, 512)
PLANES = 512
"""Pixels a side, of a large CT."""

NARROW = {"features": 8, "max_features": 128}
CLASSES = (2, 5, 10)
MOST_TIMES, MOST_BYTES, MOST_A_VALUE = 1.3, 3e9, 2.0
"""The network's own time; of the process; of each voxel and class that is added."""


class Timed(nn.Module):
    """A network that counts the processor's seconds in it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.seconds = network, 0.0

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        started = time.process_time()
        scores = self.network(tiles)
        self.seconds += time.process_time() - started
        return scores


@dataclass(frozen=True)
class Taken:
    """Of the processor's seconds those of the network and all, and the most memory that the process had."""

    network: float
    everything: float
    memory: float

    @property
    def told(self) -> str:
        """The seconds, and how the whole is to the network's."""
        return (
            f"{self.everything:.1f} s, network {self.network:.1f} s, the rest {self.everything - self.network:.1f} s, "
            f"{self.everything / self.network:.2f} times (at most {MOST_TIMES})"
        )


def a_case(shape: tuple[int, int, int]) -> PreparedCase:
    """Of noise, 1 mm a voxel."""
    data = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
    return PreparedCase(
        data=data,
        segmentation=None,
        foreground={},
        properties=CaseProperties(
            identifier="case",
            geometry=Geometry(spacing=(1.0, 1.0, 1.0)),
            original_shape=shape,
            crop=tuple((0, side) for side in shape),
            transpose_forward=(0, 1, 2),
            cropped_shape=shape,
            spacing=(1.0, 1.0, 1.0),
            prepared_spacing=(1.0, 1.0, 1.0),
            prepared_shape=shape,
        ),
    )


def a_model(plans: Plans, network: nn.Module) -> TrainedModel:
    return TrainedModel(
        plans=plans,
        configuration=CONFIGURATION,
        networks=(network,),
        mirror_axes=(),
        folds=("0",),
        rules=(),
        checkpoint="final",
        trainer="Trainer",
    )


def large_plans(plans: Plans, classes: int) -> Plans:
    """Those of a large CT: planes of 512 pixels, a millimetre apart, along six directions."""
    plan = plans.configuration(CONFIGURATION)
    views = Views(directions=draw_directions(np.eye(3)), span=float(PLANES - 1))
    narrow = replace(plan.network, settings={**plan.network.settings, **NARROW})
    changed = replace(
        plan, sampling=replace(plan.sampling, patch_size=(PLANES, PLANES), views=views), network=narrow, batch_size=1
    )
    labels = ("background", *(f"organ {number}" for number in range(1, classes)))
    return replace(plans, labels=labels, configurations={CONFIGURATION: changed})


def taken(plans: Plans, network: nn.Module, shape: tuple[int, int, int]) -> Taken:
    """By predicting a case of noise."""
    timed = Timed(network)
    predictor = Predictor(a_model(plans, timed), Computation(device="cpu", precision="fp32"))
    started, case = time.process_time(), a_case(shape)
    predictor.predict_prepared(case)
    everything = time.process_time() - started
    return Taken(timed.seconds, everything, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


MEASURED: dict[str, Callable[[Plans], Taken]] = {
    "small": lambda plans: taken(plans, planned(plans), SMALL),
    "large": lambda plans: taken(large_plans(plans, 3), planned(large_plans(plans, 3)), LARGE),
    **{
        str(classes): lambda plans, classes=classes: taken(
            large_plans(plans, classes), nn.Conv2d(1, classes, 1), LARGEST
        )  # type: ignore[misc]
        for classes in CLASSES
    },
}
"""Each in a process of its own."""


def planned(plans: Plans) -> nn.Module:
    """The network of plans."""
    return build_network(plans.configuration(CONFIGURATION), 1, len(plans.target.outputs))


def main() -> None:
    """Print each figure beside its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plans", type=Path)
    parser.add_argument("--only", choices=MEASURED, help="measure one thing, and print it as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.only:
        print(json.dumps(asdict(MEASURED[arguments.only](load_plans(arguments.plans)))))
        return
    for name, shape in (("small", SMALL), ("large", LARGE)):
        print(f"{told_shape(shape)} voxels, 6 views: {measured(arguments.plans, name).told}", flush=True)
    memory = []
    for classes in CLASSES:
        found = measured(arguments.plans, str(classes))
        memory.append(found.memory)
        print(
            f"{told_shape(LARGEST)} voxels, 6 views, {classes} classes: {found.memory / 1e9:.2f} GB "
            f"(at most {MOST_BYTES / 1e9:.0f}), {found.everything - found.network:.0f} s beside the network",
            flush=True,
        )
    slope = np.polyfit(CLASSES, memory, 1)[0] / np.prod(LARGEST)
    print(f"of each voxel and class: {slope:.2f} bytes (at most {MOST_A_VALUE})")


def measured(plans: Path, name: str) -> Taken:
    """One of `MEASURED`, in a process of its own."""
    words = [sys.executable, __file__, str(plans), "--only", name]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return Taken(**json.loads(said.splitlines()[-1]))


def told_shape(shape: tuple[int, int, int]) -> str:
    """In words."""
    return "x".join(map(str, shape))


if __name__ == "__main__":
    main()
