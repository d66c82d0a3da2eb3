"""A training tried without any data: on made-up cases, how long a step takes, and how long the batches for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

import autoseg
from autoseg.dataset.facts import NOTHING
from autoseg.dataset.folds import Split
from autoseg.dataset.target import Exclusive
from autoseg.files.layout import (
    DEFAULT_PLANS,
    FULL,
    SLICES,
)
from autoseg.geometry import Geometry, Shape
from autoseg.networks import build_network
from autoseg.plans import (
    FORMAT,
    ConfigurationPlan,
    Grid,
    IntensityRule,
    NetworkPlan,
    Plans,
    Sampling,
)
from autoseg.preprocessing.label_arrays import sample_foreground
from autoseg.preprocessing.prepare import CaseProperties, PreparedCase
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.compilation import compile_where_it_pays, is_compiled
from autoseg.training.fold.data import FoldData
from autoseg.training.fold_run import own_random_numbers
from autoseg.training.sampling.batches import Batch, BatchKey, DrawnBatch, targets_of_levels
from autoseg.training.sampling.samples import TRAINING
from autoseg.training.sampling.source import open_batches
from autoseg.training.settings import TrainingSettings
from autoseg.training.start import start_state
from autoseg.training.trainer import Trainer

AnyTrainer = TypeVar("AnyTrainer", bound=Trainer)

CUBES = Geometry(spacing=(1.0, 1.0, 1.0))
TARGET = Exclusive(names=("background", "shell", "core"))
SEED = 0
VALIDATION_CASES = 2

SIDE, BATCH, LEVELS, FEATURES, MOST_FEATURES = 128, 2, 6, 32, 320
"""What is planned for large cases with voxels of equal sides, and a GPU of 8 GB."""

WARM_UP = {"cpu": 1, "cuda": 10}
"""Steps before the clock starts: a GPU tries its kernels in the first, a CPU only asks for memory."""

VARIED = 3
"""Times that a device varies a batch for its time to be told."""

SECONDS_UNASKED = 0.5
"""Steps of so much time follow each other without a look at the loss, as in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStep:
    """What a training step took.

    Attributes:
        seconds: Of a batch, data sent to the device included.
        operations: Floating point operations a second: a multiplication and an addition are two.
        is_compiled: Whether torch compiled the network.
    """

    seconds: float
    operations: float
    is_compiled: bool


def trial_plan(
    patch_size: Shape = (SIDE,) * 3,
    *,
    batch_size: int = BATCH,
    levels: int = LEVELS,
    features: int = FEATURES,
    max_features: int = MOST_FEATURES,
    **changes: Any,
) -> ConfigurationPlan:
    """A plan whose levels halve all axes; by default that of large cases.

    Args:
        changes: Other fields of the plan.
    """
    dimensions = len(patch_size)
    name = FULL if dimensions == len("zyx") else SLICES
    plan = ConfigurationPlan(
        name=name,
        grid=Grid(spacing=(1.0, 1.0, 1.0), median_shape=(patch_size[0], patch_size[-2], patch_size[-1])),
        sampling=Sampling(patch_size=patch_size),
        network=NetworkPlan(
            name="unet",
            settings={
                "strides": ((1,) * dimensions, *((2,) * dimensions,) * (levels - 1)),
                "kernels": ((3,) * dimensions,) * levels,
                "features": features,
                "max_features": max_features,
                "convs_per_stage": 2,
            },
        ),
        intensities=(IntensityRule(name="nonCT"),),
        batch_size=batch_size,
        batch_dice=False,
        previous=None,
        prepared_as=name,
        cost=0,
    )
    return replace(plan, **changes)


def trial_plans(plan: ConfigurationPlan, *, channels: int = 1, labels: Sequence[str] = TARGET.outputs) -> Plans:
    """The plans of a task with this one configuration."""
    return Plans(
        format=FORMAT,
        version=autoseg.__version__,
        identifier=DEFAULT_PLANS,
        planner="Planner3D",
        dataset="Task900_Trial",
        channels=tuple(f"channel {number}" for number in range(channels)),
        labels=tuple(labels),
        transpose_forward=(0, 1, 2),
        transpose_backward=(0, 1, 2),
        intensities=None,
        configurations={plan.name: replace(plan, intensities=(IntensityRule(name="nonCT"),) * channels)},
    )


def trial_case(identifier: str, shape: Shape, *, channels: int = 1, original: Shape | None = None) -> PreparedCase:
    """A bright ball with a brighter core in noise, the same for the same name.

    Args:
        original: Voxels of the image before it was resampled; without it the case's own.
    """
    generator = np.random.default_rng(list(identifier.encode()))
    grids = np.ogrid[tuple(slice(side) for side in shape)]
    squares = [(grid - side / 2 - generator.uniform(-1, 1)) ** 2 for grid, side in zip(grids, shape, strict=True)]
    distance, radius = np.sqrt(sum(squares)), min(shape) / 3
    segmentation = (distance < radius).astype(np.int16) + (distance < radius / 2)
    image = generator.standard_normal(shape, dtype=np.float32) * 0.15 + 1.5 * segmentation
    original = original or shape
    ratios = [before / after for before, after in zip(original, shape, strict=True)]
    return PreparedCase(
        data=np.stack([image.astype(np.float32)] * channels),
        segmentation=segmentation,
        foreground=sample_foreground(segmentation, TARGET.scored),
        properties=replace(
            untouched(identifier, original), prepared_spacing=(ratios[0], ratios[1], ratios[2]), prepared_shape=shape
        ),
    )


