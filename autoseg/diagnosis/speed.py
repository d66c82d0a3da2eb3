"""How long a training will take here, measured on made-up cases before there are any."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.diagnosis.page import Diagnosis
from autoseg.files.layout import fold_name
from autoseg.plans import ConfigurationPlan
from autoseg.words import DAY, counted, rough_time, short_time

SECONDS = 5.0
"""For each of what is measured; the first steps and the start of workers come on top."""

SMALLER, SMALLER_LEVELS = (48, 48, 48), 4
"""The patch and the network that a CPU is tried with: a whole step takes it many seconds and 10 GB, this one a fortieth of
the operations."""

CASE_SHAPE = (160, 160, 160)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What was measured for a plan.

    Attributes:
        device: Its type.
        step_seconds: Of a training batch in the network, data at hand.
        operations: That it does a second: a multiplication and an addition are two.
        is_whole: Whether such a batch was computed, not a smaller one and its time scaled.
        batch_seconds: In which `workers` make such a batch while nothing else is done.
        varying_seconds: Of the device, where it varies what workers read.
    """

    plan: ConfigurationPlan
    device: str
    precision: str
    step_seconds: float
    operations: float
    is_whole: bool
    batch_seconds: float
    workers: int
    varying_seconds: float = 0.0

    @property
    def device_seconds(self) -> float:
        """Of a training batch, all that the device does with it."""
        return self.step_seconds + self.varying_seconds


def check_speed() -> list[Diagnosis]:
    """Train and make batches for some seconds, as for the usual plan of large cases, and say what an epoch takes."""
    from autoseg.networks.devices import resolve_device
    from autoseg.training.trial import trial_plan

    plan = trial_plan()
    tried = plan if resolve_device().type == "cuda" else trial_plan(SMALLER, batch_size=1, levels=SMALLER_LEVELS)
    return judge_speed(measure_speed(plan, tried, CASE_SHAPE, SECONDS))


def measure_speed(
    plan: ConfigurationPlan, tried: ConfigurationPlan, shape: tuple[int, int, int], seconds: float
) -> Speed:
    """Measure on made-up cases, which are removed again, on the device that is taken when none is named.

    Args:
        tried: Of which a step is computed; its time is scaled by the operations.
        shape: Voxels of the cases.
        seconds: For each measurement.
    """
    from autoseg.training import Trainer
    from autoseg.training.trial import (
        save_trial_cases,
        step_operations,
        time_batches,
        time_step,
        trial_plans,
        trial_trainer,
    )

    with tempfile.TemporaryDirectory() as folder:
        store = save_trial_cases(Path(folder) / "prepared", shape)
        trainer_of = partial(trial_trainer, Trainer, store, fold=Path(folder) / "model" / fold_name("0"))
        trainer = trainer_of(plans=trial_plans(tried))
        step = time_step(trainer, seconds)
        making = time_batches(trainer_of(plans=trial_plans(plan)), seconds)
    return Speed(
        plan=plan,
        device=trainer.device.type,
        precision=trainer.precision.name,
        step_seconds=step_operations(plan, 1) / step.operations,
        operations=step.operations,
        is_whole=tried == plan,
        batch_seconds=making.seconds,
        workers=making.workers,
        varying_seconds=making.device_seconds,
    )


def judge_speed(speed: Speed) -> list[Diagnosis]:
    """What was measured, what it means for a training, and what to do about it."""
    return [_step(speed), _batches(speed), _training(speed)]


def _step(speed: Speed) -> Diagnosis:
    plan, network = speed.plan, speed.plan.network.unet()
    patch = "x".join(map(str, plan.sampling.patch_size))
    found = (
        f"{counted(plan.batch_size, 'patch', 'patches')} of {patch} voxels in a U-Net of {network.features} to "
        f"{counted(network.max_features, 'channel')}, forward and backward in {speed.precision}: {short_time(speed.step_seconds)}, "
        f"{speed.operations / 1e12:.2g} trillion operations a second"
    )
    if speed.varying_seconds:
        found += f"; varied there before, in {short_time(speed.varying_seconds)}"
    return Diagnosis(
        level="ok", subject="step", found=found if speed.is_whole else f"{found} (measured on a smaller patch)"
    )


def _batches(speed: Speed) -> Diagnosis:
    made = f"{counted(speed.workers, 'worker makes', 'workers make')} such a batch in {short_time(speed.batch_seconds)}"
    if speed.batch_seconds <= speed.device_seconds:
        return Diagnosis(level="ok", subject="batches", found=f"{made}, so the network need not wait")
    waiting = 1 - speed.device_seconds / speed.batch_seconds
    return Diagnosis(
        level="warning",
        subject="batches",
        found=f"{made}: the network will wait {100 * waiting:.0f} % of the time",
        remedy="ask for more cores, or choose a trainer that varies images less (TrainerNoAugmentation)",
    )


def _training(speed: Speed) -> Diagnosis:
    from autoseg.training import Trainer
    from autoseg.training.parts import VALIDATION_SHARE
    from autoseg.training.time_needed import Length, within_a_day

    length = Length(
        epochs=Trainer.epochs,
        done=0,
        training=Trainer.iterations_per_epoch,
        validation=Trainer.iterations_per_epoch // VALIDATION_SHARE,
        device=speed.device,
    )
    epoch = max(speed.device_seconds, speed.batch_seconds) * length.batches_worth
    found = (
        f"an epoch of {counted(length.training, 'batch', 'batches')} takes about {rough_time(epoch)}, "
        f"the usual {length.epochs} take {rough_time(epoch * length.epochs)}"
    )
    if epoch * length.epochs <= DAY:
        return Diagnosis(level="ok", subject="training", found=found)
    gpu = "" if speed.device == "cuda" else "train on a GPU, or shorter: "
    return Diagnosis(level="warning", subject="training", found=found, remedy=f"{gpu}{within_a_day(length, epoch)}")
