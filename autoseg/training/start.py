"""The state that a training goes on from: a new one, or that of a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from secrets import randbits
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from autoseg.errors import TrainingError
from autoseg.inference.model import load_weights
from autoseg.machine.resources import keep_freed_memory
from autoseg.networks import place_network
from autoseg.networks.pretrained import transfer_weights
from autoseg.training.determinism import DEFAULT_SEED
from autoseg.training.fine_tuning import freeze, start_anew
from autoseg.training.frequency_bias import begin_at, label_frequencies
from autoseg.training.parts import Parts
from autoseg.training.settings import TrainingSettings
from autoseg.training.state import EpochSums, TrainingState, start_momentum, step_seed

log = logging.getLogger(__name__)

SEED_BITS = 31


def choose_seed(settings: TrainingSettings, content: Mapping[str, Any] | None = None) -> int:
    """The user's, else the checkpoint's, else a new one, or always the same one."""
    if settings.seed is not None:
        return settings.seed
    if content is not None:
        return int(content["seed"])
    return DEFAULT_SEED if settings.deterministic else randbits(SEED_BITS)


def start_state(parts: Parts, seed: int, content: Mapping[str, Any] | None = None) -> TrainingState:
    """A checkpoint's state; without one that of a training that begins.

    Raises:
        TrainingError: The checkpoint is of another network or optimiser.
        ModelError: The weights to begin with are not there, or fit nowhere.
    """
    state = new_state(parts, seed)
    if parts.recipe.frozen and content is None and parts.settings.pretrained_weights is None:
        raise TrainingError(
            f"{parts.name}: its recipe leaves {100 * parts.recipe.frozen:.0f} % of the layers as they are (frozen), so they must "
            "come from another training: name its weights (`pretrained_weights`)"
        )
    if content is None and parts.recipe.frequency_bias:
        for network in (state.network,) if state.average is None else (state.network, state.judged):
            for one, own in parts.each_task(network):
                _begin_at_frequencies(one, own)
    if content is not None:
        state.restore(content)
    elif parts.settings.pretrained_weights is not None:
        first = {name: tensor.detach().clone() for name, tensor in state.network.named_parameters()}
        for _, network in parts.each_task(state.network):
            _load_pretrained(network, parts.settings.pretrained_weights)
        if parts.recipe.fresh:
            start_anew(state.network, first)
    if parts.precision.needs_scaler or len(parts.together) > 1:
        start_momentum(state.optimizer)
    return state


def new_state(parts: Parts, seed: int) -> TrainingState:
    """Weights drawn from the seed, on the device."""
    torch.manual_seed(step_seed(seed))
    if parts.device.type == "cpu":
        keep_freed_memory()
    network = place_network(parts.trained_network(), parts.device, parts.precision)
    for _, one in parts.each_task(network):
        freeze(one, parts.recipe.frozen)
    decay = parts.recipe.weight_average
    return TrainingState(
        network=network,
        average=None if decay is None else _average_of(network, decay),
        optimizer=parts.build_optimizer(network),
        scaler=torch.amp.GradScaler(parts.device.type, enabled=parts.precision.needs_scaler),
        sums=EpochSums.empty(len(parts.target.scored), parts.device),
    )


def _begin_at_frequencies(parts: Parts, network: nn.Module) -> None:
    activation = parts.output_activation
    found = label_frequencies(parts.cases, parts.split.training, activation, len(parts.target.outputs))
    log.info("labels are %s of what is known", ", ".join(f"{share:.2%}" for share in found))
    scores = activation.scores_of(found).to(parts.device)
    sample = torch.zeros(1, parts.in_channels, *parts.plan.sampling.patch_size, device=parts.device)
    begin_at(network, scores, sample)


def _average_of(network: nn.Module, decay: float) -> AveragedModel:
    following = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=following, use_buffers=True)


def _load_pretrained(network: nn.Module, path: Path) -> None:
    kept = transfer_weights(network, load_weights(path).weights, source=str(path))
    log.info("started from %s; these start anew: %s", path, ", ".join(kept))
