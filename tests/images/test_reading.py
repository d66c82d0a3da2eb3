"""Voxels and geometry in and out, against SimpleITK and against files made byte by byte."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from autoseg.errors import DatasetError, StorageError
from autoseg.geometry import Geometry
from autoseg.images import (
    ImageReference,
    Told,
    image_description,
    read_image,
    read_images,
    read_label,
    read_volumes,
    write_image,
)
from autoseg.images.refusals import LARGEST_VOLUME
from autoseg.machine.resources import available_memory

PLAIN = Geometry(spacing=(2.5, 0.5, 0.75), origin=(-3.0, 10.25, 7.5))
NOISE = np.random.default_rng(0).integers(0, 1000, (2, 3, 4), np.int16)


def refusal(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def oblique(seed: int, *, mirrored: bool = False) -> Geometry:
    generator = np.random.default_rng(seed)
    axes = Rotation.random(random_state=seed).as_matrix() * (1, 1, -1 if mirrored else 1)
    return Geometry(
        spacing=tuple(generator.uniform(0.3, 6, 3).tolist()),
        origin=tuple(generator.uniform(-300, 300, 3).tolist()),
        direction=tuple(axes.ravel().tolist()),
    )


def seen_by_simpleitk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = sitk.ReadImage(str(path))
    return sitk.GetArrayFromImage(image), np.array([*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()])


# ------------------------------------------------------------------ geometry


def test_axes_are_reversed_between_file_and_array(make_nifti):
    """An axis permutation by hand: x of the file runs to the back, y down, z to the left (in LPS)."""
    sform = [[0, 0, -2.5, 30], [-0.5, 0, 0, 20], [0, -0.75, 0, 10]]  # right-anterior-superior rows

    image = read_image(make_nifti(pixdim=(1, 0.5, 0.75, 2.5, 0, 0, 0, 0), sform=sform))

    assert image.data.shape == (2, 3, 4)
    assert image.data[1, 2, 3] == 23
    assert image.data[0, 0, 3] == 3
    assert image.geometry == Geometry(
        spacing=(2.5, 0.75, 0.5),
        origin=(10, -20, -30),
        direction=(0, -1, 0, 0, 0, 1, 1, 0, 0),
    )


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_simpleitk_sees_the_geometry_that_was_written(tmp_path, seed, mirrored):
    geometry = oblique(seed, mirrored=mirrored)
    write_image(tmp_path / "a.nii.gz", NOISE, geometry)

    voxels, seen = seen_by_simpleitk(tmp_path / "a.nii.gz")

    np.testing.assert_array_equal(voxels, NOISE)
    direction = np.reshape(geometry.direction, (3, 3))[::-1, ::-1].ravel()
    np.testing.assert_allclose(
        seen, [*geometry.spacing[::-1], *geometry.origin[::-1], *direction], rtol=1e-6, atol=2e-7
    )


def test_fractions_in_bytes_are_read_as_fractions_by_everyone(tmp_path):
    steps = np.arange(251, dtype=np.uint8).reshape(1, 1, -1)
    write_image(tmp_path / "a.nii.gz", steps, oblique(0, mirrored=False), Told(step=1 / 250))

    voxels, _ = seen_by_simpleitk(tmp_path / "a.nii.gz")

    np.testing.assert_allclose(voxels, steps / 250, atol=1e-6)
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").data, voxels)
    assert (read_label(tmp_path / "a.nii.gz").data == voxels).all()


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".tif", ".png"])
def test_other_formats_hold_fractions_as_they_can(tmp_path, ending):
    steps = np.array([0, 1, 100, 125, 249, 250], np.uint8).reshape(1, 2, 3)
    write_image(tmp_path / f"a{ending}", steps, PLAIN, Told(step=1 / 250, description="autoseg"))

    found = read_label(tmp_path / f"a{ending}").data

    np.testing.assert_allclose(found, steps / 250, atol=0.5 / 255 + 1e-6 if ending == ".png" else 1e-6)
    assert found.min() == 0 and found.max() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(12))
def test_reading_writing_and_reading_keeps_every_bit_of_the_geometry(tmp_path, seed):
    first, second = tmp_path / "first.nii.gz", tmp_path / "second.nii.gz"
    write_image(first, NOISE, oblique(seed, mirrored=seed % 2 == 1))

    image = read_image(first)
    write_image(second, image.data, image.geometry)

    assert read_image(second).geometry == image.geometry


def test_equal_input_gives_equal_bytes(tmp_path):
    first, second = tmp_path / "first.nii.gz", tmp_path / "second.nii.gz"
    write_image(first, NOISE, oblique(0))
    write_image(second, NOISE, oblique(0))

    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_files_of_simpleitk_keep_their_geometry(tmp_path, seed):
    geometry = oblique(seed)
    image = sitk.GetImageFromArray(NOISE)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    read = read_image(tmp_path / "a.nii.gz")
    write_image(tmp_path / "b.nii.gz", read.data, read.geometry)

    np.testing.assert_array_equal(
        seen_by_simpleitk(tmp_path / "b.nii.gz")[1], seen_by_simpleitk(tmp_path / "a.nii.gz")[1]
    )
    assert read_image(tmp_path / "b.nii.gz").geometry == read.geometry


@pytest.mark.parametrize("seed", range(12))
def test_the_orientation_is_called_as_simpleitk_calls_it(seed):
    geometry = oblique(seed, mirrored=seed % 2 == 1)
    direction = np.reshape(geometry.direction, (3, 3))[::-1, ::-1].ravel()

    expected = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction.tolist())

    assert geometry.orientation == expected
    assert Geometry(spacing=(1, 1, 1)).orientation == "LPS"


def test_a_quaternion_alone_gives_the_orientation_too(make_nifti):
    x, y, z, _ = Rotation.from_euler("xyz", (0.3, -0.2, 1.1)).as_quat(canonical=True)

    image = read_image(make_nifti(quaternion=(x, y, z, 5, 6, 7)))

    expected = Rotation.from_euler("xyz", (0.3, -0.2, 1.1)).as_matrix() * [[-1], [-1], [1]]
    np.testing.assert_allclose(np.reshape(image.geometry.direction, (3, 3)), expected[::-1, ::-1], atol=1e-6)
    assert image.geometry.origin == (7, -6, -5)


def test_a_skewed_header_is_refused(make_nifti):
    skewed = [[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]

    message = refusal(make_nifti(sform=skewed))

    assert message == (
        "the axes in its header are skewed, not perpendicular unit vectors; "
        'resample it onto a straight grid ("sheared": "resample" in dataset.json has that done as it is read), or correct the '
        "sform in its header"
    )


def test_an_ending_of_mixed_case_is_one(tmp_path, make_nifti):
    make_nifti("a.nii.gz").rename(tmp_path / "b.nII.gz")

    np.testing.assert_array_equal(read_image(tmp_path / "b.nII.gz").data.ravel(), range(24))


# -------------------------------------------------------------------- voxels


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_every_voxel_type_comes_back_as_it_was(tmp_path, kind, name):
    extremes = np.array([[[0, 1, 7]]], kind)
    limits = np.finfo(kind) if kind[0] == "f" else np.iinfo(kind)
    extremes[0, 0, 1:] = limits.min, limits.max

    write_image(tmp_path / name, extremes, PLAIN)
    image = read_image(tmp_path / name)

    assert image.data.dtype == extremes.dtype
    np.testing.assert_array_equal(image.data, extremes)
    np.testing.assert_array_equal(seen_by_simpleitk(tmp_path / name)[0], extremes)


@pytest.mark.parametrize("order", "<>")
def test_files_of_either_byte_order_come_in_the_machines(make_nifti, order):
    image = read_image(make_nifti("a.nii.gz", order=order))

    assert str(image.data.dtype) == "int16"
    np.testing.assert_array_equal(image.data.ravel(), range(24))


def test_stored_values_are_scaled(make_nifti):
    image = read_image(make_nifti(slope=0.5, intercept=-1000))
    double = read_image(make_nifti("b.nii", datatype=64, slope=0.1, intercept=3, voxels=np.arange(24.0).tobytes()))

    assert (image.data.dtype, double.data.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(image.data.ravel(), np.arange(24) * 0.5 - 1000)
    np.testing.assert_array_equal(double.data.ravel(), np.arange(24) * np.float64(np.float32(0.1)) + 3)


def test_nan_and_infinity_are_handed_on(tmp_path):
    """SimpleITK alone would make zeros of them, and nobody would know."""
    data = np.array([[[1, np.nan, np.inf, -np.inf]]], np.float32)
    write_image(tmp_path / "a.nii.gz", data, PLAIN)

    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").data, data)


def test_a_file_without_order_in_memory_is_written_right(tmp_path):
    write_image(tmp_path / "a.nii.gz", NOISE.transpose(2, 0, 1)[::-1].astype(">i2"), PLAIN)

    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").data, NOISE.transpose(2, 0, 1)[::-1])


def test_volumes_of_a_four_dimensional_file_come_one_by_one(make_nifti):
    volumes = read_volumes(make_nifti(dim=(4, 4, 3, 1, 2, 1, 1, 1), pixdim=(1, 1, 2, 3, 0, 0, 0, 0)))

    assert [volume.data.shape for volume in volumes] == [(1, 3, 4), (1, 3, 4)]
    np.testing.assert_array_equal(volumes[1].data.ravel(), range(12, 24))
    assert volumes[0].geometry == volumes[1].geometry == Geometry(spacing=(3, 2, 1))


def test_a_three_dimensional_file_has_one_volume(make_nifti):
    (volume,) = read_volumes(make_nifti())

    np.testing.assert_array_equal(volume.data.ravel(), range(24))


def test_a_part_that_a_file_does_not_have_is_refused(make_nifti):
    path = make_nifti()

    for part in (1, -1):
        with pytest.raises(DatasetError) as caught:
            read_images([ImageReference(path=path, part=part)])
        assert str(caught.value) == (
            f"{path}: holds 1 volume, and none with the number {part}, counted from 0; name one that is there"
        )


# ------------------------------------------------------------- damaged files


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95, -8, -1])
def test_a_compressed_file_cut_anywhere_is_refused(tmp_path, kept):
    path = tmp_path / "a.nii.gz"
    write_image(path, np.random.default_rng(0).integers(0, 255, (8, 16, 16), np.uint8), PLAIN)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if kept < 0 else int(len(whole) * kept)])

    message = refusal(path)

    assert message.startswith("is truncated or damaged (Compressed file ended before")
    assert message.endswith("; copy or download it again")


def test_a_changed_byte_is_noticed_by_the_checksum(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_image(path, np.random.default_rng(0).integers(0, 255, (8, 16, 16), np.uint8), PLAIN)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)

    assert "is truncated or damaged (CRC check failed" in refusal(path)


def test_a_compressed_file_with_too_few_or_too_many_voxels_is_refused(make_nifti):
    few = make_nifti("few.nii.gz", voxels=b"\0" * 47)
    many = make_nifti("many.nii.gz", voxels=b"\0" * 10_000_000)

    assert "is truncated: its header declares 48 bytes of voxels, 47 are there" in refusal(few)
    assert "holds more than the (4, 3, 2) voxels its header declares" in refusal(many)


def test_a_volume_beyond_the_free_memory_is_refused(make_nifti):
    side = 1 + round((available_memory() / 2) ** (1 / 3))
    if 2 * side**3 > LARGEST_VOLUME:
        pytest.skip("this machine's memory holds every volume that is read at all")
    path = make_nifti(dim=(3, side, side, side, 1, 1, 1, 1))
    with path.open("rb+") as file:
        file.truncate(352 + 2 * side**3)  # a hole: it takes no space on the disk

    assert re.match(r"its voxels need \d+\.\d GB of memory, \d+\.\d GB are free; crop the image, or use", refusal(path))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_image(path, NOISE, PLAIN)
    before = path.read_bytes()

    with pytest.raises(TypeError, match="no image file holds an array of 2 dimensions of int16"):
        write_image(path, NOISE[0], PLAIN)
    with pytest.raises(StorageError):
        write_image(path / "below_a_file.nii.gz", NOISE, PLAIN)

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.nii.gz"]


# ----------------------------------------------------------------- real data

READABLE = {
    "anatomical.nii": (25, 41, 33),
    "avg152T1_LR_nifti.nii.gz": (91, 109, 91),
    "f32.nii.gz": (11, 11, 11),
    "hippocampus_010_LABEL_image_absent.nii.gz": (31, 50, 36),
    "hippocampus_118_IMAGE_label_absent.nii.gz": (33, 52, 37),
    "hippocampus_281_LABEL_foreign_512x512x94.nii.gz": (94, 512, 512),
    "minimal.hdr": (10, 64, 64),
    "minimal.hdr.gz": (10, 64, 64),
    "minimal2.hdr": (10, 64, 64),
    "minimal.nii": (10, 64, 64),
    "minimal.nii.gz": (10, 64, 64),
    "reoriented_anat_moved.nii": (22, 26, 21),
    "resampled_anat_moved.nii": (3, 21, 17),
    "standard.nii.gz": (7, 5, 4),
    "zstat1.nii.gz": (21, 64, 64),
    **{f"{sign}int{bits}.nii": (3, 3, 3) for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float32.nii": (3, 3, 3),
    "float64.nii": (3, 3, 3),
}
REFUSED = {
    "analyze.hdr": "is no NIfTI header",
    "avg152T1_LR_nifti.hdr.gz": "its voxels should lie in avg152T1_LR_nifti.img.gz",
    "complex32.nii": "its voxels are complex numbers",
    "complex64.nii": "its voxels are complex numbers",
    "crash-1.nii": "is not a NIfTI image",
    "crash-ed7d46344d7efb3b9f0c374d66d2e02f66cc447d.nii": "is not a NIfTI image",
    "example4d.nii.gz": "has 4 dimensions, of size (128, 96, 24, 2)",
    "example_nifti2.nii.gz": "has 4 dimensions, of size (32, 20, 12, 2)",
    "functional.nii": "has 4 dimensions, of size (17, 21, 3, 20)",
    "minimal.img.gz": "holds the voxels of a header/image pair",
    "minimal_extended_hdr.nii": "has 2 dimensions, of size (8, 8)",
    "nifti2.hdr": "is a NIfTI-2 file",
    "rgb/3D.nii": "its voxels are RGB colours",
    "rgb/4D.nii": "its voxels are RGB colours",
    "rgba/4D.nii": "its voxels are RGBA colours",
    "row_major.dconn.nii": "has 6 dimensions, of size (1, 1, 1, 1, 10, 10)",
    "test.mgz": "has 4 dimensions, of size (3, 4, 5, 2)",
}


def test_every_odd_file_is_read_like_simpleitk_reads_it_or_refused(data_folder):
    files = [path for path in (data_folder / "bad_inputs").rglob("*") if path.is_file()]
    seen = set()
    for path in files:
        try:
            image = read_image(path)
        except DatasetError as error:
            key = next((name for name in REFUSED if path.as_posix().endswith("/" + name)), None)
            assert key is None or REFUSED[key] in str(error)
            assert path.name not in READABLE
            seen.add(key)
            continue
        assert image.data.shape == READABLE[path.name]
        voxels, geometry = seen_by_simpleitk(path)
        np.testing.assert_array_equal(np.nan_to_num(image.data), voxels)  # SimpleITK makes zeros of NaN
        np.testing.assert_array_equal(image.geometry.spacing, geometry[2::-1])
        np.testing.assert_allclose(image.geometry.origin, geometry[5:2:-1], rtol=1e-7)  # SimpleITK inverts it and back
        np.testing.assert_allclose(image.geometry.direction, geometry[:5:-1], atol=1e-7)
        seen.add(path.name)
    assert seen - {None} == READABLE.keys() | REFUSED.keys()


def test_oblique_hearts_keep_the_geometry_that_simpleitk_sees(data_folder, tmp_path):
    """Their headers are orthogonal to five digits only; SimpleITK's own writer moves them by 1e-5."""
    for path in sorted((data_folder / "Task101_SunnybrookLV" / "imagesTr").iterdir())[::4]:
        image = read_image(path)
        write_image(tmp_path / "copy.nii.gz", image.data, image.geometry)

        assert read_image(tmp_path / "copy.nii.gz").geometry == image.geometry
        np.testing.assert_array_equal(seen_by_simpleitk(tmp_path / "copy.nii.gz")[1], seen_by_simpleitk(path)[1])


