"""Patches varied on the device: whether they are what a worker makes of the same numbers, and how long a batch takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import torch

from autoseg.preprocessing.store import PreparedCases
from autoseg.training.sampling.batches import Batch, Batches, BatchKey, DrawnBatch
from autoseg.training.sampling.samples import TRAINING
from autoseg.training.trial import save_trial_cases
from autoseg.words import counted
from gpu.checks import Check, Setting, attempt, judge_time, left_out, milliseconds
from gpu.loading import CASES, SMALL_CASE, made_up_batches
from gpu.machine import seconds_of

TOLERANCE = 1e-4
"""Of the range of a sample's values."""

TIES = 1e-5
"""Share of voxels in which two labels may be equally strong, and rounding decides."""

USUAL_MS = {1: (1, 10), 4: (1, 20)}
"""A batch of two, by channels: a few hundred operations, that read and write some gigabytes for a patch that is turned."""

WRONG = "autoseg/training/augmentation/device_warping.py and axis_weights.py; a Trainer's varies_on_device = False leaves it to the workers"
SLOW = "operations that wait for the device, or too many of them (autoseg/training/augmentation/device_warping.py)"


def checks(setting: Setting) -> Iterator[Check]:
    """With one channel and four."""
    keys = [BatchKey(TRAINING, 0, number) for number in range(2 if setting.is_small else 8)]
    for channels, side in CASES.items():
        shape = (SMALL_CASE if setting.is_small else side,) * 3
        store = save_trial_cases(setting.folder / f"augmenting_{channels}", shape, channels=channels)
        yield from _of(setting, store, channels, keys)


def _of(setting: Setting, store: PreparedCases, channels: int, keys: Sequence[BatchKey]) -> Iterator[Check]:
    device = torch.device(setting.device)
    _, by_worker = made_up_batches(setting, store, channels, on_device=False)
    _, by_device = made_up_batches(setting, store, channels, on_device=True)
    begun = time.perf_counter()
    made = [cast(Batch, by_worker.make(key)) for key in keys]
    in_worker = (time.perf_counter() - begun) / len(keys)
    drawn = [_drawn(by_device, key, pinned=setting.is_cuda) for key in keys]
    what = counted(channels, "channel")
    expected = f"within {TOLERANCE:g} of the range, and the same labels"
    yield attempt("augment", what, expected, partial(_agreement, made, drawn, device), mend=WRONG)

    yield _not_waited_for(setting, what, drawn, device)
    tries, warm_up = (1, 1) if setting.is_small else (10, 2)
    seconds = seconds_of(lambda: [batch.varied(device) for batch in drawn], device, tries=tries, warm_up=warm_up)
    beside = f" a batch, {milliseconds(in_worker)} of a worker"
    bounds = setting.expect(USUAL_MS[channels])
    yield judge_time("augment", what, seconds / len(keys), bounds, mend=SLOW, beside=beside)


def _drawn(batches: Batches, key: BatchKey, *, pinned: bool) -> DrawnBatch:
    batch = cast(DrawnBatch, batches.make(key))
    return batch.pin_memory() if pinned else batch


def _not_waited_for(setting: Setting, what: str, drawn: Sequence[DrawnBatch], device: torch.device) -> Check:
    """torch raises in this mode where an operation waits for the GPU."""
    if not setting.is_cuda:
        return left_out("augment", f"{what}, waiting for the device")

    def vary() -> tuple[str, bool]:
        torch.cuda.set_sync_debug_mode("error")
        try:
            for batch in drawn:
                batch.varied(device)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return "never", True

    return attempt("augment", f"{what}, waiting for the device", "never", vary, mend=SLOW)


def _agreement(made: Sequence[Batch], drawn: Sequence[DrawnBatch], device: torch.device) -> tuple[str, bool]:
    furthest, others, voxels = 0.0, 0, 0
    for expected, batch in zip(made, drawn, strict=True):
        varied = batch.varied(device)
        apart = (varied.data.cpu() - expected.data).abs().flatten(1).amax(1)
        extents = expected.data.flatten(1).amax(1) - expected.data.flatten(1).amin(1)
        furthest = max(furthest, float((apart / extents).max()))
        others += int((varied.targets[0].cpu() != expected.targets[0]).sum())
        voxels += expected.targets[0].numel()
    return f"{furthest:.1e} of the range apart, {others} of {voxels} labels differ", (
        furthest <= TOLERANCE and others <= TIES * voxels
    )
