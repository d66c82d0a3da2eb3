"""In which floating point format a device computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from autoseg.errors import ModelError
from autoseg.machine.resources import PRECISIONS
from autoseg.networks.bf16_convolutions import SoundConvolutions
from autoseg.networks.instance_norm import CHANNELS_LAST

BF16_CPU_FEATURES = ("amx_bf16", "avx512_bf16")
"""Processors without these emulate bfloat16, up to 80 times slower than fp32 (discuss.pytorch.org/t/200273)."""

VOLTA, AMPERE = 7, 8
"""Compute capabilities from which on a GPU multiplies matrices in fp16 and in bf16 (CUDA C++ Programming Guide, "Compute
Capabilities"); before Volta fp16 is no faster than fp32 and only overflows sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How a network is computed.

    Attributes:
        name: "fp32", "bf16" or "fp16".
        device: Type of device, "cpu", "cuda" or "mps".
    """

    name: str
    device: str

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.name]

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the network runs; losses are computed outside of it, in fp32."""
        if self.name == "fp32":
            return nullcontext()
        autocast = torch.autocast(self.device, dtype=self.dtype)
        return _both(autocast, SoundConvolutions()) if self.name == "bf16" and self.device == "cpu" else autocast

    def memory_format(self, dimensions: int) -> torch.memory_format:
        """How tensors lie in memory: bf16 convolutions on a CPU take a sixth less time with channels last.

        In fp32 and on a GPU instance normalisation turns them round (pytorch#59168), which takes longer than is won.
        """
        if self.name == "bf16" and self.device == "cpu":
            return CHANNELS_LAST[dimensions + 2]
        return torch.contiguous_format

    @property
    def needs_scaler(self) -> bool:
        """Whether gradients underflow unless the loss is scaled: fp16 alone has so few exponent bits."""
        return self.name == "fp16"


def resolve_precision(name: str, device: torch.device) -> Precision:
    """The floating point format named, or the fastest that the device has in hardware.

    Raises:
        ModelError: The format is unknown, or would be emulated on this device.
    """
    if name not in PRECISIONS:
        raise ModelError(f"precision {name!r}: unknown; use one of {', '.join(PRECISIONS)}")
    possible = _possible_precisions(device)
    chosen = possible[0] if name == "auto" else name
    if chosen not in possible:
        raise ModelError(
            f"precision {name}: not in this {device.type} device's hardware, it would be emulated and far slower; "
            f"use {' or '.join(possible)}"
        )
    return Precision(name=chosen, device=device.type)


@contextmanager
def _both(outer: AbstractContextManager[object], inner: AbstractContextManager[object]) -> Iterator[None]:
    with outer, inner:
        yield


def _possible_precisions(device: torch.device) -> tuple[str, ...]:
    """Fastest first."""
    if device.type == "cuda":
        return _gpu_precisions(device)
    if device.type == "cpu" and _cpu_has_bf16():
        return ("bf16", "fp32")
    return ("fp32",)


def _gpu_precisions(device: torch.device) -> tuple[str, ...]:
    """By what this very GPU computes in hardware: another one of the machine may be older."""
    generation, _ = torch.cuda.get_device_capability(device)
    if torch.version.hip or generation >= AMPERE:
        return "bf16", "fp16", "fp32"
    return ("fp16", "fp32") if generation >= VOLTA else ("fp32", "fp16")


def _cpu_has_bf16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return any(capabilities().get(feature, False) for feature in BF16_CPU_FEATURES)
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return any(feature in flags for feature in BF16_CPU_FEATURES)
