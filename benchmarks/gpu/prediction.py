"""Seconds of a large case in the network and in the export, with tiles and pieces as they are and for a large GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from autoseg.inference import export, predictor
from autoseg.inference.model import TrainedModel
from autoseg.inference.predictor import Predictor
from autoseg.networks import build_network
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.training.trial import LABELS, trial_case, trial_plan, trial_plans
from gpu.checks import Check, Setting, judge_time, milliseconds
from gpu.machine import wait_for

MUCH_SLOWER = 1.2
LARGE_PIECES = {"PIECE_SCORES": 2**26, "CHUNK_VOXELS": 2**27}
TILE_VOXELS = 2**24
"""For a GPU whose memory is large: pieces that make few launches, and eight tiles of 128x128x128 at once."""

ORGANS = 25
NETWORK_MENDS = "BATCH_VOXELS in autoseg/inference/predictor.py, and cuDNN's trials of kernels"
EXPORT_MENDS = "PIECE_SCORES and CHUNK_VOXELS in autoseg/inference/export.py"


def checks(setting: Setting) -> Iterator[Check]:
    """Without flips with few classes and many, and with eight flips."""
    large, original = ((20, 24, 24), (26, 30, 30)) if setting.is_small else ((300, 400, 400), (400, 512, 512))
    little = (20, 20, 20) if setting.is_small else (200, 256, 256)
    case = trial_case("large", large, original=original)
    cases = {
        f"{len(LABELS)} classes": (len(LABELS), False, case),
        f"{len(LABELS)} classes, 8 flips": (len(LABELS), True, trial_case("little", little)),
        f"{ORGANS} classes": (ORGANS, False, case),
    }
    for what, (classes, mirror, case) in cases.items():
        network, exporting = _seconds(setting, classes, mirror, case)
        with _for_a_large_gpu():
            faster_network, faster_exporting = _seconds(setting, classes, mirror, case)
        yield _judge(setting, f"{what}, network", network, faster_network, NETWORK_MENDS)
        yield _judge(setting, f"{what}, export", exporting, faster_exporting, EXPORT_MENDS)


def _judge(setting: Setting, what: str, seconds: float, other: float, mend: str) -> Check:
    bounds = None if setting.slower is None else (1000 * other / MUCH_SLOWER, 1000 * MUCH_SLOWER * other)
    return judge_time(
        "predict", what, seconds, bounds, mend=mend, beside=f"; with larger pieces and more tiles {milliseconds(other)}"
    )


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
    asked = Predictor(model, device=device, mirror=mirror)
    asked.predict_prepared(trial_case("warm", plan.patch_size))
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


@contextmanager
def _for_a_large_gpu() -> Iterator[None]:
    """With constants that suit its memory."""
    before = {name: getattr(export, name) for name in LARGE_PIECES}
    voxels, trials = dict(predictor.BATCH_VOXELS), torch.backends.cudnn.benchmark
    try:
        _set(LARGE_PIECES)
        predictor.BATCH_VOXELS["cuda"] = TILE_VOXELS
        torch.backends.cudnn.benchmark = True
        yield
    finally:
        _set(before)
        predictor.BATCH_VOXELS.update(voxels)
        torch.backends.cudnn.benchmark = trials


def _set(constants: Mapping[str, int]) -> None:
    for name, value in constants.items():
        setattr(export, name, value)
