"""Losses of each voxel by itself, weighted by label: entropies and differences.

Logits `(B, C, *space)`, labels `(B, *space)`, or shares `(B, C, *space)`; all return a scalar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.errors import TrainingError
from autoseg.networks.activations import SOFTMAX, Scoring

LEAST_PROBABILITY = 1e-7
"""In the focal loss, and what it lacks to 1 at least (ivadomed)."""


class WeightedCrossEntropy(nn.Module):
    """Mean cross-entropy over all voxels, each weighted by its label.

    Args:
        weighting: `given`: by `output_weights`; `frequency`: by one over the label's share of the batch; `prediction`: by what
            the prediction leaves to the other labels, over what it gives to this one (`wce` of pytorch-3dunet).
        output_weights: Of each output, the background counted.

    Source: Ronneberger et al. 2015 (arXiv 1505.04597) for weights; Sudre et al. 2017 (arXiv 1707.03237) for `prediction`.
    """

    def __init__(
        self,
        *,
        weighting: Literal["given", "frequency", "prediction"] = "frequency",
        output_weights: tuple[float, ...] | None = None,
        activation: Scoring = SOFTMAX,
    ) -> None:
        super().__init__()
        if (weighting == "given") != (output_weights is not None):
            raise TrainingError(
                f"weighted_cross_entropy: output_weights go with weighting 'given', found {output_weights} and {weighting!r}"
            )
        self.activation = activation
        self.weighting = weighting
        self.output_weights = output_weights

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        truth = self.activation.encode(labels, torch.zeros_like(logits))
        weights = (by_output(self.weights(logits, truth), logits) * truth).sum(1)
        return (weights * self.activation.cross_entropies(logits, labels)).sum() / weights.sum().clamp(
            min=LEAST_PROBABILITY
        )

    @torch.no_grad()
    def weights(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Of each output, `(C,)`."""
        if self.output_weights is not None:
            return checked_weights(self.output_weights, logits)
        if self.weighting == "prediction":
            found = self.activation.probabilities(logits).transpose(0, 1).flatten(1)
            return (1 - found).sum(1) / found.sum(1)
        sizes = truth.transpose(0, 1).flatten(1).sum(1)
        return torch.where(sizes > 0, sizes.sum() / sizes.clamp(min=1), 0.0)


class BinaryCrossEntropy(nn.Module):
    """Mean cross-entropy of every output in every voxel, each against all others.

    Args:
        positive_weights: What counts of each output where it holds, against 1 where it does not; null counts both alike.

    Source: pytorch-3dunet.
    """

    is_mean_of_voxels: ClassVar = True

    def __init__(self, *, positive_weights: tuple[float, ...] | None = None, activation: Scoring = SOFTMAX) -> None:
        super().__init__()
        self.activation = activation
        self.positive_weights = positive_weights

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        sure, unsure = self.activation.log_probabilities(logits)
        truth = self.activation.encode(labels, torch.zeros_like(logits))
        held = truth * sure
        if self.positive_weights is not None:
            held = by_output(checked_weights(self.positive_weights, logits), logits) * held
        return -(held + (1 - truth) * unsure).mean()


