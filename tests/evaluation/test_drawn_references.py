"""True labels in DICOM: scored as the same labels in NIfTI are, by their names or their numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_dicom import rectangle, write_series, write_structures

from autoseg.dataset import Exclusive
from autoseg.errors import CasesFailed
from autoseg.evaluation.metrics import Counted
from autoseg.evaluation.summary import score_folder
from autoseg.images import write_image
from autoseg.images.dicom_seg import write_dicom_seg
from autoseg.images.formats.dicom import Series, grid_of, series_in

SHAPE = (4, 12, 10)
TRUE = np.zeros(SHAPE, np.uint8)
TRUE[1, 2:6, 3:7], TRUE[2, 7:10, 1:9] = 1, 2
FOUND = np.roll(TRUE, 1, axis=1)


@pytest.fixture
def series(tmp_path: Path) -> Series:
    """With a prediction beside it, which is wrong by one row."""
    write_series(tmp_path / "ct", np.zeros(SHAPE, int))
    (series,) = series_in(tmp_path / "ct")
    for folder in ("pred", "nifti", "dicom"):
        (tmp_path / folder).mkdir()
    write_image(tmp_path / "pred" / "a.nii.gz", FOUND, grid_of(series).geometry)
    write_image(tmp_path / "nifti" / "a.nii.gz", TRUE, grid_of(series).geometry)
    return series


def test_a_segmentation_is_scored_as_the_same_labels_in_nifti(tmp_path: Path, series: Series) -> None:
    write_dicom_seg(tmp_path / "dicom" / "a.dcm", TRUE, series, ("background", "left lung", "heart"))
    expected = score_folder(tmp_path / "pred", tmp_path / "nifti", Counted.of([1, 2]), workers=1)
    by_number = score_folder(tmp_path / "pred", tmp_path / "dicom", Counted.of([1, 2]), workers=1)
    assert expected.mean[1]["Dice"] == pytest.approx(0.75)
    assert by_number.mean == expected.mean
    assert by_number.cases[0].reference == str(tmp_path / "dicom" / "a.dcm")

    other = Exclusive(names=("background", "Heart", "Left_lung"))
    by_name = score_folder(tmp_path / "pred", tmp_path / "dicom", Counted.of_target(other), workers=1)
    assert by_name.mean[1]["Dice"] == 0.0  # what is called heart in the task is 2 in the segmentation
    write_image(tmp_path / "pred" / "a.nii.gz", np.array([0, 2, 1], np.uint8)[FOUND], grid_of(series).geometry)
    by_name = score_folder(tmp_path / "pred", tmp_path / "dicom", Counted.of_target(other), workers=1)
    assert by_name.mean == {1: expected.mean[2], 2: expected.mean[1]}


def test_a_structure_set_is_scored_by_the_names_of_the_task(tmp_path: Path, series: Series) -> None:
    curves = {"skin": [rectangle(0, (0, 9), (0, 9))], "heart": [rectangle(1, (1.5, 5.5), (2.5, 6.5))]}
    write_structures(tmp_path / "dicom" / "a.dcm", series.slices[0].series, curves)
    target = Exclusive(names=("background", "heart", "lung"))
    found = score_folder(tmp_path / "pred", tmp_path / "dicom", Counted.of_target(target), workers=1)
    assert found.mean[1]["Dice"] == pytest.approx(0.75)
    assert found.mean[2]["Dice"] == 0.0

    with pytest.raises(CasesFailed) as error:
        named = Counted.of_target(Exclusive(names=("background", "liver")))
        score_folder(tmp_path / "pred", tmp_path / "dicom", named, workers=1)
    assert "a.dcm: none of the labels is drawn in it: liver; there are skin, heart" in str(error.value)


def test_a_drawing_on_another_grid_is_named(tmp_path: Path, series: Series) -> None:
    write_dicom_seg(tmp_path / "dicom" / "a.dcm", TRUE, series, ("background", "one", "two"))
    write_image(tmp_path / "pred" / "a.nii.gz", FOUND[:, :-1], grid_of(series).geometry)
    with pytest.raises(CasesFailed, match=r"dicom/a\.dcm: lies on another grid than .*pred/a\.nii\.gz: its"):
        score_folder(tmp_path / "pred", tmp_path / "dicom", Counted.of([1, 2]), workers=1)
