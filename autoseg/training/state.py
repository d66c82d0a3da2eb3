"""Everything that changes while a training runs, to and from a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from autoseg.errors import StorageError, TrainingError
from autoseg.files.storage import decode, encode, with_absent
from autoseg.networks.activations import Activation
from autoseg.training.fold.history import ABSENT_BEFORE, EpochRecord, mean_recall, pseudo_dice
from autoseg.training.sampling.batches import AnyBatch, BatchKey
from autoseg.training.sampling.samples import TRAINING


@dataclass(slots=True, kw_only=True)
class EpochSums:
    """What an epoch has added up so far; tensors stay on the device, so that nothing waits for them.

    Attributes:
        loss, validation_loss: Sums over batches, scalars.
        counts: `(3, scored outputs)`: voxels truly positive, falsely positive and falsely negative.
        overlap, validation_overlap: `(scored outputs,)`, sums over batches of what the loss says of each output; NaN where
            it looks at none.
    """

    loss: Tensor
    validation_loss: Tensor
    counts: Tensor
    overlap: Tensor
    validation_overlap: Tensor

    @classmethod
    def empty(cls, scored: int, device: torch.device) -> EpochSums:
        """Nothing seen yet."""
        return cls(
            loss=torch.zeros((), device=device),
            validation_loss=torch.zeros((), device=device),
            counts=torch.zeros((3, scored), dtype=torch.int64, device=device),
            overlap=torch.zeros(scored, device=device),
            validation_overlap=torch.zeros(scored, device=device),
        )

    def dice_per_class(self) -> list[float | None]:
        """Pseudo-Dice of each scored output."""
        return [pseudo_dice(*column) for column in self.counts.T.tolist()]

    def recall(self) -> float | None:
        """Mean over the scored outputs that are there."""
        return mean_recall(self.counts.T.tolist())


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """A training at one moment, between two batches.

    Attributes:
        epoch: The one under way, from 0.
        iteration: Batches of this epoch done, training and validation together.
        seconds: Spent on this epoch in earlier runs.
        clock: When this run began with the epoch.
        caution: What every learning rate is multiplied by; below 1 once a loss was not finite.
        average: Of the network's weights over the steps, a network of its own; None where none is wanted.
        skipped: Training batches of this epoch that are left out, as the training ends.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sums: EpochSums
    epoch: int = 0
    iteration: int = 0
    records: list[EpochRecord] = field(default_factory=list)
    seconds: float = 0.0
    clock: float = field(default_factory=time.monotonic)
    caution: float = 1.0
    skipped: int = 0
    average: AveragedModel | None = None

    @property
    def elapsed(self) -> float:
        """Seconds spent on this epoch."""
        return self.seconds + time.monotonic() - self.clock

    @property
    def judged(self) -> nn.Module:
        """The network that validates, and whose weights are kept."""
        return self.network if self.average is None else self.average.module

    @property
    def all_seconds(self) -> float:
        """Seconds spent on all epochs."""
        return sum(record.seconds for record in self.records) + self.elapsed

    def skip_to_validation(self, iterations_per_epoch: int) -> None:
        """Leave out what is left of the epoch's training batches."""
        self.skipped += max(0, iterations_per_epoch - self.iteration)
        self.iteration = max(self.iteration, iterations_per_epoch)

    def begin_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1
        self.iteration = self.skipped = 0
        self.seconds, self.clock = 0.0, time.monotonic()
        self.sums = EpochSums.empty(self.sums.counts.shape[1], self.sums.counts.device)

    def to_checkpoint(self) -> dict[str, Any]:
        """As tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "sums": {name: getattr(self.sums, name) for name in EpochSums.__slots__},
            "epoch": self.epoch,
            "iteration": self.iteration,
            "records": encode(self.records),
            "seconds": self.elapsed,
            "caution": self.caution,
            "skipped": self.skipped,
            "average": None if self.average is None else self.average.state_dict(),
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Continue from a checkpoint.

        Raises:
            TrainingError: It is of another network or optimiser.
        """
        try:
            self.network.load_state_dict(content["network"])
            if self.average is not None:
                self.average.load_state_dict(content["average"])
            load_gathered(self.optimizer, content["optimizer"])
            if content["scaler"] and self.scaler.is_enabled():  # only fp16 has a scale to go on with
                self.scaler.load_state_dict(content["scaler"])
            records = [with_absent(record, ABSENT_BEFORE) for record in content["records"]]
            self.records = list(decode(tuple[EpochRecord, ...], records, "records"))
            for name in EpochSums.__slots__:  # an older autoseg did not write all of them
                getattr(self.sums, name).copy_(torch.as_tensor(content["sums"].get(name, torch.nan)))
            self.epoch, self.iteration = (decode(int, content[name], name) for name in ("epoch", "iteration"))
            self.seconds, self.clock = content["seconds"], time.monotonic()
            self.caution = content["caution"]
            self.skipped = content.get("skipped", 0)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, StorageError) as error:
            raise TrainingError(
                f"the checkpoint is of another network or optimiser than this trainer's, or damaged: {error}; "
                "start anew with `overwrite=True`"
            ) from error


