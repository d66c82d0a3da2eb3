"""Images too large to be held: prepared, predicted and written slab by slab, to the bit as those that are held."""

from __future__ import annotations

import logging
import tracemalloc
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_runs import asked

from autoseg.dataset.raw_cases import RawCase, read_case
from autoseg.dataset.stored_cases import stored_case
from autoseg.errors import CasesFailed, DatasetError
from autoseg.images import read_label
from autoseg.inference.cases import predict_cases
from autoseg.inference.found_cases import find_cases
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation
from autoseg.machine.disk_arrays import let_go, zeros_on_disk
from autoseg.planning.appearance import measure_appearance, measure_surveyed
from autoseg.plans import IntensityRule, IntensityStatistics, Plans
from autoseg.preprocessing.slabs import SurveyedCase, survey_case, why_held

RANDOM = np.random.default_rng(0)
SHAPE = (37, 21, 24)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One channel with an empty border, and two of floats."""
    folder = tmp_path_factory.mktemp("images")
    one = RANDOM.integers(1, 4, SHAPE).astype(np.uint8) * 100
    one[:5] = one[:, -3:] = one[:, :, :2] = 0
    _write(folder / "one.h5", one)
    _write(folder / "two.h5", np.stack([one, RANDOM.normal(1e4, 1, SHAPE)]).astype(np.float32))
    return folder


def _write(path: Path, values: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", data=values, chunks=True, compression="gzip").attrs["element_size_um"] = (2, 1, 1)


def normalised(plans: Plans, *names: str) -> Plans:
    (name,) = plans.configurations
    rules = tuple(IntensityRule(name=one, masked=False) for one in names)
    plan = replace(plans.configuration(name), intensities=rules)
    known = IntensityStatistics(
        mean=150, sd=60, median=150, minimum=0, maximum=300, percentile_00_5=50, percentile_99_5=250
    )
    statistics = tuple(known for _ in names) if "CT" in names else None
    return replace(plans, configurations={name: plan}, intensities=statistics)


@pytest.mark.parametrize(
    ("order", "spacing"),
    [
        *product([(0, 1, 2), (2, 0, 1)], [(2e-3, 1e-3, 1e-3), (1.3e-3, 1.5e-3, 0.8e-3), (3e-3, 2e-3, 3e-3)]),
        ((0, 1, 2), (7e-3, 1e-3, 1e-3)),
    ],
)
@pytest.mark.parametrize("rules", [("nonCT", "CT"), ("noNorm", "min_max"), ("max_abs", "nonCT"), ("rgb", "rgb")])
def test_a_case_is_prepared_in_slabs_as_it_is_whole(
    make: Any, images: Path, order: Any, spacing: Any, rules: tuple[str, ...]
) -> None:
    grid = tuple(spacing[axis] for axis in order)
    plans = normalised(make.plans(channels=("a", "b"), spacing=grid, order=order), *rules)
    predictor = Predictor(make.model(plans), Computation(device="cpu"))
    (case,) = find_cases([images / "two.h5"], 2)

    whole = predictor.prepare(read_case(case))
    slabs = predictor.prepare_slabs(survey_case(stored_case(case)))

    assert slabs.properties == whole.properties
    assert slabs.data.shape == whole.data.shape
    everything = tuple(slice(0, side) for side in whole.data.shape)
    np.testing.assert_array_equal(slabs.data[everything], whole.data)
    np.testing.assert_array_equal(slabs.data[:1, 3:9, 2:5, 1:7], whole.data[:1, 3:9, 2:5, 1:7])


@pytest.mark.parametrize("patch", [(8, 8, 8), (8, 32, 8), (16, 16)])
@pytest.mark.parametrize("spacing", [(2e-3, 1e-3, 1e-3), (1.3e-3, 1.5e-3, 0.8e-3)])
def test_predictions_and_what_the_guard_sees_are_the_same(
    make: Any, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, patch: Any, spacing: Any
) -> None:
    caplog.set_level(logging.INFO)
    predictor = Predictor(make.model(make.plans(patch=patch, spacing=spacing)), Computation(device="cpu"))
    (case,) = find_cases([images / "one.h5"], 1)
    seen: list[RawCase | SurveyedCase] = []

    for name, held in (("whole", 2**30), ("slabs", 1000)):
        run = asked([case], [tmp_path / name / "one.h5"], most_held=held)
        predict_cases(predictor, replace(run, guard=seen.append))

    held, surveyed = seen
    assert isinstance(held, RawCase) and isinstance(surveyed, SurveyedCase)
    assert measure_surveyed(surveyed) == measure_appearance(held.data, held.geometry)
    found = [read_label(tmp_path / name / "one.h5").data for name in ("whole", "slabs")]
    assert 0 < found[0].mean() < 1 and found[0].shape == SHAPE
    np.testing.assert_array_equal(*found)
    said = [one.message for one in caplog.records if one.message.startswith("case one: ")]
    assert said == [
        "case one: 75 kB in single precision, more than 1 kB, so it is read, predicted and written slab by slab, "
        "to the same result"
    ]


def test_what_is_not_a_matter_of_planes_is_held(make: Any, images: Path, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    plans = make.plans(spacing=(2e-3, 1e-3, 1e-3))
    geometry = stored_case(find_cases([images / "one.h5"], 1)[0]).geometry
    assert why_held(plans, "3d_fullres", geometry) == ""
    assert why_held(normalised(plans, "robust"), "3d_fullres", geometry) == (
        "MRI is normalised by its voxels all together"
    )
    assert why_held(make.plans(spacing=(1e-3, 1e-3, 7e-3)), "3d_fullres", geometry) == (
        "its thickest slices do not lie along the first axis"
    )
    predictor = Predictor(make.model(plans), Computation(device="cpu", mode="fast"))
    predict_cases(predictor, asked(find_cases([images / "one.h5"], 1), [tmp_path / "a.h5"], most_held=1))
    assert "so it is held whole, as mode fast takes labels that are resampled all together" in caplog.text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full(SHAPE, np.nan, np.float32), "channel 0 holds NaN or infinite intensities; replace them"),
        (np.zeros(SHAPE, np.uint8), "every voxel of the image is zero, so there is nothing to segment"),
        (
            np.where(np.arange(np.prod(SHAPE)) == 7, 1e30, RANDOM.normal(0, 1, np.prod(SHAPE))).reshape(SHAPE),
            "channel 0 holds values so large, or so far from all others, that these look alike in single precision",
        ),
    ],
)
def test_what_cannot_be_computed_with_is_refused(make: Any, tmp_path: Path, values: np.ndarray, said: str) -> None:
    _write(tmp_path / "one.h5", values)
    (case,) = find_cases([tmp_path / "one.h5"], 1)
    with pytest.raises(DatasetError, match=said):
        survey_case(stored_case(case))
    predictor = Predictor(make.model(make.plans()), Computation(device="cpu"))
    with pytest.raises(CasesFailed, match=said):
        predict_cases(predictor, asked([case], [tmp_path / "out.h5"], most_held=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5"]


def test_a_survey_holds_some_planes_at_a_time(tmp_path: Path) -> None:
    shape = (640, 256, 256)
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("raw", shape, "u1", chunks=(1, 256, 256), fillvalue=7)
    (case,) = find_cases([tmp_path / "large.h5"], 1)
    tracemalloc.start()
    try:
        assert survey_case(stored_case(case)).crop == tuple((0, side) for side in shape)
        assert tracemalloc.get_traced_memory()[1] < np.prod(shape) * 0.9
    finally:
        tracemalloc.stop()


def test_an_array_on_disk_keeps_what_was_let_go(tmp_path: Path) -> None:
    array = zeros_on_disk((3, 4096), np.uint16, tmp_path)
    assert not array.any() and not list(tmp_path.iterdir())
    array[1] = 7
    let_go(array[1:])
    assert array.sum() == 7 * 4096
    let_go(np.zeros(3))
