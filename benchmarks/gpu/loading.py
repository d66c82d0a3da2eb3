"""How fast workers make batches when nothing else is done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

from autoseg.machine.resources import available_cores
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Trainer
from autoseg.training.sampling.batches import Batches, Stream, Supply, choose_supply, iterate, remaining_keys
from autoseg.training.trial import SEED, save_trial_cases, trial_plan, trial_plans, trial_trainer
from autoseg.words import counted
from gpu.checks import Check, Setting, judge_time

CASES = {1: 180, 4: 150}
"""Sides of the made-up cases, by channels."""

SMALL_CASE = 24
SPARED_CORES = (8, 4, 2)
"""That are left beside the workers."""

WANTED_MS = (0.0, 50.0)
"""A GPU takes a batch of two large patches every 50 to 70 ms."""

MENDS = "more cores or workers (--num_workers), or faster transforms (autoseg/training/augmentation/warping.py)"


def checks(setting: Setting) -> Iterator[Check]:
    """With one channel and four, by as many workers as a training takes and by fewer."""
    for channels, side in CASES.items():
        shape = (SMALL_CASE if setting.is_small else side,) * 3
        store = save_trial_cases(setting.folder / f"loading_{channels}", shape, channels=channels)
        trainer, batches = made_up_batches(setting, store, channels)
        usual = choose_supply(None, trainer.device, batches.bytes_of_one(channels))
        for supply in _supplies(setting, usual):
            seconds = _seconds_of_one(batches, supply, setting)
            what = f"{counted(channels, 'channel')}, {counted(supply.workers, 'worker')}, {supply.ahead} ahead"
            bounds = WANTED_MS if setting.slower is not None and supply == usual else None
            yield judge_time("loader", what, seconds, bounds, mend=MENDS)


def _supplies(setting: Setting, usual: Supply) -> list[Supply]:
    """As a training has it, the same with little ahead, and with fewer workers."""
    if setting.is_small:
        return [usual]
    fewer = {max(1, available_cores() - spared) for spared in SPARED_CORES} - {usual.workers}
    ahead = usual.ahead // max(1, usual.workers)
    return [
        usual,
        Supply(workers=usual.workers, ahead=2 * usual.workers),
        *(Supply(workers=workers, ahead=ahead * workers) for workers in sorted(fewer)),
    ]


def made_up_batches(
    setting: Setting, store: PreparedCases, channels: int, *, on_device: bool | None = None
) -> tuple[Trainer, Batches]:
    """A trainer and its batches, varied on the device or by workers, as the trainer has it unless that is said."""
    plan = trial_plan((setting.side,) * 3, **setting.network)
    fold = setting.folder / "batches_model" / "fold_0"
    trainer = trial_trainer(Trainer, store, trial_plans(plan, channels=channels), fold, device=setting.device)
    stream = Stream(
        cases=store.identifiers(),
        augmentation=trainer.build_augmentation(),
        on_device=trainer.varies_on_device if on_device is None else on_device,
    )
    return trainer, Batches(
        store=store,
        streams=(stream, stream),
        patch_size=plan.sampling.patch_size,
        batch_size=plan.batch_size,
        strides=plan.topology.strides,
        foreground_fraction=trainer.foreground_fraction,
        seed=SEED,
    )


def _seconds_of_one(batches: Batches, supply: Supply, setting: Setting) -> float:
    keys = remaining_keys(epochs=1, training=10**5, validation=0)
    with closing(iterate(batches, keys, supply, pin_memory=setting.is_cuda)) as made:
        for _ in range(supply.ahead):  # those made while workers start
            next(made)
        number, begun = 0, time.perf_counter()
        while number == 0 or time.perf_counter() - begun < setting.seconds:
            next(made)
            number += 1
        return (time.perf_counter() - begun) / number
