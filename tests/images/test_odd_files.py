"""Real files of odd kinds, from other readers' own tests: each is read to the right values, or refused for the right reason."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.errors import DatasetError
from autoseg.images import IMAGE_ENDINGS, read_image, read_volumes

REFUSED = {
    "derived/sheared_ct_phantom.nii.gz": "the axes in its header are skewed, not perpendicular unit vectors",
    "niivue/complex_image.nii.gz": "its voxels are complex numbers",
    "pynrrd/BallBinary30x30x30_bz2.nrrd": "its voxels are encoded as 'bzip2'",
    "pynrrd/BallBinary30x30x30_byteskip_minus_five.nhdr": "its byte skip is '-5'",
    "pynrrd/BallBinary30x30x30_nifti.nhdr": "holds more than the (30, 30, 30) voxels its header declares",
    "pynrrd/test1d_ascii.nrrd": "has '1' dimension; images are 3D here",
    "pynrrd/test2d_ascii.nrrd": "has '2' dimensions; images are 3D here",
    "pynrrd/test_customFields.nrrd": "has '1' dimension; images are 3D here",
    "pynrrd/test_simple4d_raw.nrrd": "has '4' dimensions; images are 3D here",
}


@pytest.fixture
def odd(data_folder: Path) -> Path:
    folder = data_folder / "odd_files"
    if not folder.is_dir():
        pytest.skip("the odd files are not here")
    return folder


def images_in(odd: Path) -> list[Path]:
    return [path for path in sorted(odd.rglob("*")) if path.name.endswith(IMAGE_ENDINGS)]


def test_each_is_read_or_refused(odd: Path) -> None:
    files = images_in(odd)
    assert len(files) == 39
    refused = {}
    for path in files:
        try:
            read_volumes(path)
        except DatasetError as error:
            refused[str(path.relative_to(odd))] = str(error)
    assert refused.keys() == REFUSED.keys()
    for name, said in REFUSED.items():
        assert said in refused[name]


def test_nifti_holds_what_nibabel_finds(odd: Path) -> None:
    """Values with slope and offset, sizes and byte orders; and where they lie, but where nothing says it."""
    for path in images_in(odd):
        if not path.name.endswith((".nii", ".nii.gz", ".hdr")) or str(path.relative_to(odd)) in REFUSED:
            continue
        found, wanted = read_volumes(path), nibabel.load(path)
        values = np.stack([one.data for one in found], axis=-1).transpose(2, 1, 0, 3).squeeze()
        np.testing.assert_allclose(values, wanted.get_fdata().squeeze(), rtol=1e-6, atol=1e-4, err_msg=path.name)
        geometry = found[0].geometry
        assert geometry.spacing[::-1] == pytest.approx(wanted.header.get_zooms()[:3]), path.name
        if wanted.header["sform_code"] == 1:
            axes = np.reshape(geometry.direction, (3, 3))[::-1, ::-1] * geometry.spacing[::-1] * [[-1], [-1], [1]]
            np.testing.assert_allclose(axes, wanted.affine[:3, :3], atol=2e-3, err_msg=path.name)


def test_one_brain_in_four_orders_of_axes_is_one(odd: Path) -> None:
    brains = []
    for order in ("RAS", "LAS", "AIL", "PIR"):
        image = read_image(odd / "niivue" / "nifti_space" / f"{order}.nii.gz")
        assert image.geometry.orientation == order
        brain = image.data.transpose(2, 1, 0)
        turns = nibabel.orientations.axcodes2ornt(tuple(order))
        brains.append(nibabel.orientations.apply_orientation(brain, turns))
    for other in brains[1:]:
        np.testing.assert_array_equal(brains[0], other)


def test_one_ball_in_every_encoding_is_one(odd: Path) -> None:
    balls = [path for path in images_in(odd) if path.name.startswith("Ball") and f"pynrrd/{path.name}" not in REFUSED]
    assert len(balls) == 8
    wanted = sitk.GetArrayFromImage(sitk.ReadImage(odd / "pynrrd" / "BallBinary30x30x30.nii.gz"))
    for path in balls:
        np.testing.assert_array_equal(read_image(path).data, wanted, err_msg=path.name)


def test_metaimage_in_one_file_and_in_two_is_one(odd: Path) -> None:
    alone, detached = (read_image(odd / name) for name in ("niivue/mha.mha", "derived/epi.mhd"))
    np.testing.assert_array_equal(alone.data, detached.data)
    np.testing.assert_array_equal(alone.data, sitk.GetArrayFromImage(sitk.ReadImage(odd / "niivue" / "mha.mha")))
    assert not alone.geometry.differences(detached.geometry) and alone.geometry.orientation == "LAS"
