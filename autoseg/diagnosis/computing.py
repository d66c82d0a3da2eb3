"""Which device computes, in which format, and why."""

from __future__ import annotations

import time
from pathlib import Path

from autoseg.diagnosis.finding import Finding
from autoseg.errors import in_bytes

DRIVER = Path("/proc/driver/nvidia/version")
"""There where NVIDIA's driver is loaded (its README, "proc interface")."""

SLOW_IMPORT_SECONDS = 20.0


def check_torch() -> list[Finding]:
    """Import torch."""
    started = time.monotonic()
    from autoseg.networks.devices import torch_version

    seconds = time.monotonic() - started
    found = f"{torch_version()}, imported in {seconds:.1f} s"
    if seconds > SLOW_IMPORT_SECONDS:
        remedy = "install Python's packages on a local disk: every command that trains or predicts waits for this"
        return [Finding(level="warning", subject="torch", found=found, remedy=remedy)]
    return [Finding(level="ok", subject="torch", found=found)]


def check_device(driver: Path = DRIVER) -> list[Finding]:
    """The device that is chosen when none is named, its format of numbers, and a GPU that torch does not see."""
    from autoseg.networks.devices import describe_device, has_cuda

    device = describe_device()
    memory = "" if device.free_memory is None else f", {in_bytes(device.free_memory)} free"
    findings = [
        Finding(level="ok", subject="device", found=f"{device.name} ({device.model}){memory}"),
        Finding(level="ok", subject="precision", found=f"{device.precision}: {device.reason}"),
    ]
    if driver.exists() and not has_cuda():
        findings[0] = Finding(
            level="warning",
            subject="device",
            found=f"{device.name}, though there is an NVIDIA driver: torch is built without CUDA, or does not fit the driver",
            remedy="install torch for your driver's CUDA (pytorch.org/get-started); in a container, pass the GPU on (--gpus all)",
        )
    return findings
