from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from autoseg.arrays import Float32Array
from autoseg.conversion.phantom import make_phantom_task
from autoseg.images import read_image, write_image
from autoseg.planning.near_copies import NEAR
from autoseg.planning.small_look import small_look
from autoseg.planning.verification import verify_dataset


def noisy(data: Float32Array) -> Float32Array:
    return data + np.random.default_rng(0).normal(0, 0.3 * data.std(), data.shape).astype(np.float32)


PLANTED = {
    "in noise": noisy,
    "smoothed": lambda data: ndimage.gaussian_filter(data, 1),
    "resampled": lambda data: ndimage.zoom(data, 0.8, order=1),
    "moved by a voxel": lambda data: np.roll(data, 1, 1),
    "inverted": lambda data: data.max() - data,
    "in another contrast": lambda data: (data - data.min()) ** 0.7,
}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantom_task(tmp_path_factory.mktemp("raw"), "Task001_Phantom", cases=8, test_cases=1)


def data_of(task: Path, case: str) -> Float32Array:
    data: Float32Array = read_image(task / "imagesTr" / f"{case}_0000.nii.gz").data.astype(np.float32)
    return data


@pytest.mark.parametrize("change", PLANTED, ids=str)
def test_an_image_looks_like_itself_whatever_is_done_to_it_and_unlike_others(task: Path, change: str) -> None:
    data = data_of(task, "phantom_002")
    look, changed = small_look(data), small_look(PLANTED[change](data))
    other = small_look(data_of(task, "phantom_003"))
    assert look is not None and changed is not None and other is not None
    assert abs(float(look @ changed)) > NEAR + 0.01 > abs(float(look @ other))


def test_one_slice_and_one_value_are_no_trouble() -> None:
    assert small_look(np.ones((3, 4, 5), np.float32)) is None
    look = small_look(np.random.default_rng(0).normal(size=(1, 40, 30)).astype(np.float32))
    assert look is not None and look.size == 256
    assert small_look(np.full((2, 3, 4), np.nan, np.float32)) is None


def near(folder: Path, splits: Path | None = None) -> list[str]:
    report = verify_dataset(folder, workers=1, splits=splits)
    return [str(finding) for finding in report.warnings if "nearly the same" in finding.text]


def test_planted_leaks_are_named_across_folds_and_between_training_and_test(tmp_path: Path) -> None:
    folder = make_phantom_task(tmp_path, "Task001_Phantom", cases=7, test_cases=1)
    assert near(folder) == []
    for copy, original in (("imagesTr/phantom_003", "phantom_001"), ("imagesTs/phantom_007", "phantom_000")):
        image = read_image(folder / "imagesTr" / f"{original}_0000.nii.gz")
        write_image(folder / f"{copy}_0000.nii.gz", noisy(image.data.astype(np.float32)), image.geometry)
        if "Tr" in copy:
            label = read_image(folder / "labelsTr" / f"{original}.nii.gz")
            write_image(folder / "labelsTr" / f"{Path(copy).name}.nii.gz", label.data, label.geometry)

    leaked, tested = near(folder)
    assert leaked.startswith("case phantom_003: looks nearly the same as case phantom_001 (correlation 0.9")
    assert leaked.endswith("; keep both in one fold, as images of one patient, or leave one out")
    assert tested.startswith("test case phantom_007: looks nearly the same as case phantom_000")

    splits = tmp_path / "splits_final.json"
    names = [f"phantom_{number:03d}" for number in range(7)]
    apart = [{"train": names[2:], "val": names[:2]}]
    splits.write_text(json.dumps(apart))
    assert "one trains and the other validates in fold 0" in near(folder, splits)[0]
    splits.write_text(json.dumps([{"train": names[4:], "val": names[:4]}]))
    assert len(near(folder, splits)) == 1  # the test case
    (folder / "metadata.tsv").write_text(
        "case\tpatient\n" + "".join(f"{name}\t{'p' if name[-1] in '13' else name}\n" for name in names)
    )
    assert len(near(folder)) == 1


def test_none_is_found_in_real_data(data_folder: Path) -> None:
    """All pairs of 200 crops of the hippocampus, which resemble each other."""
    files = sorted((data_folder / "Task04_Hippocampus" / "imagesTr").glob("h*.nii.gz"))
    looks = np.stack([look for path in files if (look := small_look(read_image(path).data)) is not None])
    likeness = np.abs(looks @ looks.T) - np.eye(len(looks))
    assert len(looks) == 200 and likeness.max() < 0.9 < NEAR
