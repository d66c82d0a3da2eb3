"""Workers, shared memory, images and the device are really tried."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import torch

from autoseg.diagnosis import trying
from autoseg.diagnosis.computing import check_arithmetic, check_device, check_torch
from autoseg.diagnosis.trying import check_images, check_shared_batches, check_workers
from autoseg.errors import StorageError
from autoseg.networks.devices import cudnn_version, resolve_device
from autoseg.networks.precision import Precision, resolve_precision
from autoseg.networks.trial import half_speedup


def test_workers_are_started_and_timed() -> None:
    (diagnosis,) = check_workers()
    assert diagnosis.level == "ok"
    assert re.fullmatch(r"two processes started and answered, in \d\.\d\d s", diagnosis.found)


def test_a_batch_goes_through_shared_memory() -> None:
    (diagnosis,) = check_shared_batches()
    assert (diagnosis.level, diagnosis.found.partition(",")[0]) == (
        "ok",
        "a worker handed over 4 MB through shared memory",
    )


def fail() -> None:
    raise StorageError("a disk is full")


@pytest.mark.parametrize(("action", "found"), [(fail, "a disk is full"), (lambda: time.sleep(2), "no answer in 0 s")])
def test_workers_that_fail_or_hang_are_a_fault(action: trying.Callable[[], None], found: str) -> None:
    diagnosis = trying._timed("workers", "done", action, trying.ONE_WORKER, 0.2)
    assert (diagnosis.level, diagnosis.found) == ("fault", found)
    assert diagnosis.remedy.startswith("use one worker (`workers=1`) and `settings.workers=0`")


def test_images_are_written_and_read() -> None:
    diagnoses = check_images()
    assert [(one.level, one.subject) for one in diagnoses] == [
        ("ok", ".nii.gz"),
        ("ok", ".nrrd"),
        ("ok", "temporary files"),
    ]


def test_an_image_that_comes_back_different_is_a_fault(tmp_path: Path) -> None:
    voxels = trying.np.arange(24, dtype="<i2").reshape(2, 3, 4)
    trying.write_image(tmp_path / "image.nii.gz", voxels, trying.GEOMETRY)

    assert trying._read_back(tmp_path / "image.nii.gz", voxels).level == "ok"
    other = trying._read_back(tmp_path / "image.nii.gz", voxels + 1)
    assert other.level == "fault" and "install numpy and autoseg again" in other.remedy


def test_the_device_is_the_one_that_training_takes_with_the_reason_for_its_precision(tmp_path: Path) -> None:
    device = resolve_device()
    precision = resolve_precision("auto", device).name
    (version,) = check_torch()
    diagnoses = check_device(driver=tmp_path / "none")

    assert version.found.startswith(torch.__version__)
    assert diagnoses[0].level == "ok" and diagnoses[0].found.startswith(f"{device} (")
    assert diagnoses[1].found.startswith(f"{precision}: this ")
    assert ("bfloat16" in diagnoses[1].found) or device.type == "mps"


def test_a_driver_without_a_gpu_that_torch_sees_is_told(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    (tmp_path / "version").touch()

    device, _ = check_device(driver=tmp_path / "version")
    assert device.level == "warning"
    assert device.found.startswith("cpu, though there is an NVIDIA driver: torch is built without CUDA")
    assert "--gpus all" in device.remedy


def test_the_device_is_tried_before_anything_is_trained_on_it() -> None:
    (found,) = check_arithmetic()

    assert found.level == "ok"
    precision = resolve_precision("auto", resolve_device()).name
    assert re.fullmatch(
        rf"small U-Nets, forward and backward in {precision}, are off by \d+% from fp32 on the CPU", found.found
    )


def test_a_device_that_cannot_compute_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU for which torch was built without kernels says so at the first layer."""

    def no_kernel(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with")

    monkeypatch.setattr(torch, "conv_transpose3d", no_kernel)
    monkeypatch.setattr(torch.nn.functional, "conv_transpose3d", no_kernel)
    (found,) = check_arithmetic()

    assert found.level == "fault"
    assert found.found == (
        "a small U-Net cannot be computed: CUDA error: no kernel image is available for execution on the device"
    )
    assert found.remedy.startswith("what is trained here would be wrong: install another build of torch")


@pytest.mark.parametrize(
    ("number", "version"), [(91002, "9.10.2"), (90800, "9.8.0"), (91500, "9.15.0"), (8902, "8.9.2")]
)
def test_cudnn_is_named_as_its_releases_are(number: int, version: str) -> None:
    assert cudnn_version(number) == version


def test_half_precision_is_timed_against_fp32() -> None:
    assert half_speedup(torch.device("cpu"), Precision(name="fp32", device="cpu"), side=8) > 0
