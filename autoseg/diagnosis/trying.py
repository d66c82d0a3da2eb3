"""What can only be known by trying: whether workers start and answer, and whether images survive being written and read."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.diagnosis.page import Diagnosis
from autoseg.errors import AutosegError
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.machine.pool import run_on_cases

PATIENCE = 30.0
"""Seconds after which a worker is taken to hang."""

SLOW_SECONDS = 5.0
"""A worker starts in a hundredth of a second, where it is forked; where it is not, it imports all libraries anew."""

SHARED_NUMBERS = 10**6
"""4 MB, as a small batch has."""

ONE_WORKER = "use one worker (`workers=1`) and `settings.workers=0`, and ask whether this system allows processes"
NO_WORKER = "give the container more shared memory (docker run --shm-size 8g), or train with `settings.workers=0`"

GEOMETRY = Geometry(
    spacing=(2.5, 1.0, 0.5), origin=(3.0, -2.0, 1.0), direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
)
NRRD_HEADER = (
    b"NRRD0004\ntype: int16\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\n"
    b"space directions: (0.5,0,0) (0,1,0) (0,0,2.5)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
    b"space origin: (1,-2,3)\n\n"
)


def check_workers(patience: float = PATIENCE) -> list[Diagnosis]:
    """Start two processes that answer with their number."""
    return [_timed("workers", "two processes started and answered", _start_workers, ONE_WORKER, patience)]


def check_shared_batches(patience: float = PATIENCE) -> list[Diagnosis]:
    """Have a worker hand over a batch as the training does."""
    return [_timed("batches", "a worker handed over 4 MB through shared memory", _share_a_batch, NO_WORKER, patience)]


def check_images() -> list[Diagnosis]:
    """Write and read a small image, and read one of another format, in the system's folder for temporary files."""
    voxels = np.arange(24, dtype="<i2").reshape(2, 3, 4)
    with tempfile.TemporaryDirectory() as folder:
        compressed, other = Path(folder) / "image.nii.gz", Path(folder) / "image.nrrd"
        write_image(compressed, voxels, GEOMETRY)
        other.write_bytes(NRRD_HEADER + voxels.tobytes())
        found = [_read_back(path, voxels) for path in (compressed, other)]
    return [
        *found,
        Diagnosis(level="ok", subject="temporary files", found=f"can be written in {tempfile.gettempdir()}"),
    ]


def _read_back(path: Path, voxels: Any) -> Diagnosis:
    image = read_image(path)
    ending = "".join(path.suffixes)
    if np.array_equal(image.data, voxels) and not image.geometry.differences(GEOMETRY):
        return Diagnosis(level="ok", subject=ending, found="voxels and geometry come back as they were")
    return Diagnosis(
        level="fault",
        subject=ending,
        found=f"other voxels or another place in space come back: {image.geometry}",
        remedy="install numpy and autoseg again: pip install --force-reinstall",
    )


def _timed(subject: str, done: str, action: Callable[[], None], remedy: str, patience: float) -> Diagnosis:
    """Do something in a thread, which can be left alone when it hangs."""
    errors: list[str] = []

    def attempt() -> None:
        try:
            action()
        except (AutosegError, OSError, RuntimeError) as error:
            errors.append(str(error))

    started = time.monotonic()
    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(patience)
    seconds = time.monotonic() - started
    if thread.is_alive():
        return Diagnosis(level="fault", subject=subject, found=f"no answer in {patience:.0f} s", remedy=remedy)
    if errors:
        return Diagnosis(level="fault", subject=subject, found=errors[0], remedy=remedy)
    if seconds > SLOW_SECONDS:
        remedy = "the machine may be busy, or Python's packages lie on a slow disk; few workers then pay"
        return Diagnosis(level="warning", subject=subject, found=f"{done}, in {seconds:.1f} s", remedy=remedy)
    return Diagnosis(level="ok", subject=subject, found=f"{done}, in {seconds:.2f} s")


def _start_workers() -> None:
    answers = run_on_cases(_number_of_this_process, (0, 1), task="starting", workers=2)
    if os.getpid() in answers:
        raise AutosegError("what workers should do was done in this process")


def _number_of_this_process(_: int) -> int:
    return os.getpid()


def _share_a_batch() -> None:
    from autoseg.training.sampling.ahead import make_ahead

    for batch in make_ahead(_batch, [1], workers=1, ahead=1):
        if int(batch.sum()) != SHARED_NUMBERS:
            raise AutosegError("a batch came back changed")


def _batch(value: int, _note: Callable[[str], object]) -> Any:
    from autoseg.networks.devices import batch_of

    return batch_of(value, SHARED_NUMBERS)
