"""What a device is, for people: its name, its memory, and why its format of numbers is chosen."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from autoseg.networks.precision import BF16_CPU_FEATURES, resolve_device, resolve_precision


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDescription:
    """The device that computes when none is named.

    Attributes:
        precision: "bf16", "fp16" or "fp32", for the `reason`.
        free_memory: Bytes, of a GPU that tells.
    """

    name: str
    model: str
    precision: str
    reason: str
    free_memory: int | None


def describe_device(name: str | None = None) -> DeviceDescription:
    """A device and the precision that `auto` takes on it.

    Raises:
        ModelError: It is not there.
    """
    device = resolve_device(name)
    precision = resolve_precision("auto", device).name
    is_gpu = device.type == "cuda"
    return DeviceDescription(
        name=str(device),
        model=torch.cuda.get_device_name(device) if is_gpu else _processor(),
        precision=precision,
        reason=_reason(device.type, precision),
        free_memory=torch.cuda.mem_get_info(device)[0] if is_gpu else None,
    )


def has_cuda() -> bool:
    """Whether torch can use a GPU of NVIDIA."""
    return torch.cuda.is_available()


def torch_version() -> str:
    """With how it was built, as in `2.9.2+cu128`."""
    return str(torch.__version__)


def batch_of(value: float, numbers: int) -> Tensor:
    """So many equal numbers, to try with."""
    return torch.full((numbers,), float(value))


def _reason(kind: str, precision: str) -> str:
    if kind == "cpu":
        features = " or ".join(BF16_CPU_FEATURES)
        if precision == "bf16":
            return f"this processor computes bfloat16 itself ({features})"
        return f"this processor has no {features}, and would only imitate bfloat16, which is far slower"
    if kind == "cuda":
        return {
            "bf16": "this GPU computes bfloat16 itself",
            "fp16": "this GPU is older than bfloat16; losses are scaled so that gradients do not vanish",
            "fp32": "this GPU is older than the units that make half precision faster",
        }[precision]
    return "the only one that is as exact on this device"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
