"""From a recipe to what a run is made of: the state it goes on from, its batches, and the conditions it holds to."""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from secrets import randbits
from typing import Any

import torch
from torch import nn

from autoseg.errors import TrainingError
from autoseg.files.storage import content_hash
from autoseg.inference.model import input_channels, load_weights
from autoseg.machine import available_cores, keep_freed_memory
from autoseg.networks import place_network
from autoseg.networks.fitted import require_fitting
from autoseg.networks.pretrained import transfer_weights
from autoseg.plans import plan_signature
from autoseg.training.augmentation.default import Augmentation
from autoseg.training.determinism import DEFAULT_SEED
from autoseg.training.previous_stage import Gathered
from autoseg.training.recipes.record import RecipeRecord, record_recipe
from autoseg.training.sampling.batches import AnyBatch, Batches, Stream, choose_supply, iterate, remaining_keys
from autoseg.training.sampling.waiting import Waiting, stopwatch_for
from autoseg.training.state import EpochSums, TrainingState, start_momentum, step_seed
from autoseg.training.steps import Steps
from autoseg.words import counted

log = logging.getLogger(__name__)

SEED_BITS = 31

LEAST_VALUES_ON_DEVICE = 2**20
"""Voxels times channels of a patch. Some 200 operations are launched for a sample, 400 with four channels, which takes
one or two milliseconds of the training process; a dozen workers make one of this size in three (estimated from counts and
times of CPUs)."""


class Assembly(Steps):
    """A recipe's parts put together; see `Parts` for its arguments."""

    def _restored(self, seed: int, content: Mapping[str, Any] | None) -> TrainingState:
        """A checkpoint's state; without one that of a training that begins."""
        state = self._new_state(seed)
        if content is not None:
            state.restore(content)
        elif self.settings.pretrained_weights is not None:
            self._load_pretrained(state.network, self.settings.pretrained_weights)
        if self.precision.needs_scaler:
            start_momentum(state.optimizer)
        return state

    def _seed(self, content: Mapping[str, Any] | None) -> int:
        """The user's, else the checkpoint's, else a new one, or always the same one."""
        if self.settings.seed is not None:
            return self.settings.seed
        if content is not None:
            return int(content["seed"])
        return DEFAULT_SEED if self.settings.deterministic else randbits(SEED_BITS)

    def _new_state(self, seed: int) -> TrainingState:
        torch.manual_seed(step_seed(seed))
        if self.device.type == "cpu":
            keep_freed_memory()
        network = place_network(self._network(), self.device, self.precision)
        return TrainingState(
            network=network,
            optimizer=self.build_optimizer(network),
            scaler=torch.amp.GradScaler(self.device.type, enabled=self.precision.needs_scaler),
            sums=EpochSums.empty(len(self.target.scored), self.device),
        )

    def _network(self) -> nn.Module:
        network = self.network_builder(self.plan, self._in_channels, len(self.target.outputs))
        if not self.deep_supervision and hasattr(network, "deep_supervision"):
            network.deep_supervision = False  # type: ignore[assignment]  # a plain attribute
        return network

    def _require_fitting_network(self) -> None:
        """Before anything is written; one of the user's own code is left to itself, it need not run without real numbers."""
        part = self.recipe.network
        if not self.builds_own_network() and part.own_file is None:
            batch = (self.batch_size, self._in_channels, *self.plan.sampling.patch_size)
            require_fitting(self._network, part.name, batch, len(self.target.outputs))

    @property
    def _in_channels(self) -> int:
        return input_channels(self.plans, self.plan.name)

    @cached_property
    def _previous_stage(self) -> Gathered:
        return self._gather_previous(sorted({*self.split.training, *self.split.validation}))

    def _gather_previous(self, identifiers: Sequence[str]) -> Gathered:
        """For a cascade, bring what the previous stage predicted onto its grid."""
        if self.plan.previous is None:
            return Gathered()
        if self.previous is None:
            raise TrainingError(
                f"{self.plan.name}: learns from what {self.plan.previous} predicted; "
                "give the trainer those predictions (previous=)"
            )
        return self.previous.gather(identifiers, self.cases, target=self.target)

    def _training_augmentation(self) -> Augmentation:
        augmentation = self.build_augmentation()
        steps = self.build_previous_augmentation() if self.plan.previous else ()
        return replace(augmentation, transforms=(*augmentation.transforms, *steps))

    @cached_property
    def varies_on_device(self) -> bool:
        """Whether training patches are varied by the device that trains; else the workers do all of it.

        A cascade's are not: what the previous stage found is varied by its connected components.
        """
        values = len(self.plans.channels) * math.prod(self.plan.sampling.patch_size)
        is_worth_it = self.device.type == "cuda" and values >= LEAST_VALUES_ON_DEVICE
        return is_worth_it and self._training_augmentation().has_device_form

    def _batches(self, seed: int, state: TrainingState) -> tuple[Generator[AnyBatch, None, None], Waiting]:
        """Those still to come, and what watches how they come."""
        batches = Batches(
            store=self.cases,
            streams=(
                Stream(
                    cases=self.split.training,
                    augmentation=self._training_augmentation(),
                    on_device=self.varies_on_device,
                ),
                Stream(cases=self.split.validation, augmentation=self.build_validation_augmentation()),
            ),
            patch_size=self.plan.sampling.patch_size,
            batch_size=self.batch_size,
            strides=self.plan.topology.strides,
            foreground_fraction=self.foreground_fraction,
            seed=seed,
            previous=self._previous_stage.maps,
        )
        keys = remaining_keys(
            epochs=self.epochs,
            training=self.iterations_per_epoch,
            validation=self.validation_batches,
            epoch=state.epoch,
            iteration=state.iteration,
        )
        stored_channels = len(self.plans.channels) + bool(self.plan.previous)
        supply = choose_supply(self.settings.workers, self.device, batches.bytes_of_one(stored_channels))
        log.info(
            "%s, %s, %s, up to %d ahead%s",
            *(
                self.device,
                self.precision.name,
                counted(supply.workers, "worker prepares batches", "workers prepare batches"),
                supply.ahead,
                ", and the device varies them" if self.varies_on_device else "",
            ),
        )
        waiting = Waiting(stopwatch_for(self.device), workers=supply.workers, cores=available_cores())
        return iterate(batches, keys, supply, pin_memory=self.device.type == "cuda"), waiting

    def _conditions(self, seed: int) -> dict[str, Any]:
        """What must not change while a training goes on."""
        return {
            "trainer": self.name,
            "configuration": self.plan.name,
            "seed": seed,
            "batch_size": self.batch_size,
            "iterations_per_epoch": self.iterations_per_epoch,
            "plan": plan_signature(self.plans, self.plan.name),
            "data": self._data_signature,
            "split": content_hash(self.split),
            "previous": self._previous_stage.signature,
        }

    @cached_property
    def _recipe_record(self) -> RecipeRecord:
        return record_recipe(self)

    @cached_property
    def _data_signature(self) -> str:
        """Hash of all that the cases of the split were prepared from."""
        cases = sorted({*self.split.training, *self.split.validation})
        return content_hash({case: self.cases.signature(case) for case in cases})

    def _load_pretrained(self, network: nn.Module, path: Path) -> None:
        kept = transfer_weights(network, load_weights(path).weights, source=str(path))
        log.info("started from %s; these start anew: %s", path, ", ".join(kept))