def test_the_file_is_a_plain_nifti_1(tmp_path):
    write_image(tmp_path / "a.nii.gz", NOISE, PLAIN)
    content = gzip.decompress((tmp_path / "a.nii.gz").read_bytes())

    assert struct.unpack_from("<i8h", content, 0)[0] == 348
    assert struct.unpack_from("<8h", content, 40) == (3, 4, 3, 2, 1, 1, 1, 1)
    assert struct.unpack_from("<2h", content, 70) == (4, 16)
    assert struct.unpack_from("<4f", content, 76) == (1, 0.75, 0.5, 2.5)
    assert struct.unpack_from("<3f", content, 108) == (352, 1, 0)
    assert struct.unpack_from("<2h6f", content, 252) == (1, 1, 0, 0, 1, -7.5, -10.25, -3)
    assert struct.unpack_from("<12f", content, 280) == (-0.75, 0, 0, -7.5, 0, -0.5, 0, -10.25, 0, 0, 2.5, -3)
    assert content[344:352] == b"n+1\0\0\0\0\0"
    assert content[352:] == NOISE.astype("<i2").tobytes()


def test_a_description_comes_back_and_leaves_the_rest_as_it_was(tmp_path):
    plain, told = tmp_path / "plain.nii.gz", tmp_path / "told.nii.gz"
    write_image(plain, NOISE, oblique(0))
    write_image(told, NOISE, oblique(0), Told(description="made by x " * 10))

    assert image_description(told) == ("made by x " * 10)[:79]
    assert (image_description(plain), image_description(tmp_path / "absent.nii.gz")) == ("", "")
    np.testing.assert_array_equal(read_image(told).data, read_image(plain).data)
    assert read_image(told).geometry == read_image(plain).geometry
    assert sitk.ReadImage(told).GetMetaData("descrip") == ("made by x " * 10)[:79]

    told.write_bytes(b"no image")
    assert image_description(told) == ""
