"""Workers, shared memory, images and the device are really tried."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import torch

from autoseg.diagnosis import trying
from autoseg.diagnosis.computing import check_device, check_torch
from autoseg.diagnosis.trying import check_images, check_shared_batches, check_workers
from autoseg.errors import StorageError
from autoseg.networks.precision import resolve_device, resolve_precision


def test_workers_are_started_and_timed() -> None:
    (finding,) = check_workers()
    assert finding.level == "ok"
    assert re.fullmatch(r"two processes started and answered, in \d\.\d\d s", finding.found)


def test_a_batch_goes_through_shared_memory() -> None:
    (finding,) = check_shared_batches()
    assert (finding.level, finding.found.partition(",")[0]) == (
        "ok",
        "a worker handed over 4 MB through shared memory",
    )


def fail() -> None:
    raise StorageError("a disk is full")


@pytest.mark.parametrize(("action", "found"), [(fail, "a disk is full"), (lambda: time.sleep(2), "no answer in 0 s")])
def test_workers_that_fail_or_hang_are_a_fault(action: trying.Callable[[], None], found: str) -> None:
    finding = trying._timed("workers", "done", action, trying.ONE_WORKER, 0.2)
    assert (finding.level, finding.found) == ("fault", found)
    assert finding.remedy.startswith("use one worker (-tl 1 -tf 1, --workers 1) and --num_workers 0")


def test_images_are_written_and_read() -> None:
    findings = check_images()
    assert [(one.level, one.subject) for one in findings] == [
        ("ok", ".nii.gz"),
        ("ok", ".nrrd"),
        ("ok", "temporary files"),
    ]


def test_an_image_that_comes_back_different_is_a_fault(tmp_path: Path) -> None:
    voxels = trying.np.arange(24, dtype="<i2").reshape(2, 3, 4)
    trying.write_image(tmp_path / "image.nii.gz", voxels, trying.GEOMETRY)

    assert trying._read_back(tmp_path / "image.nii.gz", voxels).level == "ok"
    other = trying._read_back(tmp_path / "image.nii.gz", voxels + 1)
    assert other.level == "fault" and "SimpleITK" in other.remedy


def test_the_device_is_the_one_that_training_takes_with_the_reason_for_its_precision(tmp_path: Path) -> None:
    device = resolve_device()
    precision = resolve_precision("auto", device).name
    (version,) = check_torch()
    findings = check_device(driver=tmp_path / "none")

    assert version.found.startswith(torch.__version__)
    assert findings[0].level == "ok" and findings[0].found.startswith(f"{device} (")
    assert findings[1].found.startswith(f"{precision}: this ")
    assert ("bfloat16" in findings[1].found) or device.type == "mps"


def test_a_driver_without_a_gpu_that_torch_sees_is_told(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    (tmp_path / "version").touch()

    device, _ = check_device(driver=tmp_path / "version")
    assert device.level == "warning"
    assert device.found.startswith("cpu, though there is an NVIDIA driver: torch is built without CUDA")
    assert "--gpus all" in device.remedy