class NotFiniteError(TrainingError):
    """The loss of a batch, or its gradient, is not finite; the message names the batch and its cases."""


class FiniteLosses:
    """Notices a loss that is not finite; on a GPU it looks only now and then, because looking waits for the GPU."""

    LOOK_EVERY = 25

    def __init__(self, device: torch.device) -> None:
        self.look_every = 1 if device.type == "cpu" else self.LOOK_EVERY
        self.seen: list[tuple[BatchKey, tuple[str, ...], Tensor]] = []

    def add(self, batch: AnyBatch, loss: Tensor) -> None:
        """Remember a batch's loss."""
        self.seen.append((batch.key, batch.cases, loss))
        if len(self.seen) >= self.look_every:
            self.require()

    def require(self) -> None:
        """Look at all losses since the last look.

        Raises:
            NotFiniteError: Naming the first such batch and its cases.
        """
        if not self.seen:
            return
        seen, self.seen = self.seen, []
        finite = torch.stack([loss for *_, loss in seen]).isfinite().tolist()
        for (key, cases, _), good in zip(seen, finite, strict=True):
            if not good:
                stream = "batch" if key.stream == TRAINING else "validation batch"
                raise NotFiniteError(
                    f"epoch {key.epoch + 1}, {stream} {key.number + 1}: the loss or its gradient is not finite; "
                    f"cases of the batch: {', '.join(sorted(set(cases)))}"
                )


def step_seed(seed: int, *place: int) -> int:
    """Seed of torch's own generator for one step, so that a network with dropout can be resumed and repeated too."""
    return int(np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0] >> 1)


def count_voxels(activation: Activation, logits: Tensor, target: Tensor) -> Tensor:
    """`(3, scored outputs)`: voxels truly positive, falsely positive and falsely negative.

    Args:
        logits: `(B, C, *patch)`.
        target: `(B, *patch)`.
    """
    columns = [
        torch.stack([(found & there).sum(), (found & ~there).sum(), (~found & there).sum()])
        for found, there in activation.found_and_there(logits, target)
    ]
    return torch.stack(columns, dim=1)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """For all parameters alike."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def set_momentum(optimizer: torch.optim.Optimizer, momentum: float) -> None:
    """For all parameters alike, where there is any."""
    for group in optimizer.param_groups:
        if group.get("momentum"):
            group["momentum"] = momentum


def start_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter a momentum of 0, from which a first step goes on as from none.

    Where the very first fp16 step overflows, fused SGD skips the step but keeps the momentum that it made room for, and
    what lay in that memory moves the weights from then on (torch 2.13, `_fused_sgd`; LibreYOLO PR 771). Nor does it take some
    parameters with a momentum and some without, as of several tasks those have whose first batch is still to come.
    """
    for group in optimizer.param_groups:
        if group.get("momentum"):
            for parameter in group["params"]:
                gathered = optimizer.state[parameter]
                if gathered.get("momentum_buffer") is None:
                    gathered["momentum_buffer"] = torch.zeros_like(parameter)


def load_gathered(optimizer: torch.optim.Optimizer, content: Mapping[str, Any]) -> None:
    """Take over what an optimiser had gathered; the momentum stays as built, which fits the length of the training now."""
    built = [group.get("momentum") for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(content))
    for group, momentum in zip(optimizer.param_groups, built, strict=True):
        if momentum is not None:
            group["momentum"] = momentum
