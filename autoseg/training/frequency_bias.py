"""Answers that begin at the frequencies of the labels, so that a training does not first learn how rare these are.

Source: Perslev et al. 2019, "One network to segment them all" (arXiv 1911.01764), and its software.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.dataset.coding import BACKGROUND, OUTSIDE, is_planes, signed
from autoseg.errors import TrainingError
from autoseg.networks.activations import Activation
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.batch_steps import as_shares
from autoseg.training.sampling.regions import learned_labels

MOST_CASES = 64
"""Are looked at; of more, so many that lie evenly in their order."""

AT_ONCE = 16
"""Slices, so that no volume of every output has to fit into memory."""


def label_frequencies(store: PreparedCases, cases: Sequence[str], activation: Activation, outputs: int) -> Tensor:
    """Share `(outputs,)` of each output in what is known of the cases, of each at least that of one voxel."""
    chosen = cases[:: -(-len(cases) // MOST_CASES)]
    sums, known = torch.zeros(outputs, dtype=torch.float64), torch.zeros(outputs, dtype=torch.float64)
    for case in chosen:
        maps = [labels for labels, _ in learned_labels(store.load(case), np.random.default_rng(0))]
        for first in range(0, len(maps[0]), AT_ONCE):
            slab = [one[first : first + AT_ONCE] for one in maps]
            labels = np.stack([signed(one) if is_planes(one) else one for one in slab])
            labels = np.where(labels == OUTSIDE, BACKGROUND, labels)
            drawn = torch.from_numpy(labels if is_planes(slab[0]) else labels[0])[None]
            shares = as_shares(activation, activation.learned(drawn, dimensions=3), outputs)[0].flatten(1)
            sums += shares.clamp(min=0).sum(dim=1, dtype=torch.float64)
            known += (shares >= 0).sum(dim=1)
    return (sums.clamp(min=1) / known.clamp(min=1)).clamp(max=1)


@torch.no_grad()
def begin_at(network: nn.Module, scores: Tensor, sample: Tensor) -> None:
    """Set the biases of the layers that answer.

    Args:
        scores: `(outputs,)`, which they become.
        sample: `(1, C, *patch)`, of anything; the network is run on it once.

    Raises:
        TrainingError: There are none; see `require_answering_layers`.
    """
    for layer in require_answering_layers(network, sample, len(scores)):
        layer.get_parameter("bias").copy_(scores)


def require_answering_layers(network: nn.Module, sample: Tensor, outputs: int) -> list[nn.Module]:
    """See `answering_layers`.

    Raises:
        TrainingError: The network ends in no layer with a bias for each output.
    """
    layers = answering_layers(network, sample, outputs)
    if not layers:
        raise TrainingError(
            f"frequency_bias: {type(network).__name__} ends in no layer with a bias for each of its {outputs} outputs, so its "
            "answers cannot begin at the labels' frequencies; leave the key out, or name another network, such as "
            "unet_multiplanar or unet_2016"
        )
    return layers


@torch.no_grad()
def answering_layers(network: nn.Module, sample: Tensor, outputs: int) -> list[nn.Module]:
    """Layers with a bias of so many numbers whose result is an answer of the network as it is."""
    results: list[tuple[nn.Module, Tensor]] = []

    def remember(layer: nn.Module, _: object, result: Tensor) -> None:
        results.append((layer, result))

    ends = [
        layer
        for layer in network.modules()
        if getattr(layer, "bias", None) is not None and len(layer.bias) == outputs  # type: ignore[arg-type]
    ]
    hooks = [layer.register_forward_hook(remember) for layer in ends]
    was_training = network.training
    answers = network.eval()(sample)
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    known = [answers] if isinstance(answers, Tensor) else list(answers)
    return [layer for layer, result in results if any(result is answer for answer in known)]
