"""A short training as a user starts it: its batches, how long the network waits for them, and the end of an epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from autoseg.files.storage import read_json
from autoseg.plans import ConfigurationPlan
from autoseg.training import Trainer
from autoseg.training.fold_run import FoldRun
from autoseg.training.sampling.waiting import MUCH
from autoseg.training.state import TrainingState
from autoseg.training.time_needed import VALIDATION_SHARE
from autoseg.training.trial import save_trial_cases, trial_plan, trial_plans, trial_trainer
from gpu.checks import Check, Setting, judge_time
from gpu.machine import wait_for
from gpu.step import hippocampus

EPOCHS = 3
"""Kernels are chosen and workers start in the first, and libraries are imported at its end; the last is judged."""

LARGE_MS, HIPPOCAMPUS_MS = (50, 80), (9, 20)
BETWEEN_MS = (0, 500)
"""A fortieth of an epoch."""
WAITING_MENDS = "more cores, or what the loader's section shows"
BATCH_MENDS = "where it waits the loader's section tells, else the step's"
BETWEEN_MENDS = (
    "what is written and drawn before the next batch: FoldRun._finish_epoch, and autoseg/training/fold/writing.py"
)


class WatchedRun(FoldRun):
    def _finish_epoch(self, *arguments: Any) -> bool:
        assert isinstance(self._parts, Watched)
        self._parts.epoch_ends()
        return super()._finish_epoch(*arguments)


class Watched(Trainer):
    """Times its epochs without what lies between them, and that."""

    runs = WatchedRun

    def __init__(self, *data: Any, **words: Any) -> None:
        super().__init__(*data, **words)
        self.begun, self.ended = 0.0, 0.0
        self.spent, self.between = 0.0, 0.0

    def training_step(self, state: TrainingState, *arguments: Any) -> Any:
        if state.iteration == 0:
            self.begun = time.perf_counter()
            self.between = self.begun - self.ended
        return super().training_step(state, *arguments)

    def epoch_ends(self) -> None:
        wait_for(self.device)
        self.ended = time.perf_counter()
        self.spent = self.ended - self.begun


def checks(setting: Setting) -> Iterator[Check]:
    """Large cases with one and four channels, and hippocampi; one training that is small."""
    large = trial_plan((setting.side,) * 3, **setting.network)
    if setting.is_small:
        yield from _train(setting, "large, 1 channel", large, (24, 24, 24), 1, 3)
        return
    yield from _train(setting, "large, 1 channel", large, (180, 180, 180), 1, 60)
    yield from _train(setting, "large, 4 channels", large, (150, 150, 150), 4, 60)
    yield from _train(setting, "hippocampus", hippocampus(setting), (48, 64, 48), 1, 250)


def _train(
    setting: Setting, what: str, plan: ConfigurationPlan, shape: tuple[int, ...], channels: int, batches: int
) -> Iterator[Check]:
    name = f"epoch_{what}".replace(" ", "_")
    store = save_trial_cases(setting.folder / name, shape, channels=channels)
    plans = trial_plans(plan, channels=channels)
    settings = {"epochs": EPOCHS, "iterations_per_epoch": batches, "device": setting.device}
    trainer = trial_trainer(Watched, store, plans, setting.folder / f"{name}_model" / "fold_0", **settings)
    trainer.run()
    last = read_json(trainer.fold.history)["epochs"][-1]
    seconds = trainer.spent / (batches + VALIDATION_SHARE * trainer.validation_batches)
    usual = HIPPOCAMPUS_MS if what == "hippocampus" else LARGE_MS
    yield judge_time("epoch", f"{what}, a batch", seconds, setting.expect(usual), mend=BATCH_MENDS)
    yield _waiting(setting, what, last["waited"])
    bounds = BETWEEN_MS if setting.slower is not None else None
    yield judge_time("epoch", f"{what}, between two epochs", trainer.between, bounds, mend=BETWEEN_MENDS)
    if setting.is_cuda:
        torch.cuda.empty_cache()


def _waiting(setting: Setting, what: str, waited: float) -> Check:
    is_judged = setting.slower is not None
    return Check(
        section="epoch",
        what=f"{what}, waiting for batches",
        measured=f"{waited:.0%} of the time",
        expected=f"at most {MUCH:.0%}" if is_judged else "",
        verdict="noted" if not is_judged else "right" if waited <= MUCH else "slow",
        mend=WAITING_MENDS,
    )
