"""Measuring a dataset, and the file it is kept in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import autoseg
from autoseg.dataset import LARGEST_LABEL, Case, Dataset, Exclusive, read_dataset
from autoseg.errors import CasesFailed, DatasetError
from autoseg.geometry import Geometry
from autoseg.images import read_image, whole_files, write_image
from autoseg.planning import Planner2D, Planner3D
from autoseg.planning.appearance import Appearance, IntensityRange
from autoseg.planning.fingerprint import (
    DatasetFingerprint,
    extract_fingerprint,
    load_fingerprint,
    measure_case,
    save_fingerprint,
    single_slice_axes,
    summarise_intensities,
)
from autoseg.plans import IntensityStatistics

MakeFingerprint = Callable[..., DatasetFingerprint]
MakeTask = Callable[..., Path]

STATISTICS = IntensityStatistics(
    mean=1.5, sd=0.25, median=1.25, minimum=-3.0, maximum=9.0, percentile_00_5=-2.5, percentile_99_5=8.5
)


UNIT = Geometry(spacing=(1.0, 1.0, 1.0))
RANGE = IntensityRange(
    percentile_00_5=-1.0,
    percentile_05=0.5,
    percentile_25=1.0,
    median=2.0,
    percentile_75=3.5,
    percentile_95=4.0,
    percentile_99_5=5.0,
)


class TestMeasuring:
    def test_a_case_by_hand(self) -> None:
        data = np.zeros((2, 4, 5, 6), np.float32)
        data[0, 1:4, 0:5, 2:5] = np.arange(45).reshape(3, 5, 3) + 1
        data[1] = 10 * data[0]
        labels = np.zeros((4, 5, 6), np.int16)
        labels[1:3, 0:5, 2:5] = 1
        labels[3, 0:5, 2:5] = 2

        geometry = Geometry(spacing=(3.0, 1.0, 0.5), direction=(0, 1, 0, 1, 0, 0, 0, 0, -1))
        measured = measure_case(data, labels, geometry)

        assert (measured.geometry, measured.shape) == (geometry, (3, 5, 3))
        assert measured.kept_fraction == 45 / 120
        np.testing.assert_array_equal(measured.foreground, [[1, 11, 21, 31, 41], [10, 110, 210, 310, 410]])
        assert measured.foreground.dtype == np.float32
        percentiles = [1 + 44 * share for share in (0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995)]
        for scale, found in zip((1, 10), measured.ranges, strict=True):
            assert found is not None
            assert dataclasses.astuple(found) == pytest.approx([scale * value for value in percentiles])

    def test_background_does_not_count(self) -> None:
        data = np.full((1, 3, 3, 3), 7, np.float32)
        assert measure_case(data, np.zeros((3, 3, 3), np.int16), UNIT).foreground.shape == (1, 0)

    def test_statistics_pool_the_cases(self) -> None:
        values = np.arange(1001, dtype=np.float32)
        found = summarise_intensities([values[:900], values[900:], np.empty(0, np.float32)])

        assert dataclasses.astuple(found) == pytest.approx(
            (500.0, np.sqrt((1001**2 - 1) / 12), 500.0, 0.0, 1000.0, 5.0, 995.0), rel=1e-9
        )

    def test_statistics_of_large_offsets_keep_their_deviation(self) -> None:
        values = np.tile(np.array([99_999, 100_001], np.float32), 200_000)
        assert summarise_intensities([values]).sd == pytest.approx(1.0, rel=1e-9)

    def test_values_that_are_no_numbers_are_refused(self) -> None:
        data = np.ones((2, 3, 3, 3), np.float32)
        data[1, 0, 0, 0] = np.nan
        with pytest.raises(DatasetError) as caught:
            measure_case(data, np.ones((3, 3, 3), np.int16), UNIT)
        assert str(caught.value) == (
            "channel 1 holds NaN or infinity inside the foreground; run autoseg_verify_dataset"
        )


class TestExtraction:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_task_on_disk(self, make_task: MakeTask, workers: int) -> None:
        folder = make_task(
            cases=3, spacing=(2.5, 0.5, 0.75), channels=("CT", "MRI"), labels=("background", "a", "b"), border=2
        )
        found = extract_fingerprint(read_dataset(folder), workers=workers)

        assert (found.channels, found.labels) == (("CT", "MRI"), ("background", "a", "b"))
        assert found.cases == ("case_000", "case_001", "case_002")
        assert found.spacings == ((2.5, 0.5, 0.75),) * 3
        assert found.shapes == ((8, 12, 10),) * 3
        assert found.kept_fractions == (8 * 12 * 10 / (12 * 16 * 14),) * 3
        for channel, statistics in enumerate(found.intensities):
            values = np.concatenate([sampled_foreground(folder, case, channel) for case in found.cases])
            assert statistics is not None
            expected = (values.mean(), values.std(), np.median(values), values.min(), values.max())
            percentiles = np.percentile(values, (0.5, 99.5))
            assert dataclasses.astuple(statistics) == pytest.approx((*expected, *percentiles), rel=1e-6)

        assert found.directions == (Geometry(spacing=(1, 1, 1)).direction,) * 3
        for case, ranges in zip(found.cases, found.intensity_ranges, strict=True):
            for channel, one in enumerate(ranges):
                image = sitk.GetArrayFromImage(sitk.ReadImage(folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz"))
                assert one is not None
                assert dataclasses.astuple(one) == pytest.approx(
                    np.percentile(image[image != 0], (0.5, 5, 25, 50, 75, 95, 99.5)), rel=1e-6
                )

    def test_a_broken_file_is_named_with_its_case(self, make_task: MakeTask) -> None:
        folder = make_task("Task002_Broken", cases=3)
        (folder / "imagesTr" / "case_001_0000.nii.gz").write_bytes(b"no image")

        with pytest.raises(CasesFailed, match=r"(?s)1 of 3 cases failed.*case_001"):
            extract_fingerprint(read_dataset(folder), workers=1)

    def test_a_dataset_without_foreground_is_refused(self, make_task: MakeTask) -> None:
        folder = make_task("Task003_Empty", cases=2)
        for path in (folder / "labelsTr").iterdir():
            label = sitk.ReadImage(path)
            sitk.WriteImage(label * 0, path)

        with pytest.raises(DatasetError) as caught:
            extract_fingerprint(read_dataset(folder), workers=1)
        assert str(caught.value) == (
            "Task003_Empty: no training case has a label above background, so there is nothing to learn; "
            "check the files in labelsTr"
        )

    def test_more_labels_than_can_be_prepared_are_not_planned(self, make_task: Any, tmp_path: Path) -> None:
        folder = make_task("Task003_Many", parent=tmp_path)
        description = json.loads((folder / "dataset.json").read_text())
        description["labels"] = {str(value): f"label {value}" for value in range(LARGEST_LABEL + 2)}
        (folder / "dataset.json").write_text(json.dumps(description))

        with pytest.raises(DatasetError, match="32768 above background, and 32767 can be used; join labels"):
            read_dataset(folder)
        with pytest.raises(DatasetError, match="32768 above background, and 32767 can be used; join labels"):
            Exclusive(names=tuple(description["labels"].values()))
        assert len(Exclusive(names=tuple(description["labels"].values())[:-1]).scored) == LARGEST_LABEL

    def test_a_case_that_cannot_be_computed_with_is_not_planned(self, make_task: Any, tmp_path: Path) -> None:
        folder = make_task("Task003_Odd", parent=tmp_path)
        path = folder / "imagesTr" / "case_001_0000.nii.gz"
        image = read_image(path)
        change = image.data.astype(np.float32)
        change[0, 0, 0] = 3e38
        write_image(path, change, image.geometry)

        with pytest.raises(CasesFailed, match=r"(?s)1 of 5 cases failed.*case_001: .*holds 3e\+38 at voxel \(0, 0, 0;"):
            extract_fingerprint(read_dataset(folder), workers=1)

    def test_hippocampus_is_planned_as_published(self, data_folder: Path) -> None:
        root = data_folder / "Task04_Hippocampus"
        labels = sorted((root / "labelsTr").glob("hippocampus_*.nii.gz"))
        dataset = Dataset(
            name="Task004_Hippocampus",
            folder=root,
            channels=("MRI",),
            target=Exclusive(names=("background", "Anterior", "Posterior")),
            training=tuple(
                Case(identifier=path.name[:-7], images=whole_files([root / "imagesTr" / path.name]), segmentation=path)
                for path in labels
            ),
        )
        fingerprint = extract_fingerprint(dataset, workers=2)
        assert len(fingerprint.cases) == 200

        found = {
            one.name: (
                one.sampling.patch_size,
                one.batch_size,
                one.grid.spacing,
                one.grid.median_shape,
                one.topology.divisor,
            )
            for kind in (Planner3D, Planner2D)
            for one in kind(fingerprint=fingerprint, dataset=dataset.name).plan().configurations.values()
        }
        assert found == {
            "3d_fullres": ((40, 56, 40), 7, (1.0, 1.0, 1.0), (36, 50, 35), (8, 8, 8)),
            "2d": ((56, 40), 281, (1.0, 1.0, 1.0), (36, 50, 35), (8, 8)),
        }


def sampled_foreground(folder: Path, case: str, channel: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Every tenth foreground voxel as SimpleITK reads it; in these tasks the zero border holds no label."""
    image = sitk.GetArrayFromImage(sitk.ReadImage(folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz"))
    label = sitk.GetArrayFromImage(sitk.ReadImage(folder / "labelsTr" / f"{case}.nii.gz"))
    return image[label > 0][::10].astype(np.float64)


class TestFile:
    def test_what_is_written_is_read(self, make_fingerprint: MakeFingerprint, tmp_path: Path) -> None:
        plain = make_fingerprint([(1.1, 0.3, 0.7)] * 2, [(5, 6, 7), (8, 9, 10)], channels=("CT", "T2"), kept=0.25)
        fingerprint = dataclasses.replace(plain, intensities=(STATISTICS, None))
        save_fingerprint(fingerprint, tmp_path / "fingerprint.json")

        assert load_fingerprint(tmp_path / "fingerprint.json") == fingerprint

    def test_what_new_images_are_compared_with_is_kept_for_every_case(
        self, make_fingerprint: MakeFingerprint, tmp_path: Path
    ) -> None:
        plain = make_fingerprint([(2, 1, 1)] * 2, [(5, 6, 7), (8, 9, 10)], channels=("CT", "T2"))
        fingerprint = dataclasses.replace(
            plain,
            directions=((1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, -1, 0, 1, 0, 1, 0, 0)),
            intensity_ranges=((RANGE, RANGE), (RANGE, None)),
        )
        save_fingerprint(fingerprint, tmp_path / "fingerprint.json")

        assert load_fingerprint(tmp_path / "fingerprint.json") == fingerprint
        content = json.loads((tmp_path / "fingerprint.json").read_text())
        assert content["directions"][1] == [0, 0, -1, 0, 1, 0, 1, 0, 0]
        assert content["intensity_ranges"][1] == [dataclasses.asdict(RANGE), None]
        assert fingerprint.appearances[1] == Appearance(
            spacing=(2.0, 1.0, 1.0), shape=(8, 9, 10), direction=(0, 0, -1, 0, 1, 0, 1, 0, 0), ranges=(RANGE, None)
        )
        assert plain.appearances[1] == Appearance(spacing=(2.0, 1.0, 1.0), shape=(8, 9, 10), direction=None, ranges=())

    def test_the_keys_of_the_file(self, make_fingerprint: MakeFingerprint, tmp_path: Path) -> None:
        plain = make_fingerprint([(3, 1, 1)], [(5, 6, 7)], channels=("CT", "T2"), foreground=2)
        save_fingerprint(dataclasses.replace(plain, intensities=(STATISTICS, None)), tmp_path / "fingerprint.json")

        assert json.loads((tmp_path / "fingerprint.json").read_text()) == {
            "format": 1,
            "version": autoseg.__version__,
            "channels": ["CT", "T2"],
            "labels": ["background", "label 1", "label 2"],
            "cases": ["case_0"],
            "spacings": [[3.0, 1.0, 1.0]],
            "shapes": [[5, 6, 7]],
            "kept_fractions": [1.0],
            "intensities": [
                {
                    "mean": 1.5,
                    "std": 0.25,
                    "median": 1.25,
                    "min": -3.0,
                    "max": 9.0,
                    "percentile_00_5": -2.5,
                    "percentile_99_5": 8.5,
                },
                None,
            ],
        }

    def test_the_short_form(self, tmp_path: Path) -> None:
        path = write(tmp_path, SHORT)

        assert load_fingerprint(path) == DatasetFingerprint(
            channels=("MRI",),
            labels=("background", "label 1", "label 2"),
            cases=("case_0", "case_1"),
            spacings=((1.0, 1.0, 2.0), (1.0, 1.0, 3.0)),
            shapes=((4, 5, 6), (7, 8, 9)),
            kept_fractions=(1.0, 0.5),
            intensities=(None,),
        )


SHORT = {
    "kind": "drawn",
    "sizes": [[4, 5, 6], [7, 8, 9]],
    "spacings": [[1, 1, 2], [1, 1, 3.0]],
    "modalities": ["MRI"],
    "num_classes": 2,
    "size_reductions": [1.0, 0.5],
}
FULL = {
    "format": 1,
    "channels": ["MRI"],
    "labels": ["background", "organ"],
    "cases": ["a", "b"],
    "spacings": [[1, 1, 2], [1, 1, 3]],
    "shapes": [[4, 5, 6], [7, 8, 9]],
    "kept_fractions": [1, 0.5],
    "intensities": [None],
}
REFUSED = [
    ({**FULL, "format": 2}, "expected format 1, found 2"),
    ({**FULL, "mood": 1}, "fingerprint.json: wrong fields: unknown mood"),
    ({**SHORT, "mood": 1}, "fingerprint.json: wrong fields: unknown mood"),
    ({key: FULL[key] for key in FULL if key != "shapes"}, "fingerprint.json: wrong fields: missing shapes"),
    ({key: FULL[key] for key in FULL if key != "intensities"}, "fingerprint.json: wrong fields: missing intensities"),
    ({key: SHORT[key] for key in SHORT if key != "sizes"}, "fingerprint.json: wrong fields: missing sizes"),
    ({**FULL, "spacings": [[1, 1], [1, 1, 1]]}, "fingerprint.json.spacings[0]: expected 3 entries, found 2"),
    ({**FULL, "shapes": [[4, 5, 6], [7, 8.5, 9]]}, "fingerprint.json.shapes[1][1]: expected int, found 8.5"),
    ({**FULL, "spacings": [[1, 1, 2], [1, -1, 3]]}, "case b: the spacing must be positive, found (1.0, -1.0, 3.0)"),
    ({**FULL, "spacings": [[1, 0, 2], [1, 1, 3]]}, "case a: the spacing must be positive, found (1.0, 0.0, 2.0)"),
    ({**FULL, "shapes": [[4, 5, 0], [7, 8, 9]]}, "case a: every side must have 1 to 262144 voxels, found (4, 5, 0)"),
    (
        {**FULL, "kept_fractions": [1.5, 1]},
        "case a: the kept fraction must lie above 0 and at most at 1, found 1.5",
    ),
    ({**FULL, "kept_fractions": [1]}, "2 cases need as many entries in kept_fractions, found 1"),
    ({**FULL, "spacings": [[1, 1, 1]]}, "2 cases need as many entries in spacings, found 1"),
    ({**FULL, "intensities": []}, "1 channel needs as many entries in intensities, found 0"),
    ({**FULL, "cases": ["a", "a"]}, "a case is listed twice in the fingerprint"),
    ({**FULL, "channels": [], "intensities": []}, "a fingerprint needs at least one channel and one case"),
    ({**FULL, "labels": ["background"]}, "labels: declare the background and at least one more label"),
    ({**SHORT, "num_classes": 0}, "fingerprint.json.num_classes: expected 1 to 32767, found 0"),
    ({**SHORT, "num_classes": 10**9}, "fingerprint.json.num_classes: expected 1 to 32767, found 1000000000"),
    ({**FULL, "directions": [[1, 0, 0, 0, 1, 0, 0, 0, 1]]}, "2 cases need as many entries in directions, found 1"),
    ({**FULL, "directions": [[1, 0, 0], [0, 1, 0]]}, "fingerprint.json.directions[0]: expected 9 entries, found 3"),
    ({**FULL, "intensity_ranges": [[None]]}, "2 cases need as many entries in intensity_ranges, found 1"),
    (
        {**FULL, "likenesses": [[0.5], [0.5, 0.5]]},
        "every entry in likenesses needs one number for each channel",
    ),
    (
        {**FULL, "intensity_ranges": [[None], [None, None]]},
        "every entry in intensity_ranges needs one range for each channel",
    ),
    (
        {**FULL, "intensity_ranges": [[None], [{**dataclasses.asdict(RANGE), "median": 6.0}]]},
        "percentiles of intensities must ascend, found (-1.0, 0.5, 1.0, 6.0, 3.5, 4.0, 5.0)",
    ),
    ([1], "fingerprint.json: expected an object with named fields, found list"),
    (
        {**FULL, "intensities": [{"mean": 1.0}]},
        "fingerprint.json.intensities[0]: wrong fields: missing max, median, min, percentile_00_5, percentile_99_5, std",
    ),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DatasetError) as caught:
        load_fingerprint(path)
    assert str(caught.value) == f"{path}: {message}; correct it, or run autoseg_plan_and_preprocess again"


def test_a_file_that_is_not_there_or_no_json(tmp_path: Path) -> None:
    path = tmp_path / "fingerprint.json"
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        load_fingerprint(path)
    path.write_text("{")
    with pytest.raises(DatasetError, match="not valid JSON"):
        load_fingerprint(path)


def test_helpers_for_planners(make_fingerprint: MakeFingerprint) -> None:
    fingerprint = make_fingerprint([(1, 2, 3), (2, 2, 5), (3, 2, 7)], [(9, 1, 9), (8, 1, 1), (7, 1, 1)])

    assert fingerprint.spacing_percentile(75) == (2.5, 2.0, 6.0)
    assert single_slice_axes(fingerprint) == (1,)


def write(folder: Path, content: Any) -> Path:
    path = folder / "fingerprint.json"
    path.write_text(json.dumps(content))
    return path
