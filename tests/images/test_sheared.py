"""NIfTI images of a tilted gantry: refused unless it is asked to resample them, then where the patient's tissue is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.affines import apply_affine

from autoseg.conversion.layouts import convert_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.dataset import read_dataset
from autoseg.dataset.raw_cases import read_case
from autoseg.errors import DatasetError
from autoseg.images import Reading, read_header, read_image, read_label

RESAMPLED = Reading(sheared="resample")
AFFINE = np.array([[-2.0, 0, 0, 40], [0, -2, 1.5, 30], [0, 0, 4, -20], [0, 0, 0, 1]])
"""A gantry tilted about x."""


def tilted(path: Path, data: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(data, AFFINE)
    image.header.set_zooms(np.linalg.norm(AFFINE[:3, :3], axis=0))
    image.header["sform_code"], image.header["qform_code"] = 1, 1
    nibabel.save(image, path)
    return path


def linear() -> np.ndarray:
    """Brightness that grows with the position along each of the patient's axes, so that resampling is exact."""
    positions = apply_affine(AFFINE, np.moveaxis(np.indices((20, 24, 10)), 0, -1))
    return np.asarray(1000 + positions @ [1, 2, 3], dtype=np.float32)


def test_it_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tilted(tmp_path / "a.nii.gz", linear())
    with pytest.raises(DatasetError) as error:
        read_image(path)
    assert str(error.value) == (
        f'{path}: the axes in its header are skewed, not perpendicular unit vectors; resample it onto a straight grid ("sheared": '
        '"resample" in dataset.json has that done as it is read), or correct the sform in its header'
    )


def test_resampled_voxels_lie_where_they_lay(tmp_path: Path) -> None:
    image = read_image(tilted(tmp_path / "a.nii.gz", linear()), RESAMPLED)
    geometry = image.geometry
    axes = np.reshape(geometry.direction, (3, 3)) * geometry.spacing
    index = np.moveaxis(np.indices(image.data.shape), 0, -1)
    up, back, left = np.moveaxis(index @ axes.T + geometry.origin, -1, 0)  # z, y, x of the patient
    wanted = 1000 - left - 2 * back + 3 * up
    reached = image.data > image.data.min()
    inner = np.zeros_like(reached)
    inner[2:-2, 3:-6, 1:-1] = reached[2:-2, 3:-6, 1:-1]
    assert geometry.spacing == pytest.approx((np.hypot(1.5, 4), 2, 2)) and inner.mean() > 0.3
    close = np.abs(image.data - wanted)[inner] < 0.01
    assert close.mean() > 0.97, close.mean()


def test_labels_keep_their_values_and_lie_on_the_image(tmp_path: Path) -> None:
    folder = tmp_path / "Task001_Tilted"
    label = np.zeros((20, 24, 10), np.uint8)
    label[5:15, 8:16, 3:7] = 7
    tilted(folder / "imagesTr" / "a_0000.nii.gz", linear())
    tilted(folder / "labelsTr" / "a.nii.gz", label)
    content: dict[str, Any] = {
        "modality": {"0": "CT"},
        "labels": {str(value): f"l{value}" if value else "background" for value in range(8)},
        "numTraining": 1,
        "numTest": 0,
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
        "test": [],
        "sheared": "resample",
    }
    (folder / "dataset.json").write_text(json.dumps(content))

    dataset = read_dataset(folder)
    raw = read_case(dataset.training[0], dataset.target)
    assert raw.segmentation is not None and raw.segmentation.shape == raw.data.shape[1:]
    assert set(np.unique(raw.segmentation)) == {0, 7}
    assert np.count_nonzero(raw.segmentation) == pytest.approx(np.count_nonzero(label), rel=0.1)
    assert "resampled onto a straight grid" in read_header(folder / "labelsTr" / "a.nii.gz", reading=RESAMPLED).remark

    (folder / "dataset.json").write_text(json.dumps({**content, "sheared": "yes"}))
    with pytest.raises(DatasetError, match='sheared: expected "refuse" or "resample", found \'yes\''):
        read_dataset(folder)


@pytest.mark.parametrize("far", [3.0, 10.0, 1000.0])
def test_what_is_no_tilted_gantry_stays_refused(make_nifti: Any, far: float) -> None:
    """Nothing tilts by more than 60 degrees; the grid would be as large as the header likes."""
    path = make_nifti(codes=(1, 1), quaternion=(0, 0, 0, 0, 0, 0), sform=[[1, 0, 0, 0], [0, 1, far, 0], [0, 0, 1, 0]])
    with pytest.raises(DatasetError, match="the axes in its header are skewed"):
        read_image(path, RESAMPLED)


def test_a_conversion_says_it_in_dataset_json(tmp_path: Path) -> None:
    label = np.zeros((20, 24, 10), np.uint8)
    label[5:15, 8:16, 3:7] = 1
    tilted(tmp_path / "Tilted" / "images" / "a.nii.gz", linear())
    tilted(tmp_path / "Tilted" / "labels" / "a.nii.gz", label)
    with pytest.raises(DatasetError, match="the axes in its header are skewed"):
        convert_dataset(tmp_path / "Tilted", tmp_path / "raw_data", ConversionSettings())

    conversion = convert_dataset(tmp_path / "Tilted", tmp_path / "raw_data", ConversionSettings(sheared="resample"))

    dataset = read_dataset(conversion.folder)
    raw = read_case(dataset.training[0], dataset.target)
    assert dataset.reading == RESAMPLED and raw.segmentation is not None and raw.segmentation.any()
    content = json.loads((conversion.folder / "dataset.json").read_text())
    assert content.pop("sheared") == "resample"
    (conversion.folder / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="`sheared` is for plain folders and files of paths, and this is"):
        convert_dataset(conversion.folder, tmp_path / "raw_data", ConversionSettings(sheared="resample", number=7))


def test_a_real_tilted_gantry(data_folder: Path) -> None:
    phantom = data_folder / "odd_files" / "derived" / "sheared_ct_phantom.nii.gz"
    image = read_image(phantom, RESAMPLED)
    assert image.data.min() == pytest.approx(-1024) and image.data.shape == (38, 401, 306)
    assert read_label(data_folder / "odd_files" / "niivue" / "draw.nii.gz", RESAMPLED).data.max() == 2
