"""Loss functions on raw logits `(B, C, *space)` and whole-number labels `(B, *space)`; all return a scalar.

What logits and labels mean is the activation's to say, which follows from the target; a recipe of your own that does
not name it takes softmax.

Source: Isensee et al. 2021, "Blueprint parameters": cross-entropy plus soft Dice, with deep supervision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from autoseg.catalogue import Catalogue, Within
from autoseg.dataset.target import BACKGROUND
from autoseg.errors import TrainingError
from autoseg.networks.activations import SOFTMAX, Scoring
from autoseg.training.boundary_loss import Boundary
from autoseg.training.overlap_losses import (
    ExponentialLogarithmic,
    FocalDice,
    FocalTverskySettings,
    GeneralisedDice,
    ReportsOverlap,
    SquaredDice,
    Tversky,
)
from autoseg.training.voxel_losses import (
    AbsoluteDifference,
    AdaptiveWing,
    BinaryCrossEntropy,
    BinaryFocal,
    SmoothDifference,
    SquaredDifference,
    WeightedCrossEntropy,
)

SMOOTH = 1e-5
"""Keeps the Dice of a class that is absent from both sides at 1 (Isensee et al. 2021)."""

GUARD = 1e-8
"""Keeps the denominator above zero where smoothing is switched off."""


WORST_PERCENT = 10.0
"""Of the voxels count in the Top-K losses (reference system)."""

FOCAL_GAMMA, FOCAL_ALPHA = 2.0, 0.5
"""Lin et al. 2017 for the exponent; foreground and background weigh the same (reference system)."""


class DiceLoss(ReportsOverlap):
    """Minus the soft Dice of the foreground classes, their mean.

    Args:
        per_batch: Sum over the whole batch before dividing, instead of for each sample.
        smooth: What is added above and below the fraction.
        parts: Whether of regions that share labels those that none has to itself count too, each like a region: of a tumour
            and its core the rest of the tumour (measured in `documentation/performance.md`).
    """

    def __init__(
        self, *, per_batch: bool, smooth: float = SMOOTH, parts: bool = True, activation: Scoring = SOFTMAX
    ) -> None:
        super().__init__()
        self.activation = activation
        self.per_batch = per_batch
        self.smooth = smooth
        self.parts = parts

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        probabilities = self.activation.probabilities(logits)
        truth = self.activation.encode(target, torch.zeros_like(probabilities))
        if self.parts:
            probabilities, truth = self.activation.with_parts(probabilities), self.activation.with_parts(truth)
        axes = tuple(range(2, logits.ndim))
        if self.per_batch:
            axes = (0, *axes)
        overlap = (probabilities * truth).sum(axes)
        total = probabilities.sum(axes) + truth.sum(axes)
        dice = (2 * overlap + self.smooth) / (total + self.smooth + GUARD)
        scored = dice[..., self.activation.scored]
        self.noted(scored[..., : logits.shape[1]])
        return -scored.mean()

    def extra_repr(self) -> str:
        """What trainings that began without parts are told from those with them by."""
        return "parts" if self.parts and self.activation.parts else ""


class CrossEntropy(nn.Module):
    """Mean cross-entropy over all voxels."""

    is_mean_of_voxels: ClassVar = True

    def __init__(self, *, activation: Scoring = SOFTMAX) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.activation.cross_entropy(logits, target)


class TopKLoss(nn.Module):
    """Mean cross-entropy of the worst voxels of the batch.

    Args:
        percent: How many of all voxels count, at least one.

    Source: Wu et al. 2016, "Bridging category-level and instance-level semantic image segmentation".
    """

    def __init__(self, *, percent: float = WORST_PERCENT, activation: Scoring = SOFTMAX) -> None:
        super().__init__()
        self.activation = activation
        self.percent = percent

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        losses = self.activation.cross_entropies(logits, target).flatten()
        worst = max(1, int(losses.numel() * self.percent / 100))
        return losses.topk(worst, sorted=False).values.mean()


class FocalLoss(nn.Module):
    """Mean cross-entropy, voxels that are nearly right weighing little.

    Args:
        gamma: A voxel whose label has probability p weighs (1 - p) ** gamma.
        alpha: Weight of foreground voxels; those of background weigh 1 - alpha.

    Source: Lin et al. 2017, "Focal loss for dense object detection", eq. 5.
    """

    is_mean_of_voxels: ClassVar = True

    def __init__(
        self, *, gamma: float = FOCAL_GAMMA, alpha: float = FOCAL_ALPHA, activation: Scoring = SOFTMAX
    ) -> None:
        super().__init__()
        self.activation = activation
        self.gamma = gamma
        self.alpha = alpha

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if target.ndim == logits.ndim:
            raise TrainingError(
                "focal: weighs voxels by their label, and here each output has labels of its own; name binary_focal"
            )
        losses = self.activation.cross_entropies(logits, target)
        weights = torch.where(target > BACKGROUND, self.alpha, 1 - self.alpha)
        return (weights * (1 - torch.exp(-losses)) ** self.gamma * losses).mean()


class Sum(nn.Module):
    """The sum of several losses.

    Args:
        weights: What each is multiplied by; None adds them as they are.
    """

    def __init__(self, *losses: nn.Module, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.weights = None if weights is None else tuple(weights)

    def forward(self, logits: Tensor, target: Tensor, *unknown: Tensor) -> Tensor:
        found = [loss(logits, target, *unknown) for loss in self.losses]
        if self.weights is not None:
            found = [weight * loss for weight, loss in zip(self.weights, found, strict=True)]
        return torch.stack(found).sum()


class DeepSupervision(nn.Module):
    """A loss of every answer of a network, weighted by its resolution; those of weight 0 are not looked at.

    Each answer `(B, C, *space)` learns from the labels of its size. What has one axis, `(B,)`, is a penalty of each sample
    that the network itself gives, and is added as it is, their mean. What else is given, such as which outputs were drawn
    in each case, goes to the loss.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Sequence[Tensor], targets: Sequence[Tensor], *unknown: Tensor) -> Tensor:
        answers = [output for output in outputs if output.ndim > 1]
        sizes = [tuple(answer.shape[2:]) for answer in answers]
        labels = {tuple(target.shape[-len(sizes[0]) :]): target for target in targets}
        if others := [size for size in sizes if size not in labels]:
            raise TrainingError(
                f"the network answers with maps of {_times(others[0])}, and there are labels of "
                f"{', '.join(map(_times, labels))}; its answers must have sizes of the plan's levels"
            )
        weighted = zip(answer_weights(sizes), answers, sizes, strict=True)
        counted = [(weight, logits, size) for weight, logits, size in weighted if weight]
        # the finest comes last, so that what losses say of the overlap is of what is predicted
        losses = [weight * self.loss(logits, labels[size], *unknown) for weight, logits, size in reversed(counted)][
            ::-1
        ]
        return torch.stack([*losses, *(output.mean() for output in outputs if output.ndim == 1)]).sum()


