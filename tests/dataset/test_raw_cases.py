"""A case's channels and label as they are read: on one grid, labels whole, intensities that can be computed with."""

from __future__ import annotations

import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.dataset import Case
from autoseg.dataset.raw_cases import read_case
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images import ImageReference, read_image, read_label, whole_files, write_image

PLAIN = Geometry(spacing=(2.5, 0.5, 0.75), origin=(-3.0, 10.25, 7.5))
NOISE = np.random.default_rng(0).integers(0, 1000, (2, 3, 4), np.int16)


def case(folder: Path, *images: tuple[np.ndarray, Geometry], label: tuple[np.ndarray, Geometry] | None = None) -> Case:
    for number, (data, geometry) in enumerate(images):
        write_image(folder / f"a_{number:04d}.nii.gz", data, geometry)
    if label:
        write_image(folder / "a.nii.gz", *label)
    return Case(
        identifier="a",
        images=whole_files(folder / f"a_{number:04d}.nii.gz" for number in range(len(images))),
        segmentation=folder / "a.nii.gz" if label else None,
    )


def scaled(path: Path, stored: np.ndarray, slope: float) -> Path:
    """A file whose header says that its values mean so many times more."""
    write_image(path, stored, PLAIN)
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 112, slope)
    path.write_bytes(content)
    return path


def test_a_case_is_its_channels_and_its_label(tmp_path):
    label = (NOISE % 3).astype(np.uint8)

    raw = read_case(case(tmp_path, (NOISE, PLAIN), (NOISE * 0.5, PLAIN), label=(label, PLAIN)))

    assert (raw.identifier, raw.data.dtype, raw.segmentation.dtype) == ("a", np.float32, np.int16)
    np.testing.assert_array_equal(raw.data, np.stack([NOISE, NOISE * 0.5]))
    np.testing.assert_array_equal(raw.segmentation, label)
    assert raw.geometry == PLAIN


def test_channels_may_be_the_volumes_of_one_file_in_any_order(tmp_path):
    volumes = np.arange(48, dtype=np.int16).reshape(2, 2, 3, 4)
    path = tmp_path / "a.nii.gz"
    nibabel.Nifti1Image(volumes.T, np.eye(4)).to_filename(path)
    images = tuple(ImageReference(path=path, part=part) for part in (1, 0))

    case = Case(identifier="a", images=images)

    np.testing.assert_array_equal(read_case(case).data, volumes[::-1])
    assert case.paths == (path,)


def test_a_case_without_label_has_none(tmp_path):
    assert read_case(case(tmp_path, (NOISE, PLAIN))).segmentation is None


def test_labels_of_whole_floats_are_taken_and_large_ones_kept(tmp_path):
    whole = read_case(case(tmp_path, (NOISE, PLAIN), label=((NOISE % 3).astype(np.float32), PLAIN)))
    large = read_case(case(tmp_path, (NOISE, PLAIN), label=(np.full((2, 3, 4), 60000, np.uint16), PLAIN)))

    assert (whole.segmentation.dtype, large.segmentation.dtype) == (np.int16, np.int32)
    np.testing.assert_array_equal(whole.segmentation, NOISE % 3)
    assert np.all(large.segmentation == 60000)


@pytest.mark.parametrize("slope", [1.0000001, 0.9999, 0.33333])
def test_labels_that_a_header_scales_are_rounded_and_never_cut_off(tmp_path, slope):
    path = scaled(tmp_path / "label.nii", np.rint(NOISE % 3 / slope).astype(np.int16), slope)
    write_image(tmp_path / "image.nii", NOISE, PLAIN)

    found = read_case(
        Case(identifier="a", images=whole_files([tmp_path / "image.nii"]), segmentation=path)
    ).segmentation

    assert np.any(read_image(path).data != NOISE % 3)
    np.testing.assert_array_equal(found, NOISE % 3)
    np.testing.assert_array_equal(read_label(path).data, NOISE % 3)


def test_images_that_cannot_be_computed_with_are_refused_with_file_and_voxel(tmp_path):
    odd = NOISE.astype(np.float64)
    odd[1, 2, 3] = 1e300
    counting = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    large = scaled(tmp_path / "scaled.nii", counting, 1e36)

    with pytest.raises(DatasetError) as caught:
        read_case(case(tmp_path, (odd, PLAIN)))
    assert str(caught.value) == (
        f"case a: {tmp_path / 'a_0000.nii.gz'} holds 1e+300 at voxel (3, 2, 1; x, y, z), beyond 1e+37, which single "
        "precision cannot be computed with; replace what marks missing values by 0 or what lies around, or scale the image"
    )
    assert read_image(large).data.dtype == np.float32
    with pytest.raises(
        DatasetError, match=r"scaled\.nii holds 2\.3e\+37 at voxel .* and 13 voxels in all beyond 1e\+37"
    ):
        read_case(Case(identifier="b", images=whole_files([large])))
    far = scaled(tmp_path / "far.nii", counting, 1e38)
    assert read_image(far).data.max() == pytest.approx(2.3e39)


def test_labels_with_fractions_are_refused_with_their_values(tmp_path):
    label = np.zeros((2, 3, 4), np.float32)
    label[0, 0] = (0.5, 1, 1.25, np.nan)

    with pytest.raises(DatasetError) as caught:
        read_case(case(tmp_path, (NOISE, PLAIN), label=(label, PLAIN)))

    assert str(caught.value) == (
        f"case a: {tmp_path / 'a.nii.gz'} holds values that are no whole numbers: 0.5, 1.25, nan; "
        "save the labels as integers, resampled without interpolation"
    )


def test_labels_beyond_every_label_are_refused(tmp_path):
    with pytest.raises(
        DatasetError, match=r"holds values from 0 to 1e\+20, which are no labels; number the labels from 0"
    ):
        read_case(case(tmp_path, (NOISE, PLAIN), label=(np.linspace(0, 1, 24).reshape(2, 3, 4).round() * 1e20, PLAIN)))


def test_many_odd_values_are_counted(tmp_path):
    label = np.arange(24, dtype=np.float32).reshape(2, 3, 4) + 0.5

    with pytest.raises(DatasetError, match=r"0\.5, 1\.5, .*, 9\.5 and 14 more; save"):
        read_case(case(tmp_path, (NOISE, PLAIN), label=(label, PLAIN)))


def test_files_of_a_case_on_different_grids_are_refused(tmp_path):
    moved = Geometry(spacing=PLAIN.spacing, origin=(-3.0, 10.25, 9.5))

    with pytest.raises(DatasetError) as sizes:
        read_case(case(tmp_path, (NOISE, PLAIN), (NOISE[:, :2], PLAIN)))
    with pytest.raises(DatasetError) as origins:
        read_case(case(tmp_path, (NOISE, PLAIN), label=(NOISE, moved)))

    assert str(sizes.value) == (
        "case a: a_0000.nii.gz and a_0001.nii.gz lie on different grids: "
        "size (2, 3, 4) and (2, 2, 4) voxels (z, y, x); resample them onto one grid"
    )
    assert str(origins.value) == (
        "case a: a_0000.nii.gz and a.nii.gz lie on different grids: "
        "origin (-3, 10.25, 7.5) and (-3, 10.25, 9.5); resample them onto one grid"
    )


def test_rounding_in_headers_is_no_difference(tmp_path):
    rounded = Geometry(spacing=(2.5000005, 0.5, 0.75), origin=(-3.0, 10.25, 7.50001), direction=PLAIN.direction)

    assert read_case(case(tmp_path, (NOISE, PLAIN), label=(NOISE, rounded))).geometry == PLAIN
