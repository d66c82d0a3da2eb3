"""What is done to whole training batches, on the device: samples mixed, and borders of labels made soft.

Each step takes and returns what the network sees `(B, C, *patch)` and the shares of each output `(B, outputs, *patch)`, 0 to 1
and negative where nobody knows. What it draws follows from its generator, which follows from seed, epoch and batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from autoseg.arrays import Float32Array, Mask
from autoseg.catalogue import Catalogue, Part, Settings
from autoseg.dataset.coding import IGNORED
from autoseg.errors import TrainingError
from autoseg.networks.activations import Activation

LARGEST_SIGMA = 20.0
"""Voxels; a label that is spread further is nowhere any more."""

LARGEST_FACTOR = 10.0
"""Of the root of an object's size; with it, rings reach ten times as far as the side of a square of that size."""

REACH = 3
"""Of a Gaussian, in its sigmas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a network learns from at once.

    Attributes:
        data: `(B, C, *patch)`.
        shares: `(B, outputs, *patch)`, negative where nobody knows.
        drawn: `(B, outputs)`, which outputs were drawn in each case at all; None where all were.
    """

    data: Tensor
    shares: Tensor
    drawn: Tensor | None = None


BatchStep: TypeAlias = Callable[[Learned, np.random.Generator], Learned]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixup(Settings):
    """Each sample is mixed with another one of the batch, and so are their labels.

    Only samples in which the same outputs were drawn are mixed; where either is unknown, so is their mixture.

    Attributes:
        alpha: Of the beta distribution of the larger share, 0.5 to 1: a small number mixes little, 1 evenly.

    Source: Zhang et al. 2018, "mixup" (arXiv 1710.09412); the larger share as in ivadomed.
    """

    alpha: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 100:
            raise TrainingError(f"alpha: above 0 and below 100, found {self.alpha}")

    def build(self) -> BatchStep:
        """The step."""
        return self._mixed

    def _mixed(self, batch: Learned, random: np.random.Generator) -> Learned:
        share = random.beta(self.alpha, self.alpha)
        share = max(share, 1 - share)
        others = torch.as_tensor(random.permutation(len(batch.data)), device=batch.data.device)
        alike = torch.ones(len(others), dtype=torch.bool, device=others.device)
        if batch.drawn is not None:
            alike = (batch.drawn == batch.drawn[others]).all(dim=1)
        weights = torch.where(alike, share, 1.0).reshape(-1, *[1] * (batch.data.ndim - 1)).to(batch.data.dtype)
        mixed = weights * batch.shares + (1 - weights) * batch.shares[others]
        known = (batch.shares >= 0) & ((batch.shares[others] >= 0) | (weights == 1))
        return replace(
            batch,
            data=weights * batch.data + (1 - weights) * batch.data[others],
            shares=mixed.where(known, float(IGNORED)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlurredLabels(Settings):
    """Labels are blurred, so that what is learned falls off at their borders; what nobody knows takes no part.

    Attributes:
        sigma: Of the Gaussian, in voxels.

    Source: Gros et al. 2021, "SoftSeg" (arXiv 2011.09041), for learning from soft borders.
    """

    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma <= LARGEST_SIGMA:
            raise TrainingError(f"sigma: above 0 and at most {LARGEST_SIGMA:g} voxels, found {self.sigma}")

    def build(self) -> BatchStep:
        """The step."""
        return self._blurred

    def _blurred(self, batch: Learned, random: np.random.Generator) -> Learned:  # noqa: ARG002
        known = batch.shares >= 0
        sums = blurred(batch.shares.where(known, 0.0), self.sigma)
        shares = sums / blurred(known.to(sums.dtype), self.sigma).clamp(min=torch.finfo(sums.dtype).eps)
        return replace(batch, shares=shares.clamp(0, 1).where(known, float(IGNORED)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DilatedLabels(Settings):
    """Around each object of a label, rings of falling shares: many around large objects.

    Attributes:
        factor: An object of so many voxels gets this times their square root rings, rounded; the k-th of n rings has the share
            1 - k / (n + 1).

    Source: ivadomed's dilation of the ground truth.
    """

    factor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.factor <= LARGEST_FACTOR:
            raise TrainingError(f"factor: above 0 and at most {LARGEST_FACTOR:g}, found {self.factor}")

    def build(self, activation: Activation) -> BatchStep:
        """The step."""
        return partial(self._dilated, activation)

    def _dilated(self, activation: Activation, batch: Learned, random: np.random.Generator) -> Learned:  # noqa: ARG002
        known = batch.shares >= 0
        scored = batch.shares[:, activation.scored]
        inside = (scored >= 0.5).cpu().numpy()
        rings = np.stack([np.stack([with_rings(output, self.factor) for output in sample]) for sample in inside])
        own, around = scored.clamp(min=0), torch.from_numpy(rings).to(scored)
        if scored.shape == batch.shares.shape:
            return replace(batch, shares=torch.maximum(own, around).where(known, float(IGNORED)))
        free = (1 - own.sum(dim=1, keepdim=True)).clamp(0, 1)
        beside = around.where(own <= 0, 0.0)
        beside = beside / beside.sum(dim=1, keepdim=True).clamp(min=1)
        labels = own + free * beside
        shares = torch.cat([(1 - labels.sum(dim=1, keepdim=True)).clamp(0, 1), labels], dim=1)
        return replace(batch, shares=shares.where(known, float(IGNORED)))


def blurred(maps: Tensor, sigma: float) -> Tensor:
    """Maps `(B, C, *space)` blurred along each axis of space; beyond the border lies the same as at it."""
    reach = max(1, int(REACH * sigma + 0.5))
    places = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    weights = weights / weights.sum()
    for axis in range(2, maps.ndim):
        lines = maps.movedim(axis, -1)
        padded = F.pad(lines.reshape(-1, 1, lines.shape[-1]), (reach, reach), mode="replicate")
        maps = F.conv1d(padded, weights[None, None]).reshape(lines.shape).movedim(-1, axis)
    return maps


def with_rings(inside: Mask, factor: float) -> Float32Array:
    """1 inside of objects, which touch by faces, and around each its rings; see `dilated_labels`."""
    shares: Float32Array = inside.astype(np.float32)
    objects, number = ndimage.label(inside)
    for label, box in enumerate(ndimage.find_objects(objects, max_label=number), start=1):
        size = int((objects[box] == label).sum())
        rings = round(factor * size**0.5)
        if rings:
            around = tuple(slice(max(0, side.start - rings), side.stop + rings) for side in box)
            distance = ndimage.distance_transform_cdt(objects[around] != label, metric="taxicab")
            own = np.clip(1 - distance / (rings + 1), 0, 1).astype(np.float32)
            shares[around] = np.maximum(shares[around], own)
    return shares


BATCH_STEPS = Catalogue(
    kind="batch step",
    entries={"mixup": Mixup, "blurred_labels": BlurredLabels, "dilated_labels": DilatedLabels},
    given=("activation",),
)


def build_batch_steps(parts: Sequence[Part], activation: Activation) -> tuple[BatchStep, ...]:
    """The steps that a recipe names."""
    return tuple(BATCH_STEPS.build(part, activation=activation) for part in parts)


def as_shares(activation: Activation, labels: Tensor, outputs: int) -> Tensor:
    """Labels as losses take them, a map `(B, *patch)` or shares, as the shares `(B, outputs, *patch)` of each output."""
    if labels.is_floating_point():
        return labels
    zeros = torch.zeros((len(labels), outputs, *labels.shape[1:]), device=labels.device)
    return activation.encode(labels.clamp(min=0), zeros).where((labels != IGNORED)[:, None], float(IGNORED))
