"""What computes the networks of a model: torch, or on a CPU OpenVINO where it is installed and agrees with torch."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from autoseg.errors import ModelError
from autoseg.inference.dropout import with_dropout
from autoseg.inference.members import Forward, Networks, in_turn
from autoseg.inference.side_by_side import side_by_side
from autoseg.machine.resources import keep_freed_memory
from autoseg.networks import Precision, place_network
from autoseg.networks.activations import Activation
from autoseg.networks.encoder_decoder import EncoderDecoder

log = logging.getLogger(__name__)

Engine: TypeAlias = Literal["auto", "torch", "openvino"]
ENGINES = ("auto", "torch", "openvino")

TOLERANCES = {"fp32": 1e-4, "bf16": 5e-3}
"""Mean difference of probabilities from torch's in fp32 above which OpenVINO is not used. Right ones were below 1e-6
and 1e-3 (random networks on noise, where most voxels are in doubt), wrong ones above 0.1."""

PROBE_SEED = 0


def require_engine(engine: str, device: torch.device) -> None:
    """Refuse an engine that is unknown, not installed, or not for the device.

    Raises:
        ModelError: Naming what to do.
    """
    if engine not in ENGINES:
        raise ModelError(f"engine {engine!r}: unknown; use {', '.join(ENGINES)}")
    if engine == "openvino" and device.type != "cpu":
        raise ModelError(f"engine openvino: computes on a CPU, not on {device}; use `engine=torch`, or `device=cpu`")
    if engine == "openvino" and not _has_openvino():
        raise ModelError("engine openvino: not installed; install it with: pip install 'autoseg[openvino]'")


def prefers_openvino(engine: str, device: torch.device) -> bool:
    """Whether OpenVINO is to be tried."""
    return engine != "torch" and device.type == "cpu" and _has_openvino()


def start_networks(
    networks: Sequence[nn.Module],
    tile_shape: Sequence[int],
    *,
    engine: str,
    precision: Precision,
    device: torch.device,
    activation: Activation,
) -> Networks:
    """Bring networks to where they are computed.

    OpenVINO is asked for by name, or by "auto" on a CPU where it is installed. Each network's answer to a probe is
    compared with torch's in fp32. Where one cannot be converted or differs, "auto" takes torch, and says so.

    Args:
        networks: In evaluation mode.
        tile_shape: `(C, *patch)`.
        activation: Makes the probabilities that are compared.

    Raises:
        ModelError: OpenVINO was asked for by name and cannot be used.
    """
    modules = _in_evaluation(networks, device)
    if not prefers_openvino(engine, device):
        return _in_torch(modules, precision, device)
    try:
        forwards = _in_openvino(modules, tile_shape, precision, activation)
    except ModelError as error:
        if engine == "openvino":
            raise
        log.warning("%s; computed by torch instead", error)
        return _in_torch(modules, precision, device)
    log.info("OpenVINO computes the network (its answers were compared with torch's; `engine=torch` does without)")
    return Networks(engine="openvino", forwards=forwards, device=device)


def start_networks_with_dropout(
    networks: Sequence[nn.Module], *, precision: Precision, device: torch.device, samples: int
) -> Networks:
    """Bring networks to where torch computes them, each so many times with its dropout on.

    Raises:
        ModelError: A network has no dropout.
    """
    modules = _in_evaluation(networks, device)
    return with_dropout(_in_torch(modules, precision, device), modules, samples)


def _in_evaluation(networks: Sequence[nn.Module], device: torch.device) -> tuple[nn.Module, ...]:
    if device.type == "cpu":
        keep_freed_memory()
    return tuple(network.eval() for network in networks)


def full_resolution(output: Any) -> torch.Tensor:
    """A network with deep supervision returns its scores finest first."""
    scores: torch.Tensor = output[0] if isinstance(output, (list, tuple)) else output
    return scores


def _in_torch(networks: Sequence[nn.Module], precision: Precision, device: torch.device) -> Networks:
    placed = [place_network(network, device, precision) for network in networks]
    # A network of the user's own may keep something of one call on itself.
    own = not all(isinstance(network, EncoderDecoder) for network in networks)
    return Networks(
        forwards=tuple(_torch_forward(network, precision) for network in placed),
        device=device,
        ask=partial(side_by_side, one_call_at_a_time=own) if device.type == "cpu" else in_turn,
    )


def _torch_forward(network: nn.Module, precision: Precision) -> Forward:
    def forward(tiles: torch.Tensor) -> torch.Tensor:
        with precision.autocast():
            return full_resolution(network(tiles))

    return forward


def _in_openvino(
    networks: Sequence[nn.Module], tile_shape: Sequence[int], precision: Precision, activation: Activation
) -> tuple[Forward, ...]:
    from autoseg.inference.openvino import compile_network

    forwards = []
    for number, network in enumerate(networks):
        try:
            forward = compile_network(network, tile_shape, precision=precision.name)
            difference = _difference(network, forward, tile_shape, activation)
        except Exception as error:  # a network of the user's own can fail in a converter in any way
            log.debug("OpenVINO failed", exc_info=error)
            cause = str(error).strip().partition("\n")[0]
            raise ModelError(f"OpenVINO: cannot compute network {number}: {type(error).__name__}: {cause}") from error
        if not difference <= TOLERANCES[precision.name]:
            raise ModelError(
                f"OpenVINO: network {number} gives other probabilities than torch in fp32: they differ by "
                f"{difference:.2g} in the mean, and {TOLERANCES[precision.name]:.2g} is right for {precision.name}"
            )
        forwards.append(forward)
    return tuple(forwards)


@torch.inference_mode()
def _difference(network: nn.Module, forward: Forward, tile_shape: Sequence[int], activation: Activation) -> float:
    """Mean absolute difference of the probabilities of noise."""
    probe = torch.randn(1, *tile_shape, generator=torch.Generator().manual_seed(PROBE_SEED))
    expected = activation.probabilities(full_resolution(network(probe)))
    return float((activation.probabilities(forward(probe)) - expected).abs().mean())


def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None
