"""The batches of a training that are still to come, and what watches how they come."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator

from autoseg.machine.resources import available_cores
from autoseg.training.parts import Parts
from autoseg.training.previous_stage import Gathered
from autoseg.training.sampling.batches import (
    AnyBatch,
    Batch,
    Batches,
    BatchKey,
    Stream,
    choose_supply,
    iterate,
    remaining_keys,
)
from autoseg.training.sampling.foreground import planned_share, share_of, within_an_epoch
from autoseg.training.sampling.regions import PatchRule
from autoseg.training.sampling.samples import TRAINING, VALIDATION
from autoseg.training.sampling.slices import choice_of
from autoseg.training.sampling.turns import Asked, BatchesInTurn
from autoseg.training.sampling.waiting import Waiting, stopwatch_for
from autoseg.training.state import TrainingState
from autoseg.words import counted

log = logging.getLogger(__name__)


def open_batches(
    parts: Parts, seed: int, state: TrainingState, previous: Gathered
) -> tuple[Generator[AnyBatch, None, None], Waiting]:
    """Those after the state's; closing the generator ends the workers.

    Args:
        previous: What the stage before a cascade predicted, on the cascade's grid.
    """
    others = [one for one in parts.together if one is not parts]
    tasks = (_described(parts, seed, previous), *(_described(one, seed, one.data.previous_stage) for one in others))
    batches = BatchesInTurn(tasks=tasks, turns=parts.turns)
    keys = remaining_keys(
        epochs=parts.epochs,
        training=parts.iterations_per_epoch,
        validation=parts.validation_batches,
        epoch=state.epoch,
        iteration=state.iteration,
    )
    stored_channels = len(parts.plans.channels) + (parts.target.maps if parts.plan.previous else 0)
    supply = choose_supply(parts.settings.workers, parts.device, batches.bytes_of_one(stored_channels))
    if parts.recipe.foreground_by_recall:
        supply = within_an_epoch(supply, parts.iterations_per_epoch + parts.validation_batches)
    log.info(
        "%s, %s, %s, up to %d ahead%s",
        *(
            parts.device,
            parts.precision.name,
            counted(supply.workers, "worker prepares batches", "workers prepare batches"),
            supply.ahead,
            ", and the device varies them" if parts.varies_on_device else "",
        ),
    )
    waiting = Waiting(
        stopwatch_for(parts.device),
        workers=supply.workers,
        cores=available_cores(),
        only_read=parts.varies_on_device,
    )
    asked = (Asked(key, share_of(parts, key, state.records)) for key in _without_skipped(keys, state))
    return iterate(batches, asked, supply, pin_memory=parts.device.type == "cuda"), waiting


def validation_batch(parts: Parts, seed: int, previous: Gathered) -> Batch | None:
    """The same validation batch of a training at any time; None where it cannot be made, which the training then says."""
    made = _described(parts, seed, previous).make(BatchKey(VALIDATION, 0, 0))
    return made if isinstance(made, Batch) else None


def regions_of(parts: Parts) -> PatchRule:
    """How a training's patches are drawn from its cases."""
    return _described(parts, 0, Gathered()).regions


def _without_skipped(keys: Iterator[BatchKey], state: TrainingState) -> Iterator[BatchKey]:
    """Once the training ends within an epoch, only that epoch's validation is still to come."""
    for key in keys:
        if state.skipped and key.epoch > state.epoch:
            return
        if not (state.skipped and key.stream == TRAINING):
            yield key


def _described(parts: Parts, seed: int, previous: Gathered) -> Batches:
    training = Stream(
        cases=parts.split.training,
        augmentation=parts.training_augmentation(),
        on_device=parts.varies_on_device,
        weights=parts.case_weights,
    )
    validation = Stream(cases=parts.split.validation, augmentation=parts.build_validation_augmentation())
    return Batches(
        store=parts.cases,
        streams=(training, validation),
        patch_size=parts.plan.sampling.patch_size,
        views=parts.plan.sampling.views,
        batch_size=parts.batch_size,
        strides=parts.plan.topology.strides,
        foreground_fraction=planned_share(parts),
        seed=seed,
        previous=previous.maps,
        target=parts.target,
        slices=choice_of(parts.recipe.slices),
    )
