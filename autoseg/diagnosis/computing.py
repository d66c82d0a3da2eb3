"""Which device computes, in which format, and why."""

from __future__ import annotations

import time
from pathlib import Path

from autoseg.diagnosis.page import Diagnosis, Level
from autoseg.words import in_bytes

DRIVER = Path("/proc/driver/nvidia/version")
"""There where NVIDIA's driver is loaded (its README, "proc interface")."""

SLOW_IMPORT_SECONDS = 20.0

OTHER_BUILD = (
    "what is trained here would be wrong: install another build of torch (pytorch.org/get-started), or use `device=cpu`"
)
NEWER_CUDNN = "take a newer cuDNN (pip install -U nvidia-cudnn-cu12), or another torch (pytorch#166122)"


def check_torch() -> list[Diagnosis]:
    """Import torch."""
    started = time.monotonic()
    from autoseg.networks.devices import torch_version

    seconds = time.monotonic() - started
    found = f"{torch_version()}, imported in {seconds:.1f} s"
    if seconds > SLOW_IMPORT_SECONDS:
        remedy = "install Python's packages on a local disk: every command that trains or predicts waits for this"
        return [Diagnosis(level="warning", subject="torch", found=found, remedy=remedy)]
    return [Diagnosis(level="ok", subject="torch", found=found)]


def check_arithmetic() -> list[Diagnosis]:
    """Whether the device computes what a CPU knows, forward and backward, and on a GPU faster than in fp32."""
    from autoseg.networks.agreement import MOST_DISAGREEMENT
    from autoseg.networks.trial import try_arithmetic

    try:
        trial = try_arithmetic()
    except RuntimeError as error:
        cause = str(error).strip().partition("\n")[0]
        return [_arithmetic("fault", f"a small U-Net cannot be computed: {cause}", OTHER_BUILD)]
    off = f"off by {trial.disagreement:.0%} from fp32 on the CPU"
    if not trial.disagreement <= MOST_DISAGREEMENT:
        return [_arithmetic("fault", f"small U-Nets on {trial.device} in {trial.precision} are {off}", OTHER_BUILD)]
    if trial.speedup is not None and trial.speedup < 1:
        slow = f"3D convolutions on {trial.device} take {1 / trial.speedup:.1f} times as long in {trial.precision} as in fp32"
        return [_arithmetic("warning", slow, NEWER_CUDNN)]
    return [_arithmetic("ok", f"small U-Nets, forward and backward in {trial.precision}, are {off}")]


def _arithmetic(level: Level, found: str, remedy: str = "") -> Diagnosis:
    return Diagnosis(level=level, subject="arithmetic", found=found, remedy=remedy)


def check_device(driver: Path = DRIVER) -> list[Diagnosis]:
    """The device that is chosen when none is named, its format of numbers, and a GPU that torch does not see."""
    from autoseg.networks.devices import describe_device, has_cuda

    device = describe_device()
    memory = "" if device.free_memory is None else f", {in_bytes(device.free_memory)} free"
    diagnoses = [
        Diagnosis(level="ok", subject="device", found=f"{device.name} ({device.model}){memory}"),
        Diagnosis(level="ok", subject="precision", found=f"{device.precision}: {device.reason}"),
    ]
    if driver.exists() and not has_cuda():
        diagnoses[0] = Diagnosis(
            level="warning",
            subject="device",
            found=f"{device.name}, though there is an NVIDIA driver: torch is built without CUDA, or does not fit the driver",
            remedy="install torch for your driver's CUDA (pytorch.org/get-started); in a container, pass the GPU on (--gpus all)",
        )
    return diagnoses
