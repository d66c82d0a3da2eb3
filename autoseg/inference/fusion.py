"""A learned fusion: how much each source, a view of a network or a model, has to say about each output.

    probabilities = activation(sum over sources of W[source, output] * p[source, output] + b[output])

The cross-entropy of that is convex in W and b, which are bounded below by 0, as its scores are linear in them: there is
one optimum, and it is found in seconds. (The generalised Dice that Perslev et al. 2019 fit is not convex.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from autoseg.arrays import Float32Array, Float64Array
from autoseg.errors import ModelError
from autoseg.networks.activations import Activation

PENALTY = 1e-6
"""On the mean of the squared weights (Perslev et al. 2019)."""

MOST_ITERATIONS = 200

LARGEST_WEIGHT = 1e3
"""What no fit comes near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Weights of sources.

    Attributes:
        sources: Their names.
        weights: For each source a weight for each output, none below 0.
        bias: For each output.
    """

    sources: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.sources) or any(len(row) != len(self.bias) for row in self.weights):
            raise ModelError(
                f"a fusion needs a weight for each of its sources ({len(self.sources)}) and outputs ({len(self.bias)})"
            )
        if not all(0 <= weight <= LARGEST_WEIGHT for row in self.weights for weight in row):
            raise ModelError(f"weights of a fusion must be from 0 to {LARGEST_WEIGHT:g}")
        if not all(abs(bias) <= LARGEST_WEIGHT for bias in self.bias):
            raise ModelError(f"biases of a fusion must be at most {LARGEST_WEIGHT:g}, above or below 0")

    @property
    def totals(self) -> torch.Tensor:
        """Of each output the sum of its weights, `(K,)`."""
        return torch.tensor(self.weights).sum(dim=0)

    @property
    def shares(self) -> torch.Tensor:
        """Of each weight in its output's sum, `(sources, K)`; equal ones where that is 0."""
        totals = self.totals
        return torch.where(totals > 0, torch.tensor(self.weights) / totals.clamp(min=1e-30), 1 / len(self.sources))

    def of_means(self, means: torch.Tensor, activation: Activation) -> torch.Tensor:
        """The probabilities `(K, *space)` that follow from the means of the sources' weighted by `shares`."""
        space = (1,) * (means.ndim - 1)
        totals, bias = (values.reshape(-1, *space).to(means) for values in (self.totals, torch.tensor(self.bias)))
        return activation.probabilities((means * totals + bias)[None])[0]

    def of_sum(self, weighted: Float32Array, activation: Activation) -> Float32Array:
        """The probabilities `(K, *space)` that follow from the sources' weighted sum."""
        bias = torch.tensor(self.bias).reshape(-1, *(1,) * (weighted.ndim - 1))
        fused: Float32Array = activation.probabilities((torch.from_numpy(weighted) + bias)[None])[0].numpy()
        return fused


@dataclass(frozen=True, slots=True)
class Voxels:
    """What sources say of some voxels, and what is true of them.

    Attributes:
        probabilities: `(N, sources, K)` float32.
        truth: `(N,)` labels of a map, or `(N, K)` of a mask each.
    """

    probabilities: Float32Array
    truth: Float32Array

    @staticmethod
    def together(parts: Sequence[Voxels]) -> Voxels:
        """All of several."""
        return Voxels(
            np.concatenate([part.probabilities for part in parts]), np.concatenate([part.truth for part in parts])
        )


def fit(voxels: Voxels, sources: Sequence[str], activation: Activation) -> Fusion:
    """The weights under which what the sources say together makes the truth most probable.

    Each voxel counts alike, so that probabilities keep meaning what they say.

    Raises:
        ModelError: There is no voxel.
    """
    from scipy.optimize import minimize

    if not len(voxels.truth):
        raise ModelError("a fusion is fitted to voxels that somebody labelled, and there are none")
    said = torch.from_numpy(voxels.probabilities)
    truth = torch.from_numpy(voxels.truth.T[None])
    labels = truth.long() if truth.ndim == 2 else truth
    number, outputs = said.shape[1:]

    def loss(values: Float64Array) -> tuple[float, Float64Array]:
        leaf = torch.tensor(values, dtype=torch.float32, requires_grad=True)
        weights, bias = leaf[:-outputs].reshape(number, outputs), leaf[-outputs:]
        scores = (said * weights).sum(dim=1) + bias
        penalty = PENALTY * (weights.square().mean() + bias.square().mean())
        total = activation.cross_entropies(scores.T[None], labels).mean() + penalty
        total.backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        return float(total.detach()), leaf.grad.numpy().astype(np.float64)

    start = np.concatenate([np.ones(number * outputs), np.zeros(outputs)])
    bounds = [(0.0, LARGEST_WEIGHT)] * (number * outputs) + [(-LARGEST_WEIGHT, LARGEST_WEIGHT)] * outputs
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MOST_ITERATIONS}).x
    weights = found[:-outputs].reshape(number, outputs)
    return Fusion(
        sources=tuple(sources), weights=tuple(map(tuple, weights.tolist())), bias=tuple(found[-outputs:].tolist())
    )
