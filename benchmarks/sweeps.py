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
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from autoseg.inference.model import TrainedModel
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation
from autoseg.networks.build import build_network
from autoseg.planning.views import draw_directions
from autoseg.plans import Plans, Views, load_plans
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.training.trial import untouched

CONFIGURATION = "multiplanar"
SMALL, LARGE = (36, 50, 35), (200, 512, 512)
DEPTHS = (150, 300)
"""Slices of 512x512 voxels, between which memory grows with the voxels alone."""

PLANES = 512
"""Pixels a side, of a large CT."""

NARROW = {"features": 8, "max_features": 128}
CLASSES = (2, 10)
MOST_TIMES, MOST_BYTES, MOST_A_VALUE = 1.3, 3e9, 2.0
"""The network's own time; of the process; of each voxel times class."""


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
        properties=untouched("case", shape),
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


def with_one_layer(plans: Plans, *, classes: int, depth: int) -> Taken:
    """For a network, whose own memory then does not count."""
    return taken(large_plans(plans, classes), nn.Conv2d(1, classes, 1), (depth, PLANES, PLANES))


MEASURED: dict[str, Callable[[Plans], Taken]] = {
    "small": lambda plans: taken(plans, planned(plans), SMALL),
    "large": lambda plans: taken(large_plans(plans, 3), planned(large_plans(plans, 3)), LARGE),
    **{
        f"{classes}x{depth}": partial(with_one_layer, classes=classes, depth=depth)
        for classes in CLASSES
        for depth in DEPTHS
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
    memory = {}
    for classes, depth in product(CLASSES, DEPTHS):
        found = measured(arguments.plans, f"{classes}x{depth}")
        memory[classes, depth] = found.memory
        print(
            f"{told_shape((depth, PLANES, PLANES))} voxels, 6 views, {classes} classes: {found.memory / 1e9:.2f} GB "
            f"(at most {MOST_BYTES / 1e9:.0f}), {found.everything - found.network:.0f} s beside the network",
            flush=True,
        )
    (few, many), (shallow, deep) = CLASSES, DEPTHS
    added = {depth: (memory[many, depth] - memory[few, depth]) / (many - few) for depth in DEPTHS}
    plane = PLANES * PLANES
    slope = (added[deep] - added[shallow]) / ((deep - shallow) * plane)
    print(
        f"of each voxel times class: {slope:.2f} bytes (at most {MOST_A_VALUE}); "
        f"of each class, however many slices: {(added[deep] - slope * deep * plane) / 1e6:.0f} MB of planes"
    )


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
