"""Seconds of a large case in the network with its sums, and in the export."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from autoseg.inference.model import TrainedModel
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation
from autoseg.networks import build_network
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.training.trial import TARGET, trial_case, trial_plan, trial_plans
from gpu.checks import Check, Setting, judge_time
from gpu.machine import wait_for

ORGANS = 25
NETWORK_MS, FEW_MS, MANY_MS = (1500, 2500), (200, 400), (300, 600)
"""Of 300x400x400 voxels in the network, and brought to 400x512x512 with few and many classes."""

NETWORK_MENDS = "how many tiles are handed over at once (autoseg/inference/memory.py), and cuDNN's trials of kernels"
EXPORT_MENDS = "the size of the pieces in autoseg/inference/export.py"


def checks(setting: Setting) -> Iterator[Check]:
    """Without flips with few classes and many, and with eight flips of a smaller case."""
    large, original = ((20, 24, 24), (26, 30, 30)) if setting.is_small else ((300, 400, 400), (400, 512, 512))
    little = trial_case("little", (20, 20, 20) if setting.is_small else (200, 256, 256))
    case = trial_case("large", large, original=original)
    for classes, bounds in ((len(TARGET.names), FEW_MS), (ORGANS, MANY_MS)):
        what = f"{classes} classes"
        network, exporting = _seconds(setting, classes, False, case)
        yield judge_time("predict", f"{what}, network", network, setting.expect(NETWORK_MS), mend=NETWORK_MENDS)
        yield judge_time("predict", f"{what}, export", exporting, setting.expect(bounds), mend=EXPORT_MENDS)
    network, exporting = _seconds(setting, len(TARGET.names), True, little)
    yield judge_time("predict", "8 flips, network", network, None)
    yield judge_time("predict", "8 flips, export", exporting, None)


def _seconds(setting: Setting, classes: int, mirror: bool, case: PreparedCase) -> tuple[float, float]:
    """Of the network with its sums, and of what bringing labels to the original grid adds."""
    plan = trial_plan((setting.side,) * 3, **setting.network)
    plans = trial_plans(plan, labels=("background", *(f"label {number}" for number in range(1, classes))))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = build_network(plan, 1, classes).eval()
    network.deep_supervision = False
    model = TrainedModel(plans=plans, configuration=plan.name, networks=(network,), mirror_axes=(0, 1, 2), folds=("0",))
    device = torch.device(setting.device)
    asked = Predictor(model, Computation(device=device, mirror=mirror))
    asked.predict_prepared(trial_case("warm", plan.sampling.patch_size))
    wait_for(device)
    times = [time.perf_counter()]
    for _ in asked.scores(case):
        pass
    wait_for(device)
    times.append(time.perf_counter())
    asked.predict_prepared(case)
    wait_for(device)
    in_network = times[1] - times[0]
    return in_network, max(0.0, time.perf_counter() - times[1] - in_network)
