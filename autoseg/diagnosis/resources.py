"""Memory, cores and shared memory, as far as a container or a scheduler leaves them to us."""

from __future__ import annotations

import os
from pathlib import Path

from autoseg.diagnosis.page import Diagnosis
from autoseg.machine.resources import (
    ROOT,
    available_cores,
    available_memory,
    core_quotas,
    free_shared_memory,
    memory_limits,
)
from autoseg.words import counted, in_bytes

LEAST_MEMORY = 2 * 10**9
"""Bytes. torch with its libraries and a small network."""

LITTLE_MEMORY = 8 * 10**9
"""Bytes. Plans are made for a GPU of 8 GB; a training on the processor takes about as much."""

LITTLE_SHARED_MEMORY = 10**9
"""Bytes. A worker has three batches there, each of two large 3D patches: 0.1 GB; docker gives 64 MB."""


def check_memory(root: Path = ROOT) -> list[Diagnosis]:
    """What is free, and which control group limits it."""
    free = available_memory(root)
    tightest = min(memory_limits(root), key=lambda limit: limit.free, default=None)
    found = f"{in_bytes(free)} free"
    if tightest is not None:
        found += f"; {in_bytes(tightest.limit)} are allowed by {tightest.group}"
    if free >= LITTLE_MEMORY:
        return [Diagnosis(level="ok", subject="memory", found=found)]
    remedy = "end other programs or ask for more" + (
        ", as the scheduler or docker run --memory allows; " if tightest is not None else "; "
    )
    remedy += "until then, `prepare_task(workers=1)`, `settings.workers=0`, and plans for less (`gpu_memory_target`)"
    return [
        Diagnosis(level="fault" if free < LEAST_MEMORY else "warning", subject="memory", found=found, remedy=remedy)
    ]


def check_cores(root: Path = ROOT) -> list[Diagnosis]:
    """How many cores may be used, and who says so."""
    cores, there = available_cores(root), os.cpu_count() or 1
    found = counted(cores, "core") if cores == there else f"{cores} of {counted(there, 'core')}"
    quotas = core_quotas(root)
    if quotas and round(min(quotas)) <= cores < there:
        found += f"; a control group allows the time of {min(quotas):g}"
    elif cores < there:
        found += ", by the affinity this process was given"
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) < cores:
        return [
            Diagnosis(
                level="warning",
                subject="cores",
                found=f"{found}, but OMP_NUM_THREADS={threads}",
                remedy="unset OMP_NUM_THREADS, or training and prediction on the processor leave cores idle",
            )
        ]
    return [Diagnosis(level="ok", subject="cores", found=found)]


def check_shared_memory(root: Path = ROOT) -> list[Diagnosis]:
    """Through which workers hand batches to the training."""
    free = free_shared_memory(root)
    if free is None:
        return [Diagnosis(level="ok", subject="shared memory", found="not limited on this system")]
    found = f"{in_bytes(free)} free in /dev/shm"
    if free >= LITTLE_SHARED_MEMORY:
        return [Diagnosis(level="ok", subject="shared memory", found=found)]
    remedy = "docker run --shm-size 8g (or --ipc=host); until then fewer workers prepare batches (`settings.workers`)"
    return [Diagnosis(level="warning", subject="shared memory", found=found, remedy=remedy)]
