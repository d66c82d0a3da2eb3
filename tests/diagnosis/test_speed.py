"""What is measured is measured, and what is said of it follows from the numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from small_plans import changed

from autoseg.diagnosis import disk_speed
from autoseg.diagnosis.disk_speed import DiskSpeed, check_disk_speed, judge_disk, measure_disk
from autoseg.diagnosis.speed import Speed, judge_speed, measure_speed
from autoseg.planning import Planner3D
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.plans import IntensityRule, IntensityStatistics
from autoseg.training.trial import step_operations, trial_plan

GPU = Speed(
    plan=trial_plan(),
    device="cuda",
    precision="bf16",
    step_seconds=0.065,
    operations=88e12,
    is_whole=True,
    batch_seconds=0.05,
    workers=14,
)


def test_a_gpu_that_is_fed_and_fast_enough_is_well() -> None:
    step, batches, training = judge_speed(GPU)

    assert step.found == (
        "2 patches of 128x128x128 voxels in a U-Net of 32 to 320 channels, forward and backward in bf16: 0.065 s, "
        "88 trillion operations a second"
    )
    assert batches.found == "14 workers make such a batch in 0.05 s, so the network need not wait"
    assert training.found == "an epoch of 250 batches takes about 17 s, the usual 1000 take 4.8 h"  # 266.7 x 0.065 s
    assert {one.level for one in (step, batches, training)} == {"ok"}


def test_what_a_gpu_varies_takes_its_own_time() -> None:
    step, batches, training = judge_speed(replace(GPU, varying_seconds=0.01, batch_seconds=0.07))

    assert step.found.endswith("88 trillion operations a second; varied there before, in 0.01 s")
    assert batches.level == "ok", "0.075 s on the device"
    assert training.found == "an epoch of 250 batches takes about 20 s, the usual 1000 take 5.6 h"  # 266.7 x 0.075 s


def test_workers_that_are_slower_than_the_network_are_warned_of() -> None:
    _, batches, training = judge_speed(replace(GPU, batch_seconds=0.2, workers=1))

    assert (batches.level, batches.found) == (
        "warning",
        "1 worker makes such a batch in 0.2 s: the network will wait 68 % of the time",
    )
    assert batches.remedy.startswith("ask for more cores, or choose a trainer that varies images less")
    assert training.found == "an epoch of 250 batches takes about 53 s, the usual 1000 take 14.8 h"


def test_a_training_of_weeks_is_warned_of_with_one_that_ends_within_a_day() -> None:
    step, _, training = judge_speed(replace(GPU, device="cpu", step_seconds=10.0, is_whole=False))

    assert step.found.endswith("88 trillion operations a second (measured on a smaller patch)")
    assert (training.level, training.found) == (
        "warning",
        "an epoch of 250 batches takes about 44 min, the usual 1000 take 31 days",
    )
    assert training.remedy == "train on a GPU, or shorter: `epochs=32` takes a day"
    on_gpu = judge_speed(replace(GPU, step_seconds=1.0))[2]
    assert on_gpu.remedy == "`epochs=324` takes a day"


def test_small_networks_are_trained_and_their_batches_made() -> None:
    plan = trial_plan((32, 32, 32), batch_size=2, levels=3, features=4, max_features=16)
    tried = trial_plan((16, 16, 16), batch_size=1, levels=3, features=4, max_features=16)

    speed = measure_speed(plan, tried, (40, 40, 40), seconds=0.1)

    assert speed.step_seconds * speed.operations == pytest.approx(step_operations(plan, 1))
    assert not speed.is_whole and speed.batch_seconds > 0 and speed.workers >= 1
    assert len(judge_speed(speed)) == 3


def test_what_is_timed_is_what_is_planned_for_large_cases() -> None:
    cases = tuple(f"case_{number}" for number in range(20))
    values = IntensityStatistics(mean=1, sd=1, median=1, minimum=0, maximum=2, percentile_00_5=0, percentile_99_5=2)
    fingerprint = DatasetFingerprint(
        channels=("MRI",),
        labels=("background", "shell", "core"),
        cases=cases,
        spacings=((1.0, 1.0, 1.0),) * len(cases),
        shapes=((160, 160, 160),) * len(cases),
        kept_fractions=(1.0,) * len(cases),
        intensities=(values,),
    )
    plans = Planner3D(fingerprint=fingerprint, dataset="Task900_Trial").plan()

    planned = plans.configuration("3d_fullres")
    assert (
        changed(planned, median_shape=(128, 128, 128), intensities=(IntensityRule(name="nonCT"),), cost=0)
        == trial_plan()
    )


def test_a_disk_is_written_and_read_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_speed, "PIECES", 1)

    speed = measure_disk(tmp_path)
    (diagnosis,) = check_disk_speed([tmp_path / "preprocessed", tmp_path / "results"])

    assert speed.writing > 0 and speed.reading > 0
    assert re.match(rf"writes \d+ MB and reads \d+ MB a second where {tmp_path} lies", diagnosis.found)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_slower_than_a_training_reads_is_warned_of() -> None:
    slow = DiskSpeed(writing=90e6, reading=110e6, is_from_disk=True)

    found = judge_disk("/data", slow, wanted=250e6)
    assert (found.level, found.found) == (
        "warning",
        "writes 90 MB and reads 110 MB a second where /data lies; a training here reads up to 250 MB where memory does "
        "not hold its cases",
    )
    assert found.remedy.startswith("prepare on a local disk (AUTOSEG_PREPROCESSED)")
    assert judge_disk("/data", slow, wanted=20e6).level == "ok"
    unseen = judge_disk("/data", replace(slow, is_from_disk=False), wanted=20e6)
    assert unseen.found.endswith("where /data lies, as far as memory lets it be seen")


def test_a_place_that_takes_no_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "results").write_bytes(b"")

    (diagnosis,) = check_disk_speed([tmp_path / "results"])
    assert (diagnosis.level, diagnosis.found) == ("fault", f"{tmp_path}/results: Not a directory")


def test_a_full_disk_is_not_filled_further(small_disk: object) -> None:
    disk = small_disk(65_536)  # type: ignore[operator]

    (diagnosis,) = check_disk_speed([disk])
    assert (diagnosis.level, diagnosis.found) == ("warning", f"not measured where {disk} lies, where 66 kB are free")
    assert list(disk.iterdir()) == []
