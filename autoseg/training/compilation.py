"""torch.compile for long trainings on CUDA: one graph of network and loss, whose passes over memory are joined.

Both are compiled in place, so that classes, names of weights and switches stay what they were. A batch in parts and
validation are graphs of their own, each compiled when it is first met (never with sizes left open, which is slower).
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

import autoseg
from autoseg.errors import AutosegError
from autoseg.networks.encoder_decoder import EncoderDecoder
from autoseg.networks.fitting import is_out_of_memory
from autoseg.networks.precision import VOLTA
from autoseg.training.parts import Parts
from autoseg.training.state import TrainingState

log = logging.getLogger(__name__)

Result = TypeVar("Result")

WORTHWHILE_BATCHES = 5000
"""Compiling takes half a minute to two, a batch of 128x128x128 50 to 80 ms, of which a third may be won."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What decides whether a training is compiled.

    Attributes:
        wanted: By the user.
        device: Its type.
        generation: Of a CUDA device, the major number of its compute capability; 0 for others.
        triton: Whether it is installed, which makes the kernels.
        own_network: Whether the network is one of autoseg's, in which no graph breaks.
        batches: Training batches to come.
    """

    wanted: bool
    device: str
    generation: int
    triton: bool
    deterministic: bool
    own_network: bool
    batches: int


def against_compiling(now: Circumstances) -> str | None:
    """Why a training is not compiled, in words; None where it is."""
    reasons = {
        "not wanted": not now.wanted,
        f"a {now.device} device": now.device != "cuda",
        "a GPU that Triton makes no kernels for": now.generation < VOLTA,
        "Triton is not installed": not now.triton,
        "deterministic": now.deterministic,
        "a network of your own": not now.own_network,
        f"fewer than {WORTHWHILE_BATCHES} batches to come": now.batches < WORTHWHILE_BATCHES,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def circumstances(
    network: nn.Module, device: torch.device, *, wanted: bool, deterministic: bool, batches: int
) -> Circumstances:
    """Of a training on this machine."""
    is_gpu = device.type == "cuda"
    return Circumstances(
        wanted=wanted,
        device=device.type,
        generation=torch.cuda.get_device_capability(device)[0] if is_gpu else 0,
        triton=importlib.util.find_spec("triton") is not None,
        deterministic=deterministic,
        own_network=isinstance(network, EncoderDecoder) and is_ours(network),
        batches=batches,
    )


def compile_where_it_pays(parts: Parts, state: TrainingState, loss_function: nn.Module) -> None:
    """Network and loss, where enough batches are to come to make up for the time it takes."""
    against = against_compiling(
        circumstances(
            state.network,
            parts.device,
            wanted=parts.settings.compile,
            deterministic=parts.settings.deterministic,
            batches=(parts.epochs - state.epoch) * parts.iterations_per_epoch,
        )
    )
    if against is None:
        log.info("torch.compile: the first batches take a minute or two (`compile=False` does without)")
        compile_in_place(state.network, loss_function)
    elif parts.device.type == "cuda":
        log.info("without torch.compile: %s", against)


def is_ours(module: nn.Module) -> bool:
    """Whether all that a module is made of are autoseg's and torch's classes."""
    rooms = {type(part).__module__.partition(".")[0] for part in module.modules()}
    return rooms <= {autoseg.__name__, "torch"}


def compile_in_place(*modules: nn.Module, backend: str | Callable[..., object] = "inductor") -> None:
    """From the next call on; a loss of the user's own is left as it is."""
    for module in modules:
        if is_ours(module):
            module.compile(backend=backend, dynamic=False)


def is_compiled(module: nn.Module) -> bool:
    """Whether its calls are compiled."""
    return module._compiled_call_impl is not None


def or_uncompiled(step: Callable[[], Result], *modules: nn.Module) -> Result:
    """A step's result; where compiled modules fail in it, from now on and for this step they are not compiled.

    Compiling can fail in as many ways as there are compilers, drivers and disks that it needs, so every error is taken
    for one, and what was none comes again. Memory that runs out is left to whoever takes fewer samples.
    """
    try:
        return step()
    except Exception as error:
        if isinstance(error, AutosegError) or not any(map(is_compiled, modules)):
            raise
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        reason = getattr(error, "inner_exception", error)  # what torch's own words begin with
        cause = (str(reason).strip() or type(reason).__name__).splitlines()[0]
    for module in modules:
        module._compiled_call_impl = None
    log.warning("torch.compile failed, so the training goes on without, which is slower: %.300s", cause)
    return step()
