"""What is done with one batch: learn from it, or look at it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.inference.cascade import expand_labels
from autoseg.networks.algorithms import trying_algorithms
from autoseg.networks.fitted import answers_of
from autoseg.training.batch_steps import Learned, as_shares
from autoseg.training.compilation import or_uncompiled
from autoseg.training.micro_batches import (
    Portions,
    add_gradients,
    outputs_in_parts,
    require_independent_samples,
    samples_at_once,
    samples_together,
)
from autoseg.training.overlap_losses import overlap_per_class
from autoseg.training.parts import Parts
from autoseg.training.sampling.batches import AnyBatch, DrawnBatch, targets_of_levels
from autoseg.training.state import TrainingState, count_voxels

Result = TypeVar("Result")


class Steps:
    """The two kinds of step, with the parts of a training."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.samples_at_once = samples_at_once(parts.batch_size)

    def train(self, state: TrainingState, batch: AnyBatch, loss_function: nn.Module) -> Tensor:
        """Learn from one batch; returns its loss, still on the device, NaN where a gradient spoilt the weights."""
        state.network.train()
        loss = self._computed(partial(self._find_gradients, state, batch, loss_function), state, loss_function)
        state.scaler.unscale_(state.optimizer)
        norm = nn.utils.clip_grad_norm_(state.network.parameters(), self._parts.gradient_clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        if state.average is not None:
            state.average.update_parameters(state.network)
        if not self._parts.precision.needs_scaler:  # which skips such steps by itself
            loss = loss.where(norm.isfinite(), torch.nan)
        state.sums.loss += loss
        self._add_overlap(state.sums.overlap, loss_function)
        return loss

    def _find_gradients(self, state: TrainingState, batch: AnyBatch, loss_function: nn.Module, at_once: int) -> Tensor:
        if at_once < len(batch.cases):
            require_independent_samples(state.network)
        state.optimizer.zero_grad(set_to_none=True)
        data, targets, drawn = self._after_steps(*self._on_device(batch))
        return add_gradients(
            lambda part: self._outputs(state.network, data[part]),
            lambda outputs: loss_function(outputs, targets, *drawn),
            Portions(samples=len(data), at_once=at_once, together=samples_together(state.network, data)),
            scale=state.scaler.scale,
            device=self._parts.device,
        )

    @torch.no_grad()
    def look(self, state: TrainingState, batch: AnyBatch, loss_function: nn.Module) -> Tensor:
        """Look at one validation batch; returns its loss, still on the device."""
        state.judged.eval()
        loss, counts = self._computed(partial(self._found, state, batch, loss_function), state, loss_function)
        state.sums.validation_loss += loss
        state.sums.counts += counts
        self._add_overlap(state.sums.validation_overlap, loss_function)
        return loss

    @torch.no_grad()
    def see(self, network: nn.Module, batch: AnyBatch) -> tuple[Tensor, Tensor, Tensor]:
        """What a network that judges sees of a batch, what it says of it, and what is there, all at the finest resolution."""
        network.eval()
        data, targets, _ = self._on_device(batch)
        together = samples_together(network, data)
        outputs = self.samples_at_once.run(
            lambda number: outputs_in_parts(
                lambda part: self._outputs(network, data[part]), len(data), min(number, together)
            )
        )
        return data, outputs[0], targets[0]

    def _found(
        self, state: TrainingState, batch: AnyBatch, loss_function: nn.Module, at_once: int
    ) -> tuple[Tensor, Tensor]:
        data, targets, drawn = self._on_device(batch)
        at_once = min(at_once, samples_together(state.judged, data))
        outputs = outputs_in_parts(lambda part: self._outputs(state.judged, data[part]), len(data), at_once)
        loss: Tensor = loss_function(outputs, targets, *drawn)
        return loss, self._counts(outputs[0], targets[0], *drawn)

    def _add_overlap(self, sums: Tensor, loss_function: nn.Module) -> None:
        scored = range(len(self._parts.target.outputs))[self._parts.output_activation.scored]
        found = overlap_per_class(loss_function, scored)
        sums += torch.nan if found is None else found

    def _counts(self, logits: Tensor, labels: Tensor, drawn: Tensor | None = None) -> Tensor:
        """Of what is known."""
        activation = self._parts.output_activation
        if drawn is not None or self._parts.has_unknown:
            logits, labels, _ = activation.left_out(logits, labels, drawn)
        return count_voxels(activation, logits, labels)

    def _computed(self, attempt: Callable[[int], Result], state: TrainingState, loss_function: nn.Module) -> Result:
        """Of as many samples at once as memory holds; not compiled any more where that fails."""
        with trying_algorithms(self._parts.device.type == "cuda"):  # batches have one size
            return or_uncompiled(partial(self.samples_at_once.run, attempt), state.network, loss_function)

    def _on_device(self, batch: AnyBatch) -> tuple[Tensor, list[Tensor], tuple[Tensor, ...]]:
        """What the network sees, labels at every resolution, finest first, and which outputs were drawn, where not all."""
        if isinstance(batch, DrawnBatch):
            batch = batch.varied(self._parts.device)
        data = sent_to(self._parts.device, batch.data)
        learned = partial(self._parts.output_activation.learned, dimensions=self._parts.plan.dimensions)
        targets = [learned(sent_to(self._parts.device, target)) for target in batch.targets]
        drawn = () if batch.drawn is None else (sent_to(self._parts.device, batch.drawn),)
        if self._parts.plan.previous:
            data = expand_labels(data, self._parts.target)
        return data, targets, drawn

    def _after_steps(
        self, data: Tensor, targets: list[Tensor], drawn: tuple[Tensor, ...]
    ) -> tuple[Tensor, list[Tensor], tuple[Tensor, ...]]:
        """What the recipe's steps make of a training batch; labels become shares where there are any."""
        if not self._parts.batch_steps:
            return data, targets, drawn
        shares = as_shares(self._parts.output_activation, targets[0], len(self._parts.target.outputs))
        learned = Learned(data=data, shares=shares, drawn=drawn[0] if drawn else None)
        random = np.random.default_rng(torch.initial_seed())  # the batch's, however often it is tried
        for step in self._parts.batch_steps:
            learned = step(learned, random)
        return learned.data, list(targets_of_levels(learned.shares, self._parts.plan.topology.strides)), drawn

    def _outputs(self, network: nn.Module, data: Tensor) -> list[Tensor]:
        """Logits in fp32 at every resolution, finest first."""
        with self._parts.precision.autocast():
            outputs = network(data)
        return [level.float() for level in answers_of(outputs, self._parts.plan.dimensions)]


def sent_to(device: torch.device, tensor: Tensor) -> Tensor:
    """A tensor on a device; only CUDA copies it beside other work.

    On Apple's GPU such a copy may still be read when the batch's memory is let go already (pytorch#189690).
    """
    return tensor.to(device, non_blocking=device.type == "cuda")