def answer_weights(sizes: Sequence[tuple[int, ...]]) -> tuple[float, ...]:
    """Weights of answers of these sizes: those of one size weigh the same, sum 1; see `deep_supervision_weights`."""
    resolutions = sorted(set(sizes), key=math.prod, reverse=True)
    of_size = dict(zip(resolutions, deep_supervision_weights(len(resolutions)), strict=True))
    total = sum(of_size[size] for size in sizes)
    return tuple(of_size[size] / total for size in sizes)


def deep_supervision_weights(levels: int) -> tuple[float, ...]:
    """Weights of the levels, finest first: halved from level to level, nothing for the coarsest, sum 1.

    Source: Isensee et al. 2021, "Blueprint parameters".
    """
    raw = [0.5**level for level in range(levels)]
    if levels > 1:
        raw[-1] = 0.0
    return tuple(weight / sum(raw) for weight in raw)


def _times(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))


LARGEST, LARGEST_EXPONENT = 1e6, 100
"""Of a loss's settings; what is beyond is a slip."""

LOSSES = Catalogue(
    kind="loss",
    entries={
        "dice": DiceLoss,
        "squared_dice": SquaredDice,
        "generalised_dice": GeneralisedDice,
        "tversky": Tversky,
        "focal_tversky": FocalTverskySettings,
        "focal_dice": FocalDice,
        "exponential_logarithmic": ExponentialLogarithmic,
        "cross_entropy": CrossEntropy,
        "weighted_cross_entropy": WeightedCrossEntropy,
        "binary_cross_entropy": BinaryCrossEntropy,
        "top_k": TopKLoss,
        "focal": FocalLoss,
        "binary_focal": BinaryFocal,
        "adaptive_wing": AdaptiveWing,
        "absolute": AbsoluteDifference,
        "squared": SquaredDifference,
        "smooth_absolute": SmoothDifference,
        "boundary": Boundary,
    },
    given=("activation", "per_batch"),
    within={
        "smooth": Within(0, LARGEST),
        "alpha": Within(0, LARGEST),
        "beta": Within(0, LARGEST),
        "gamma": Within(0, LARGEST_EXPONENT),
        "dice_weight": Within(0, LARGEST),
        "voxel_weight": Within(0, LARGEST),
        "percent": Within(0, 100, above=True),
        "theta": Within(0, 1, above=True, below=True),
        "epsilon": Within(0, LARGEST, above=True),
        "omega": Within(0, LARGEST, above=True),
        "focal.alpha": Within(0, 1),
        "binary_focal.alpha": Within(0, 1),
        "focal_dice.alpha": Within(0, 1),
        "adaptive_wing.alpha": Within(1, LARGEST_EXPONENT, above=True),
        "focal_tversky.gamma": Within(0, LARGEST_EXPONENT, above=True),
        "exponential_logarithmic.gamma": Within(0, LARGEST_EXPONENT, above=True),
    },
)
