"""What this machine is at most, and how many times slower than the GPU whose times are expected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import torch

from autoseg.errors import ModelError
from autoseg.machine.resources import available_cores, available_memory, free_shared_memory
from autoseg.networks.devices import describe_device, torch_version
from autoseg.networks.precision import resolve_precision
from autoseg.words import counted, in_bytes
from gpu.checks import Check, Setting

H200_COPY, H200_PRODUCT = 4.2e12, 780e12
"""Bytes copied and bf16 operations a second of an H200; its data sheet says 4.8e12 and 989e12."""

COPIED, SIDE = 2**30, 8192
PRECISIONS = ("fp32", "bf16", "fp16")
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def checks(setting: Setting) -> Iterator[Check]:
    """Versions, memory and the two rates."""
    device = describe_device(setting.device)
    what = f"{device.name} ({device.model}), {device.precision}, torch {torch_version()}"
    yield Check(section="machine", what="device", measured=what)
    shared = free_shared_memory()
    memory = f"{counted(available_cores(), 'core')}, {in_bytes(available_memory())} free" + (
        "" if shared is None else f", {in_bytes(shared)} in /dev/shm"
    )
    yield Check(section="machine", what="beside it", measured=memory)
    if not setting.is_cuda:
        yield Check(section="machine", what="times", measured="no times are expected of this device, they are noted")
        return
    copied, multiplied = rates(torch.device(setting.device))
    yield Check(
        section="machine",
        what="rates",
        measured=f"copies {copied / 1e12:.2f} TB and does {multiplied / 1e12:.0f} trillion operations a second",
        expected=f"an H200: {H200_COPY / 1e12:.1f} and {H200_PRODUCT / 1e12:.0f}; times below are scaled by the larger ratio",
    )


def measured(setting: Setting) -> Setting:
    """The same setting, with times expected where a GPU is measured at full size."""
    if not setting.is_cuda or setting.is_small:
        return setting
    try:
        copied, multiplied = rates(torch.device(setting.device))
    except RuntimeError:  # which the section says, too
        return setting
    return replace(setting, slower=max(H200_COPY / copied, H200_PRODUCT / multiplied))


def rates(device: torch.device) -> tuple[float, float]:
    """Bytes read and written, and operations of matrix products in half precision where it has that, in a second."""
    source = torch.empty(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copying = seconds_of(lambda: target.copy_(source), device)
    dtype = HALF.get(resolve_precision("auto", device).name, torch.float32)
    matrix = torch.randn(SIDE, SIDE, device=device).to(dtype)
    return 2 * COPIED / copying, 2 * SIDE**3 / seconds_of(lambda: matrix @ matrix, device)


def known_precisions(device: str) -> list[str]:
    """That it has in hardware."""
    known = []
    for name in PRECISIONS:
        with suppress(ModelError):
            known.append(resolve_precision(name, torch.device(device)).name)
    return known


def seconds_of(action: Callable[[], object], device: torch.device, *, tries: int = 20, warm_up: int = 5) -> float:
    """Of one of several in a row, the device waited for at the end only."""
    for _ in range(warm_up):
        action()
    wait_for(device)
    begun = time.perf_counter()
    for _ in range(tries):
        action()
    wait_for(device)
    return (time.perf_counter() - begun) / tries


def wait_for(device: torch.device) -> None:
    """Until all that was handed to it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