def untouched(identifier: str, shape: Shape, geometry: Geometry = CUBES) -> CaseProperties:
    """Of a case that preparing leaves as it is: neither cropped, nor turned, nor resampled.

    Args:
        shape: (z, y, x).
    """
    return CaseProperties(
        identifier=identifier,
        geometry=geometry,
        original_shape=shape,
        crop=tuple((0, side) for side in shape),
        transpose_forward=(0, 1, 2),
        cropped_shape=shape,
        spacing=geometry.spacing,
        prepared_spacing=geometry.spacing,
        prepared_shape=shape,
    )


def save_trial_cases(folder: Path, shape: Shape, *, channels: int = 1, number: int = 4) -> PreparedCases:
    """So many cases, prepared in a folder."""
    store = PreparedCases(folder)
    for identifier in (f"case_{index}" for index in range(number)):
        store.save(trial_case(identifier, shape, channels=channels), "made up")
    return store


def trial_trainer(
    kind: type[AnyTrainer],
    store: PreparedCases,
    plans: Plans,
    fold: Path,
    *,
    device: str | None = None,
    **settings: Any,
) -> AnyTrainer:
    """A trainer of these cases, the last ones for validation; nothing is trained yet.

    Args:
        settings: Of `TrainingSettings`.
    """
    cases = store.identifiers()
    data = FoldData(
        plans=plans,
        configuration=next(iter(plans.configurations)),
        cases=store,
        split=Split(training=cases[:-VALIDATION_CASES], validation=cases[-VALIDATION_CASES:]),
        output=fold,
        references=store.folder,
    )
    return kind(
        data,
        settings=TrainingSettings(**{"seed": SEED, **settings}),
        device=device,
    )


def time_step(trainer: Trainer, seconds: float) -> MeasuredStep:
    """Train on one batch of noise for about so long, at least one step, and say how long a step takes.

    Raises:
        TrainingError: The device's memory does not hold one sample.
    """
    step = step_on_noise(trainer)
    took = [_seconds_of(step, 1) for _ in range(WARM_UP.get(trainer.device.type, WARM_UP["cuda"]))]
    at_once = max(1, round(SECONDS_UNASKED / took[-1]))  # a GPU is handed some steps before it is waited for
    steps, spent = 0, 0.0
    while spent < seconds - took[-1]:
        spent += _seconds_of(step, at_once)
        steps += at_once
    taken = spent / steps if steps else took[-1]
    return MeasuredStep(
        seconds=taken,
        operations=step_operations(trainer.plan, len(trainer.plans.channels)) / taken,
        is_compiled=is_compiled(step.args[0].network),
    )


def step_on_noise(trainer: Trainer) -> partial[Tensor]:
    """One training step of a new network, on a batch that holds nothing, to be done as often as wished; returns its loss."""
    with own_random_numbers(trainer.device):
        state = start_state(trainer, SEED)
    loss_function = trainer.build_supervision().to(trainer.device)
    compile_where_it_pays(trainer, state, loss_function)
    return partial(trainer.training_step, state, _noise(trainer), loss_function)


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What making a training batch took.

    Attributes:
        seconds: Of the workers together.
        device_seconds: Of the device that trains, where it varies what they read; else 0.
    """

    seconds: float
    workers: int
    device_seconds: float


def time_batches(trainer: Trainer, seconds: float) -> Making:
    """Make training batches for so long, with nothing else to do."""
    with own_random_numbers(trainer.device):
        state = start_state(trainer, SEED)
        batches, waiting = open_batches(trainer, SEED, state, trainer.data.previous_stage)
    with closing(batches):
        for _ in range(max(1, waiting.workers)):  # workers start
            next(batches)
        made, begun = 0, time.perf_counter()
        while made == 0 or time.perf_counter() - begun < seconds:
            batch = next(batches)
            made += 1
        return Making(
            seconds=(time.perf_counter() - begun) / made,
            workers=waiting.workers,
            device_seconds=_varying(batch, trainer.device) if isinstance(batch, DrawnBatch) else 0.0,
        )


def _varying(batch: DrawnBatch, device: torch.device) -> float:
    """Seconds, once the device has met the operations."""
    took = [_seconds_of(lambda: batch.varied(device).data.sum(), 1) for _ in range(VARIED + 1)]
    return median(took[1:])


def step_operations(plan: ConfigurationPlan, channels: int, labels: int = len(TARGET.outputs)) -> int:
    """Floating point operations of a batch, forward and backward: a multiplication and an addition are two."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        outputs = build_network(plan, channels, labels)(
            torch.empty(plan.batch_size, channels, *plan.sampling.patch_size)
        )
        torch.stack([level.sum() for level in outputs]).sum().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def batch_bytes(plan: ConfigurationPlan, channels: int) -> int:
    """What the images of a batch take on disk."""
    return 4 * channels * plan.batch_size * math.prod(plan.sampling.patch_size)


def _noise(trainer: Trainer) -> Batch:
    """A batch without content, whose labels are drawn."""
    plan = trainer.plan
    generator = np.random.default_rng(SEED)
    shape = (trainer.batch_size, len(trainer.plans.channels), *plan.sampling.patch_size)
    labels = generator.integers(
        len(trainer.target.values), size=(trainer.batch_size, *plan.sampling.patch_size), dtype=np.int16
    )
    batch = Batch(
        key=BatchKey(TRAINING, 0, 0),
        cases=("noise",) * trainer.batch_size,
        facts=(NOTHING,) * trainer.batch_size,
        data=torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)),
        targets=tuple(
            torch.from_numpy(np.ascontiguousarray(level)) for level in targets_of_levels(labels, plan.topology.strides)
        ),
    )
    return batch.pin_memory() if trainer.device.type == "cuda" else batch


def _seconds_of(step: Callable[[], Tensor], steps: int) -> float:
    begun = time.perf_counter()
    for _ in range(steps):
        loss = step()
    loss.item()  # a device is only then done
    return time.perf_counter() - begun
