"""Losses of how far what is found and what is there overlap, output by output.

Logits `(B, C, *space)`, labels `(B, *space)`, or shares `(B, C, *space)`; all return a scalar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autoseg.catalogue import Settings
from autoseg.errors import TrainingError
from autoseg.networks.activations import SOFTMAX, Scoring
from autoseg.training.voxel_losses import BinaryFocal

LEAST = 1e-6
"""Of a denominator (pytorch-3dunet, MedicalZoo)."""

LEAST_LOGARITHM_OF = 1e-7
"""What a logarithm is taken of at least (ivadomed)."""


class ReportsOverlap(nn.Module):
    """A loss that says after each call how well every output was found.

    Attributes:
        overlap: Of each output that it looks at, `(outputs,)` or `(B, outputs)`, 1 where it is found exactly; None before
            the first call.
        outputs: Their numbers, from 0; None where they are the scored ones, perhaps behind the background.
    """

    overlap: Tensor | None = None
    outputs: Sequence[int] | None = None

    def noted(self, overlap: Tensor) -> Tensor:
        """The same, kept to be asked for."""
        self.overlap = overlap.detach()
        return overlap


def overlap_per_class(loss: nn.Module, numbers: Sequence[int]) -> Tensor | None:
    """What the first loss within a loss that looks at an overlap last said of the scored outputs.

    Args:
        numbers: Of the scored outputs among the network's, in order.

    Returns:
        `(scored outputs,)`, the mean over samples, NaN for an output that it does not look at; None where no loss looks.
    """
    for part in loss.modules():
        if isinstance(part, ReportsOverlap) and part.overlap is not None:
            found = part.overlap if part.overlap.ndim == 1 else part.overlap.mean(0)
            if part.outputs is None:
                return found[-len(numbers) :]
            places = {number: place for place, number in enumerate(part.outputs)}
            unknown = found.new_full((), torch.nan)
            return torch.stack([found[places[one]] if one in places else unknown for one in numbers])
    return None


class Overlap(NamedTuple):
    """Sums `(outputs,)` over batch and space, or `(B, outputs)` of each sample."""

    both: Tensor
    found: Tensor
    there: Tensor


class OverlapLoss(ReportsOverlap):
    """What losses of an overlap share.

    Args:
        per_batch: Sum over the whole batch before dividing, instead of for each sample.
        outputs: Which outputs count, by number from 0, the background being 0; None takes those that are scored.
    """

    def __init__(self, *, per_batch: bool, outputs: Sequence[int] | None, activation: Scoring) -> None:
        super().__init__()
        self.activation = activation
        self.per_batch = per_batch
        self.outputs = outputs

    def per_output(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of each output that counts, `(outputs,)` or `(B, outputs)`, 1 where it is found exactly."""
        raise NotImplementedError

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return -self.noted(self.per_output(logits, labels)).mean()

    def sums(self, logits: Tensor, labels: Tensor, *, squared: bool = False) -> Overlap:
        """Of the outputs that count."""
        return summed(*self.maps(logits, labels), per_batch=self.per_batch, squared=squared)

    def maps(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and what they should be, of the outputs that count."""
        found, there = probabilities_and_truth(self.activation, logits, labels)
        return self.chosen(found), self.chosen(there)

    def chosen(self, maps: Tensor) -> Tensor:
        """Of maps `(B, C, *space)` those of the outputs that count."""
        if self.outputs is None:
            return maps[:, self.activation.scored]
        if not self.outputs or not all(0 <= number < maps.shape[1] for number in self.outputs):
            raise TrainingError(
                f"outputs: numbers of the network's {maps.shape[1]} outputs, from 0, found {list(self.outputs)}"
            )
        return maps[:, list(self.outputs)]


class SquaredDice(OverlapLoss):
    """One minus the mean Dice of the outputs, with squares in the denominator.

    Args:
        outputs: Which outputs count, by number from 0, the background being 0; null takes those that are scored.
        output_weights: Of each of them in the mean; null weighs them alike.

    Source: Milletari et al. 2016, "V-Net" (arXiv 1606.04797).
    """

    def __init__(
        self,
        *,
        per_batch: bool,
        outputs: tuple[int, ...] | None = None,
        output_weights: tuple[float, ...] | None = None,
        activation: Scoring = SOFTMAX,
    ) -> None:
        super().__init__(per_batch=per_batch, outputs=outputs, activation=activation)
        self.output_weights = output_weights

    def per_output(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Dice of each."""
        both, found, there = self.sums(logits, labels, squared=True)
        return 2 * both / (found + there).clamp(min=LEAST)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        dice = self.noted(self.per_output(logits, labels))
        return 1 - (dice.mean() if self.output_weights is None else _weighted(dice, self.output_weights).mean())


class GeneralisedDice(OverlapLoss):
    """One minus a Dice of all outputs together, in which rare ones weigh as much as common ones.

    Each is weighted by one over the square of its size; one that is absent weighs as much as the rarest that is there.

    Args:
        background: Whether the background counts, too; for outputs that hold by themselves what none of them claims.

    Source: Sudre et al. 2017, "Generalised Dice overlap" (arXiv 1707.03237).
    """

    def __init__(self, *, per_batch: bool, background: bool = True, activation: Scoring = SOFTMAX) -> None:
        super().__init__(per_batch=per_batch, outputs=None, activation=activation)
        self.background = background

    def maps(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Of the outputs, and of the background where it counts."""
        found, there = probabilities_and_truth(self.activation, logits, labels)
        if not self.background:
            return self.chosen(found), self.chosen(there)
        if self.chosen(found).shape != found.shape:
            return found, there
        return tuple(torch.cat((1 - maps.sum(1, keepdim=True).clamp(0, 1), maps), dim=1) for maps in (found, there))  # type: ignore[return-value]

    def per_output(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Dice of each."""
        return self._dice(self.sums(logits, labels))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        both, found, there = sums = self.sums(logits, labels)
        self.noted(self._dice(sums))
        present = there > 0
        weights = torch.where(present, 1 / there.square().clamp(min=LEAST), 0.0)
        largest = weights.amax(-1, keepdim=True)
        weights = torch.where(present, weights, torch.where(largest > 0, largest, 1.0)).detach()
        return 1 - 2 * (weights * both).sum() / (weights * (found + there)).sum().clamp(min=LEAST)

    @staticmethod
    def _dice(sums: Overlap) -> Tensor:
        return 2 * sums.both / (sums.found + sums.there).clamp(min=LEAST)


class Tversky(OverlapLoss):
    """Minus the mean Tversky index of the outputs, in which what is missed and what is invented weigh differently.

    Args:
        alpha: Weight of what is found and not there.
        beta: Weight of what is there and not found.
        smooth: What is added above and below the fraction.
        outputs: Which outputs count, by number from 0, the background being 0; null takes those that are scored.

    Source: Salehi et al. 2017, "Tversky loss function" (arXiv 1706.05721); numbers of ivadomed.
    """

    def __init__(
        self,
        *,
        per_batch: bool,
        alpha: float = 0.7,
        beta: float = 0.3,
        smooth: float = 1.0,
        outputs: tuple[int, ...] | None = None,
        activation: Scoring = SOFTMAX,
    ) -> None:
        super().__init__(per_batch=per_batch, outputs=outputs, activation=activation)
        self.alpha, self.beta, self.smooth = alpha, beta, smooth

    def per_output(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Tversky index of each."""
        both, found, there = self.sums(logits, labels)
        wrong = self.alpha * (found - both) + self.beta * (there - both)
        return (both + self.smooth) / (both + wrong + self.smooth)


class FocalTversky(ReportsOverlap):
    """The mean of what Tversky indices lack to 1, to the power of one over `gamma`."""

    def __init__(self, tversky: Tversky, *, gamma: float) -> None:
        super().__init__()
        self.tversky = tversky
        self.outputs = tversky.outputs
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        missing = 1 - self.noted(self.tversky.per_output(logits, labels))
        return powered(missing, 1 / self.gamma).mean()


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalTverskySettings(Settings):
    """The mean of what the Tversky indices lack to 1, to a power below 1 that has the loss look at the worst outputs.

    Attributes:
        gamma: The power is one over it.
        alpha: Weight of what is found and not there.
        beta: Weight of what is there and not found.
        smooth: What is added above and below the fraction.
        outputs: Which outputs count, by number from 0, the background being 0; null takes those that are scored.

    Source: Abraham and Khan 2019, "A novel focal Tversky loss function" (arXiv 1810.07842).
    """

    gamma: float = 1.33
    alpha: float = 0.7
    beta: float = 0.3
    smooth: float = 1.0
    outputs: tuple[int, ...] | None = None

    def build(self, *, per_batch: bool, activation: Scoring) -> FocalTversky:
        """The loss."""
        tversky = Tversky(
            per_batch=per_batch,
            alpha=self.alpha,
            beta=self.beta,
            smooth=self.smooth,
            outputs=self.outputs,
            activation=activation,
        )
        return FocalTversky(tversky, gamma=self.gamma)


class FocalDice(OverlapLoss):
    """The logarithm of the binary focal loss minus that of the Dice of all outputs together.

    Args:
        beta: Weight of the Dice.
        gamma, alpha: Of the focal loss.
        outputs: Which outputs count, by number from 0, the background being 0; null takes those that are scored.

    Source: Wong et al. 2018 (arXiv 1809.00076); in the form of ivadomed.
    """

    SMOOTH = 1.0

    def __init__(
        self,
        *,
        beta: float = 1.0,
        gamma: float = 2.0,
        alpha: float = 0.25,
        outputs: tuple[int, ...] | None = None,
        activation: Scoring = SOFTMAX,
    ) -> None:
        super().__init__(per_batch=True, outputs=outputs, activation=activation)
        self.beta = beta
        self.focal = BinaryFocal(gamma=gamma, alpha=alpha, activation=activation)

    def per_output(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Dice of each."""
        return self._dice(self.sums(logits, labels))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        both, found, there = sums = self.sums(logits, labels)
        self.noted(self._dice(sums))
        dice = (2 * both.sum() + self.SMOOTH) / (found.sum() + there.sum() + self.SMOOTH)
        focal = self.chosen(self.focal.maps(logits, labels)).sum()
        return focal.clamp(min=LEAST_LOGARITHM_OF).log() - self.beta * dice.clamp(min=LEAST_LOGARITHM_OF).log()

    def _dice(self, sums: Overlap) -> Tensor:
        return (2 * sums.both + self.SMOOTH) / (sums.found + sums.there + self.SMOOTH)


class ExponentialLogarithmic(OverlapLoss):
    """Powers of the logarithms of the outputs' Dice, and of every voxel's probability, rare labels weighing more.

    Args:
        dice_weight: Of the outputs' part.
        voxel_weight: Of the voxels' part.
        gamma: The power of both logarithms.
        outputs: Which outputs count for the Dice, by number from 0, the background being 0; null takes those that are
            scored.

    Source: Wong et al. 2018, "3D segmentation with exponential logarithmic loss" (arXiv 1809.00076).
    """

    SMOOTH = 1.0

    def __init__(
        self,
        *,
        per_batch: bool,
        dice_weight: float = 0.8,
        voxel_weight: float = 0.2,
        gamma: float = 0.3,
        outputs: tuple[int, ...] | None = None,
        activation: Scoring = SOFTMAX,
    ) -> None:
        super().__init__(per_batch=per_batch, outputs=outputs, activation=activation)
        self.dice_weight, self.voxel_weight, self.gamma = dice_weight, voxel_weight, gamma

    def per_output(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Dice of each."""
        both, found, there = self.sums(logits, labels)
        return (2 * both + self.SMOOTH) / (found + there + self.SMOOTH)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        of_outputs = powered(-self.noted(self.per_output(logits, labels)).log(), self.gamma).mean()
        truth = self.activation.encode(labels, torch.zeros_like(logits))
        sizes = truth.transpose(0, 1).flatten(1).sum(1)
        weights = torch.where(sizes > 0, (sizes.sum() / sizes.clamp(min=LEAST)).sqrt(), 0.0)
        of_voxel = (weights.reshape(-1, *[1] * (logits.ndim - 2)) * truth).sum(1)
        of_voxels = (of_voxel * powered(self.activation.cross_entropies(logits, labels), self.gamma)).mean()
        return self.dice_weight * of_outputs + self.voxel_weight * of_voxels


def probabilities_and_truth(activation: Scoring, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What is found and what should be, each `(B, C, *space)`."""
    found = activation.probabilities(logits)
    return found, activation.encode(labels, torch.zeros_like(found))


def summed(found: Tensor, there: Tensor, *, per_batch: bool, squared: bool = False) -> Overlap:
    """Sums of maps `(B, C, *space)` over space, and over the batch where it is wanted."""
    axes = (0, *range(2, found.ndim)) if per_batch else tuple(range(2, found.ndim))
    both = (found * there).sum(axes)
    if squared:
        found, there = found.square(), there.square()
    return Overlap(both=both, found=found.sum(axes), there=there.sum(axes))


def powered(values: Tensor, exponent: float) -> Tensor:
    """Of values from 0 on; the gradient of a power below 1, which is infinite at 0, is that just above it."""
    return torch.where(values > LEAST_LOGARITHM_OF, values.clamp(min=LEAST_LOGARITHM_OF) ** exponent, 0.0)


def _weighted(scores: Tensor, weights: Sequence[float]) -> Tensor:
    if len(weights) != scores.shape[-1] or min(weights) < 0 or not sum(weights):
        raise TrainingError(
            f"output_weights: a number from 0 for each of the {scores.shape[-1]} outputs that count, not all 0, found "
            f"{list(weights)}"
        )
    return (scores * scores.new_tensor(weights)).sum(-1) / sum(weights)