class BinaryFocal(nn.Module):
    """Mean cross-entropy of every output in every voxel, what is nearly right weighing little.

    Args:
        gamma: What has probability p of being right weighs (1 - p) ** gamma.
        alpha: Weight where an output holds; where it does not, 1 - alpha.

    Source: Lin et al. 2017, "Focal loss for dense object detection" (arXiv 1708.02002).
    """

    is_mean_of_voxels: ClassVar = True

    def __init__(self, *, gamma: float = 2.0, alpha: float = 0.25, activation: Scoring = SOFTMAX) -> None:
        super().__init__()
        self.activation = activation
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.maps(logits, labels).mean()

    def maps(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of every output in every voxel, `(B, C, *space)`."""
        least, most = math.log(LEAST_PROBABILITY), math.log1p(-LEAST_PROBABILITY)
        sure, unsure = (found.clamp(least, most) for found in self.activation.log_probabilities(logits))
        truth = self.activation.encode(labels, torch.zeros_like(logits))
        entropies = -(truth * sure + (1 - truth) * unsure)
        weights = self.alpha * truth + (1 - self.alpha) * (1 - truth)
        return weights * (-torch.expm1(-entropies)) ** self.gamma * entropies


class AdaptiveWing(nn.Module):
    """Mean of a power of small differences of probabilities, and of large ones as they are.

    Args:
        theta: The difference from which on it grows evenly.
        alpha: The power is this minus what is right.
        omega: Height of the curve.
        epsilon: Width of its bend.
        weighted: Whether voxels in and beside an output count 1 + omega times.

    Source: Wang et al. 2019, "Adaptive wing loss for robust face alignment" (arXiv 1904.07399), as ivadomed has it.
    """

    is_mean_of_voxels: ClassVar = True

    BESIDE = 0.2
    """What an output, spread by a voxel, is at least where it weighs more."""

    def __init__(
        self,
        *,
        theta: float = 0.5,
        alpha: float = 2.1,
        omega: float = 14.0,
        epsilon: float = 1.0,
        weighted: bool = False,
        activation: Scoring = SOFTMAX,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.theta, self.alpha, self.omega, self.epsilon = theta, alpha, omega, epsilon
        self.weighted = weighted

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        found = self.activation.probabilities(logits)
        truth = self.activation.encode(labels, torch.zeros_like(found))
        power, apart = self.alpha - truth, (found - truth).abs()
        bend = (self.theta / self.epsilon) ** power
        slope = self.omega * power * bend / (self.theta / self.epsilon) / (self.epsilon * (1 + bend))
        offset = self.theta * slope - self.omega * torch.log1p(bend)
        near = self.omega * torch.log1p((apart.clamp(max=self.theta) / self.epsilon) ** power)
        losses = torch.where(apart < self.theta, near, slope * apart - offset)
        return (losses * self._weights(truth)).mean() if self.weighted else losses.mean()

    def _weights(self, truth: Tensor) -> Tensor:
        spread = F.max_pool2d if truth.ndim == 4 else F.max_pool3d
        beside = spread(truth, kernel_size=3, stride=1, padding=1) >= self.BESIDE
        return torch.where(beside, 1 + self.omega, 1.0)


class AbsoluteDifference(nn.Module):
    """Mean absolute difference of probabilities (L1).

    Args:
        output_weights: Of each output in the mean, the background counted; null weighs them alike.

    Source: pytorch-3dunet.
    """

    is_mean_of_voxels: ClassVar = True

    def __init__(self, *, output_weights: tuple[float, ...] | None = None, activation: Scoring = SOFTMAX) -> None:
        super().__init__()
        self.activation = activation
        self.output_weights = output_weights

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        found = self.activation.probabilities(logits)
        losses = self.of(found - self.activation.encode(labels, torch.zeros_like(found)))
        if self.output_weights is None:
            return losses.mean()
        weights = checked_weights(self.output_weights, logits)
        return (by_output(weights, logits) * losses).mean() / weights.mean()

    def of(self, difference: Tensor) -> Tensor:
        """What counts of each."""
        return difference.abs()


class SquaredDifference(AbsoluteDifference):
    """Mean squared difference of probabilities (L2).

    Args:
        output_weights: Of each output in the mean, the background counted; null weighs them alike.

    Source: ivadomed, which sums and halves.
    """

    is_mean_of_voxels: ClassVar = True

    def of(self, difference: Tensor) -> Tensor:
        """What counts of each."""
        return difference.square()


class SmoothDifference(AbsoluteDifference):
    """Mean of differences of probabilities, small ones squared (smooth L1, Huber).

    Args:
        border: Up to which a difference is squared, and halved and divided by it.
        output_weights: Of each output in the mean, the background counted; null weighs them alike.

    Source: Girshick 2015 (arXiv 1504.08083); pytorch-3dunet.
    """

    is_mean_of_voxels: ClassVar = True

    def __init__(
        self, *, border: float = 1.0, output_weights: tuple[float, ...] | None = None, activation: Scoring = SOFTMAX
    ) -> None:
        super().__init__(output_weights=output_weights, activation=activation)
        if not border > 0:
            raise TrainingError(f"border: above 0, found {border}")
        self.border = border

    def of(self, difference: Tensor) -> Tensor:
        """What counts of each."""
        return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=self.border)


def by_output(weights: Tensor, logits: Tensor) -> Tensor:
    """Weights `(C,)` beside logits `(B, C, *space)`."""
    return weights.reshape(-1, *[1] * (logits.ndim - 2))


def checked_weights(weights: Sequence[float], logits: Tensor) -> Tensor:
    """Weights of the outputs, `(C,)`.

    Raises:
        TrainingError: They are not one for each, or not numbers from 0 of which one is above it.
    """
    if len(weights) != logits.shape[1] or min(weights) < 0 or not sum(weights):
        raise TrainingError(
            f"weights of outputs: a number from 0 for each of the network's {logits.shape[1]} outputs, the background "
            f"counted, and not all 0; found {list(weights)}"
        )
    return logits.new_tensor(weights)
