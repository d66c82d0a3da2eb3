"""What prediction along six directions takes beside the network itself, and how much memory the whole process does.

python benchmarks/sweeps.py preprocessed/Task004_Hippocampus/autoseg_plans_2D.pkl
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import replace
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
SMALL, LARGE = (36, 50, 35), (300, 512, 512)
CLASSES = (5, 10)
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


def seconds_of(plans: Plans) -> tuple[float, float]:
    """Of the processor: in the network, and in all that predicting a small case takes."""
    network = Timed(build_network(plans.configuration(CONFIGURATION), 1, len(plans.target.outputs)))
    predictor = Predictor(a_model(plans, network), Computation(device="cpu", precision="fp32"))
    case = a_case(SMALL)
    predictor.predict_prepared(case)
    network.seconds, started = 0.0, time.process_time()
    predictor.predict_prepared(case)
    return network.seconds, time.process_time() - started


def predict_large(plans: Plans, classes: int) -> None:
    """By a network of one layer, along one direction; prints seconds, and the most memory that the process had."""
    plan = plans.configuration(CONFIGURATION)
    views = Views(directions=draw_directions(np.eye(3), 1), span=float(max(LARGE) - 1))
    changed = replace(plan, sampling=replace(plan.sampling, patch_size=(512, 512), views=views))
    labels = ("background", *(f"organ {number}" for number in range(1, classes)))
    plans = replace(plans, labels=labels, configurations={CONFIGURATION: changed})
    network = nn.Conv2d(1, classes, 1)
    started = time.process_time()
    case = a_case(LARGE)
    Predictor(a_model(plans, network), Computation(device="cpu", precision="fp32")).predict_prepared(case)
    print(time.process_time() - started, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Print each figure beside its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plans", type=Path)
    parser.add_argument("--classes", type=int, help="predict the large image with so many, and say what it took")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plans = load_plans(arguments.plans)
    if arguments.classes:
        predict_large(plans, arguments.classes)
        return
    network, everything = seconds_of(plans)
    print(
        f"{'x'.join(map(str, SMALL))} voxels, 6 views: {everything:.1f} s, network {network:.1f} s, "
        f"{everything / network:.2f} times (at most {MOST_TIMES})"
    )
    taken = []
    for classes in CLASSES:
        words = [sys.executable, __file__, str(arguments.plans), "--classes", str(classes)]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        taken.append(float(said[-1]))
        print(
            f"{'x'.join(map(str, LARGE))} voxels, {classes} classes: {taken[-1] / 1e9:.2f} GB "
            f"(at most {MOST_BYTES / 1e9:.0f}), {float(said[-2]):.0f} s of the processor with one view"
        )
    each = (taken[1] - taken[0]) / ((CLASSES[1] - CLASSES[0]) * np.prod(LARGE))
    print(f"of each voxel and class: {each:.2f} bytes (at most {MOST_A_VALUE})")


if __name__ == "__main__":
    main()
