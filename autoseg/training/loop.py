"""One loop over all batches, that can stop after any of them and go on as if it had not; it knows no folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from autoseg.training.ending import Spent
from autoseg.training.fold.history import EpochRecord, MeasuredEpoch, means, next_record
from autoseg.training.parts import Parts
from autoseg.training.sampling.batches import AnyBatch, BatchKey
from autoseg.training.sampling.foreground import training_share
from autoseg.training.sampling.samples import TRAINING
from autoseg.training.schedule import Moment
from autoseg.training.state import FiniteLosses, TrainingState, set_learning_rate, set_momentum, step_seed
from autoseg.words import counted

Step: TypeAlias = Callable[[TrainingState, AnyBatch, nn.Module], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One batch that was learned from, or looked at.

    Attributes:
        loss: Still on the device.
        ends_epoch: Whether it was the last one of its epoch.
    """

    key: BatchKey
    loss: Tensor
    ends_epoch: bool


class Loop:
    """Takes batch after batch to the step that it is for.

    Args:
        training_step, validation_step: Called with the state, a batch, and the loss of all resolutions.
    """

    def __init__(self, parts: Parts, *, training_step: Step, validation_step: Step, loss: nn.Module, seed: int) -> None:
        self._parts = parts
        self._training_step, self._validation_step = training_step, validation_step
        self._loss = loss
        self._seed = seed
        self._finite = FiniteLosses(parts.device)

    @property
    def batches_per_epoch(self) -> int:
        """Those of the training, then those of the validation."""
        return self._parts.iterations_per_epoch + self._parts.validation_batches

    def over(self, batches: Iterable[AnyBatch], state: TrainingState) -> Iterator[Done]:
        """Do what each batch is for; the state counts them, `finish_epoch` goes on to the next epoch.

        Raises:
            NotFiniteError: Naming the batch whose loss was not finite.
        """
        for batch in batches:
            if batch.key.stream == TRAINING and self._is_left_out(state):
                state.skip_to_validation(self._parts.iterations_per_epoch)
                continue
            torch.manual_seed(step_seed(self._seed, *batch.key))
            if batch.key.stream == TRAINING:
                self._set_pace(state)
            step = self._training_step if batch.key.stream == TRAINING else self._validation_step
            loss = step(state, batch, self._loss)
            self._finite.add(batch, loss)
            state.iteration += 1
            yield Done(key=batch.key, loss=loss, ends_epoch=state.iteration == self.batches_per_epoch)

    def _is_left_out(self, state: TrainingState) -> bool:
        """Whether what is left of an epoch's training batches is; not its first one, or the epoch would have no loss."""
        return bool(state.skipped or (state.iteration and self._parts.bounds.reason(self._spent(state))))

    def require_finite(self) -> None:
        """Look at the losses that nobody has looked at yet.

        Raises:
            NotFiniteError: Naming the batch of the first one that is not.
        """
        self._finite.require()

    def finish_epoch(self, state: TrainingState, waited: float) -> EpochRecord:
        """What the epoch brought; the state is at the beginning of the next one.

        Args:
            waited: Share of the time in which no batch was there.
        """
        learned = max(1, self._parts.iterations_per_epoch - state.skipped)
        by_recall = self._parts.recipe.foreground_by_recall
        measured = MeasuredEpoch(
            learning_rate=float(state.optimizer.param_groups[0]["lr"]),
            loss=state.sums.loss.item() / learned,
            validation_loss=state.sums.validation_loss.item() / self._parts.validation_batches,
            dice_per_class=tuple(state.sums.dice_per_class()),
            seconds=state.elapsed,
            waited=waited,
            overlap_per_class=means(state.sums.overlap.tolist(), learned),
            validation_overlap_per_class=means(state.sums.validation_overlap.tolist(), self._parts.validation_batches),
            foreground=training_share(self._parts, state.epoch, state.records) if by_recall else None,
            recall=state.sums.recall() if by_recall else None,
        )
        record = next_record(state.records, measured)
        state.records.append(record)
        state.begin_epoch()
        return record

    def why_over(self, state: TrainingState) -> str:
        """Why no other epoch follows, in words; empty where one does."""
        if state.epoch >= self._parts.epochs:
            return f"{counted(state.epoch, 'epoch is', 'epochs are')} done"
        return self._parts.verdict(state.records).reason or self._parts.bounds.reason(self._spent(state))

    def _spent(self, state: TrainingState) -> Spent:
        length = self._parts.iterations_per_epoch
        return Spent(
            epochs=state.epoch + state.iteration / self.batches_per_epoch,
            iterations=state.epoch * length + min(state.iteration, length) - state.skipped,
            seconds=state.all_seconds,
        )

    def _set_pace(self, state: TrainingState) -> None:
        """The learning rate of the batch; in a training of some hours also the momentum that its length asks for."""
        rate, parts = self._rate(state), self._parts
        if parts.bounds.seconds is not None:
            pace = parts.pace_of(self._moment(state).epochs * parts.iterations_per_epoch)
            rate *= pace.learning_rate / parts.pace.learning_rate
            set_momentum(state.optimizer, pace.momentum)
        set_learning_rate(state.optimizer, rate)

    def _rate(self, state: TrainingState) -> float:
        return self._parts.rate_at(self._moment(state)) * self._parts.verdict(state.records).rate * state.caution

    def _moment(self, state: TrainingState) -> Moment:
        """In a training of some hours the epoch counts with its fraction, as it may have only one."""
        spent, bounds = self._spent(state), self._parts.bounds
        epochs = bounds.foreseen_epochs(spent)
        if bounds.seconds is not None:
            return Moment(epoch=min(spent.epochs, epochs), epochs=epochs, records=state.records)
        share = min(1.0, state.iteration / self._parts.iterations_per_epoch)
        return Moment(epoch=state.epoch, epochs=epochs, share=share, records=state.records)
