from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.conversion.bids_derivative import write_derivative
from autoseg.conversion.bids_files import is_bids, read_tree
from autoseg.dataset import Exclusive, Masks
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.geometry import Geometry
from autoseg.images import write_image

LABELS = Exclusive(names=("background", "left", "right"))


def put(path: Path) -> None:
    write_image(path, np.ones((2, 3, 4), np.uint8), Geometry(spacing=(1.0, 1.0, 1.0)))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for stem in ("sub-01_ses-a_T1w", "sub-02_T1w", "sub-02_T2w"):
        subject = Path(*(part for part in stem.split("_") if part[:4] in ("sub-", "ses-")))
        put(tmp_path / "study" / subject / "anat" / f"{stem}.nii.gz")
    return tmp_path / "study"


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_predictions_lie_as_bids_has_derivatives(study: Path, tmp_path: Path) -> None:
    for stem in ("sub-01_ses-a_T1w", "sub-02_T1w", "sub-02_T2w"):
        put(tmp_path / "predictions" / f"{stem}.nii.gz")
    output = study / "derivatives" / "autoseg"
    assert len(write_derivative(tmp_path / "predictions", study, output, LABELS)) == 3

    assert names(output) == [
        "dataset_description.json",
        "dseg.tsv",
        "sub-01/ses-a/anat/sub-01_ses-a_desc-autoseg_dseg.nii.gz",
        "sub-02/anat/sub-02_desc-autosegT1w_dseg.nii.gz",
        "sub-02/anat/sub-02_desc-autosegT2w_dseg.nii.gz",
    ]
    assert (output / "dseg.tsv").read_text() == "index\tname\n0\tbackground\n1\tleft\n2\tright\n"
    described = json.loads((output / "dataset_description.json").read_text())
    assert (described["DatasetType"], described["GeneratedBy"][0]["Name"]) == ("derivative", "autoseg")
    assert is_bids(study) and "_desc-autoseg_dseg" in read_tree(study).label_suffixes
    with pytest.raises(WorkspaceError, match=r"there already: sub-01_ses-a_desc-autoseg_dseg\.nii\.gz"):
        write_derivative(tmp_path / "predictions", study, output, LABELS)
    assert len(write_derivative(tmp_path / "predictions", study, output, LABELS, overwrite=True)) == 3


def test_masks_have_a_file_each_and_several_channels_one_name(study: Path, tmp_path: Path) -> None:
    for name in ("axon-1", "myelin"):
        put(tmp_path / "predictions" / f"sub-02_{name}.nii.gz")
    write_derivative(tmp_path / "predictions", study, tmp_path / "out", Masks(names=("axon-1", "myelin")))
    assert names(tmp_path / "out") == [
        "dataset_description.json",
        "sub-02/anat/sub-02_desc-autoseg_label-axon1_mask.nii.gz",
        "sub-02/anat/sub-02_desc-autoseg_label-myelin_mask.nii.gz",
    ]


def test_predictions_of_other_images_are_refused(study: Path, tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    with pytest.raises(DatasetError, match="no predictions here; name the folder that autoseg_predict wrote"):
        write_derivative(tmp_path / "predictions", study, tmp_path / "out", LABELS)
    put(tmp_path / "predictions" / "sub-09_T1w.nii.gz")
    with pytest.raises(DatasetError, match=r"of no image in .*study: sub-09_T1w\.nii\.gz; predictions are named after"):
        write_derivative(tmp_path / "predictions", study, tmp_path / "out", LABELS)
    with pytest.raises(WorkspaceError, match="the derivative needs a folder of its own"):
        write_derivative(tmp_path / "predictions", study, study, LABELS)
