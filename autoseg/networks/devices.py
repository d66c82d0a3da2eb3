"""Which device computes, and what it is, for people: its name, its memory, and why its format of numbers is chosen."""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from autoseg.errors import ModelError
from autoseg.machine.resources import available_cores
from autoseg.networks.agreement import MOST_DISAGREEMENT, largest_disagreement
from autoseg.networks.precision import BF16_CPU_FEATURES, Precision, resolve_precision
from autoseg.words import counted

log = logging.getLogger(__name__)


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


def limit_threads() -> None:
    """Let torch use the cores this process may use, not all that the machine has."""
    torch.set_num_threads(min(torch.get_num_threads(), available_cores()))


def resolve_device(name: str | None = None) -> torch.device:
    """The device named, or the best there is.

    Apple's GPU is first asked for what a CPU knows too: some versions of macOS and torch compute other values there
    (pytorch#197114), or not all layers (ConvTranspose3d from torch 2.8 on).

    Args:
        name: "cpu", "cuda", "cuda:1", "mps", or None for CUDA, else Apple's GPU where it computes rightly, else the CPU.

    Raises:
        ModelError: The device is unknown, not there, or Apple's and wrong.
    """
    if name is None:
        return torch.device("cuda") if torch.cuda.is_available() else _apple_or_cpu()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"device {name!r}: unknown; use cpu, cuda or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"device {name}: torch {torch.__version__} finds {counted(torch.cuda.device_count(), 'CUDA device')}; "
            "check the driver and nvidia-smi, or use `device=cpu`"
        )
    if device.type == "mps":
        _require_mps(device)
    if device.type not in ("cpu", "cuda", "mps"):
        raise ModelError(f"device {name!r}: unknown; use cpu, cuda or mps")
    return device


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
    """With how it was built, as in `2.9.2+cu128, cuDNN 9.10.2`."""
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return torch.__version__ if cudnn is None else f"{torch.__version__}, cuDNN {cudnn_version(cudnn)}"


def cudnn_version(number: int) -> str:
    """`9.10.2` for 91002, `8.9.2` for 8902 (`CUDNN_VERSION` in cudnn_version.h)."""
    major, rest = divmod(number, 10_000 if number >= 90_000 else 1_000)
    return f"{major}.{rest // 100}.{rest % 100}"


def free_device_memory(device: torch.device) -> int:
    """Bytes of a GPU that torch can take."""
    free, _ = torch.cuda.mem_get_info(device)
    return to_be_had(free, torch.cuda.memory_reserved(device), torch.cuda.memory_allocated(device))


def to_be_had(free: int, reserved: int, allocated: int) -> int:
    """What is free for everyone, and what torch's allocator holds without using it."""
    return free + reserved - allocated


def batch_of(value: float, numbers: int) -> Tensor:
    """So many equal numbers, to try with."""
    return torch.full((numbers,), float(value))


def _apple_or_cpu() -> torch.device:
    if not torch.backends.mps.is_available():
        return torch.device("cpu")
    try:
        _require_mps(device := torch.device("mps"))
    except ModelError as error:
        log.warning("%s; so the CPU computes", error)
        return torch.device("cpu")
    return device


def _require_mps(device: torch.device) -> None:
    if not torch.backends.mps.is_available():
        raise ModelError("device mps: there is no Apple GPU that torch can use; use `device=cpu`")
    remedy = "update macOS and torch, or use `device=cpu`"
    try:
        difference = largest_disagreement(device, Precision(name="fp32", device="mps"))
    except (RuntimeError, AssertionError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"device mps: torch {torch.__version__} cannot train a U-Net on it ({cause}); {remedy}"
        ) from error
    if not difference <= MOST_DISAGREEMENT:
        raise ModelError(f"device mps: it computes other values than the CPU, off by {difference:.0%}; {remedy}")


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
