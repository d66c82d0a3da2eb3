"""The two orientations of a NIfTI header: which one counts, what is told of them, and that they are written as they were."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from autoseg.dataset import Case
from autoseg.dataset.raw_cases import read_case
from autoseg.errors import DatasetError
from autoseg.forms import NOWHERE, Forms
from autoseg.geometry import Geometry
from autoseg.images import read_image, whole_files, write_image

SHAPE = (40, 30, 20)
"""Voxels along z, y, x."""

TURNED = Rotation.from_euler("xyz", (12, -7, 20), degrees=True)


def forms_in(path: Path) -> tuple[float, ...]:
    """Handedness, both codes, the quaternion with its offset, and the matrix, as they stand in the file."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.name.endswith(".gz") else content
    return (*struct.unpack_from("<f", content, 76), *struct.unpack_from("<2h18f", content, 252))


def sform(rotation: np.ndarray, offset=(3.0, 5.0, -8.0)) -> list[list[float]]:
    return np.column_stack([rotation, offset]).tolist()


def quaternion(rotation: Rotation, offset=(0.0, 0.0, 0.0)) -> tuple[float, ...]:
    return (*rotation.as_quat(canonical=True)[:3].tolist(), *offset)


def sheared(degrees: float) -> np.ndarray:
    """Axes of a gantry tilted about x."""
    axes = np.eye(3)
    axes[1, 2] = np.tan(np.radians(degrees))
    return axes


def large(make_nifti, name: str = "image.nii.gz", **header) -> Path:
    voxels = np.zeros(SHAPE, "<i2").tobytes()
    return make_nifti(name, dim=(3, *SHAPE[::-1], 1, 1, 1, 1), voxels=voxels, **header)


PLACED = {
    "nothing": {"codes": (0, 0)},
    "a scanner's qform alone": {"codes": (1, 0), "quaternion": quaternion(TURNED, (1, 2, 3))},
    "an atlas's sform alone": {"codes": (0, 4), "sform": sform(TURNED.as_matrix())},
    "both, which agree": {
        "codes": (1, 1),
        "quaternion": quaternion(TURNED, (3, 5, -8)),
        "sform": sform(TURNED.as_matrix()),
    },
    "a coregistered image": {"codes": (1, 2), "quaternion": quaternion(TURNED), "sform": sform(np.eye(3))},
    "the same the other way round": {"codes": (2, 1), "quaternion": quaternion(TURNED), "sform": sform(np.eye(3))},
    "an image in a template's space": {"codes": (4, 4), "quaternion": quaternion(TURNED), "sform": sform(np.eye(3))},
    "a registration that shears": {
        "codes": (1, 2),
        "quaternion": quaternion(Rotation.identity()),
        "sform": sform(sheared(15)),
    },
    "a mirrored qform": {"codes": (1, 0), "quaternion": quaternion(TURNED), "pixdim": (-1, 1, 1, 1, 0, 0, 0, 0)},
    "an sform of zeros": {"codes": (1, 1), "quaternion": quaternion(TURNED), "sform": np.zeros((3, 4)).tolist()},
    "a code from a later standard": {"codes": (5, 7), "quaternion": quaternion(TURNED), "sform": sform(np.eye(3))},
    "numbers without a code": {"codes": (0, 1), "quaternion": quaternion(TURNED), "sform": sform(np.eye(3))},
    "two voxel sizes": {"codes": (0, 2), "sform": sform(2 * TURNED.as_matrix())},
}


@pytest.mark.parametrize("header", PLACED.values(), ids=PLACED.keys())
def test_what_is_written_lies_as_what_was_read_for_whoever_goes_by_either_form(make_nifti, tmp_path, header):
    path = large(make_nifti, **header)
    image = read_image(path)
    write_image(tmp_path / "out.nii.gz", image.data, image.geometry)

    assert forms_in(tmp_path / "out.nii.gz") == forms_in(path)
    assert read_image(tmp_path / "out.nii.gz").geometry == image.geometry


@pytest.mark.parametrize("seed", range(40))
def test_the_form_that_counts_is_the_one_that_itk_takes(make_nifti, seed):
    """In any unit, mirrored or not, whatever the codes."""
    generator = np.random.default_rng(seed)
    rotation = [Rotation.random(random_state=100 * seed + number) for number in range(2)]
    sides = generator.uniform(0.3, 5, 3)
    path = large(
        make_nifti,
        codes=tuple(generator.integers(0, 5, 2).tolist()),
        quaternion=quaternion(rotation[0], generator.uniform(-200, 200, 3).tolist()),
        sform=sform(rotation[1].as_matrix() * sides, generator.uniform(-200, 200, 3).tolist()),
        pixdim=(generator.choice([-1, 0, 1]), *sides, 0, 0, 0, 0),
        unit=int(generator.choice([0, 1, 2, 3, 10])),
    )
    seen, found = sitk.ReadImage(str(path)), read_image(path).geometry

    np.testing.assert_allclose(found.spacing, seen.GetSpacing()[::-1], rtol=1e-6)
    np.testing.assert_allclose(found.origin, seen.GetOrigin()[::-1], rtol=1e-5)
    np.testing.assert_allclose(found.direction, seen.GetDirection()[::-1], atol=1e-6)


def test_an_image_in_another_unit_is_written_in_mm(make_nifti, tmp_path):
    header = {"quaternion": quaternion(TURNED, (10, 20, 30)), "sform": sform(500 * TURNED.as_matrix(), (10, 20, 30))}
    path = large(make_nifti, unit=3, pixdim=(1, 500, 500, 500, 0, 0, 0, 0), **header)
    image = read_image(path)
    write_image(tmp_path / "out.nii.gz", image.data, image.geometry)

    assert image.geometry.spacing == (0.5, 0.5, 0.5)
    np.testing.assert_allclose(image.geometry.origin, (0.03, -0.02, -0.01), rtol=1e-6)
    written = np.array(forms_in(tmp_path / "out.nii.gz"))
    np.testing.assert_allclose(written[6:9], (0.01, 0.02, 0.03), rtol=1e-6)
    np.testing.assert_allclose(written[9:], np.array(forms_in(path))[9:] / 1000, rtol=1e-6)


def test_a_grid_that_was_moved_after_reading_keeps_no_forms(make_nifti, tmp_path):
    geometry = replace(read_image(large(make_nifti, codes=(1, 4), **TWO)).geometry, origin=(1.0, 2.0, 3.0))
    write_image(tmp_path / "out.nii.gz", np.zeros(SHAPE, np.uint8), geometry)

    assert read_image(tmp_path / "out.nii.gz").geometry.differences(geometry) == ()
    assert forms_in(tmp_path / "out.nii.gz")[1:3] == (1, 1)


# -------------------------------------------------------------------------------- doubts

TWO = {"quaternion": quaternion(Rotation.identity()), "sform": sform(np.eye(3), (3, 4, 12))}
OTHERS = "other programs may go by the other"
REMEDY = f"{OTHERS}; write the right one into both, if they should agree"
DOUBTS = [
    (
        {"codes": (1, 2), **TWO},
        "its qform (code 1, scanner) and its sform (code 2, another image) disagree, by 13 mm at the corners; "
        f"the qform counts here, {REMEDY}",
    ),
    (
        {"codes": (2, 1), **TWO},
        "its qform (code 2, another image) and its sform (code 1, scanner) disagree, by 13 mm at the corners; "
        f"the sform counts here, {REMEDY}",
    ),
    (
        {"codes": (4, 4), **TWO},
        "its qform (code 4, MNI space) and its sform (code 4, MNI space) disagree, by 13 mm at the corners; "
        f"the qform counts here, {REMEDY}",
    ),
    (
        {"codes": (1, 2), "quaternion": quaternion(Rotation.identity()), "sform": sform(sheared(15), (0, 0, 0))},
        "its qform (code 1, scanner) and its sform (code 2, another image, whose axes are skewed by 15 degrees) disagree, by "
        f"10.5 mm at the corners; the qform counts here, {OTHERS}; resample it onto a straight grid, if the gantry was "
        "tilted",
    ),
    (
        {"codes": (1, 2), "quaternion": quaternion(TURNED), "sform": np.zeros((3, 4)).tolist()},
        "its sform (code 2) is all zero; its qform counts here, other programs refuse it; correct the sform",
    ),
    (
        {"codes": (1, 1), "quaternion": quaternion(TURNED), "sform": sform(np.diag([1, 1, 0]))},
        "its sform (code 1) is flat: its axes span no volume; its qform counts here, other programs refuse it; "
        "correct the sform",
    ),
    (
        {"codes": (0, 1), "sform": sform(Rotation.from_euler("xyz", (40, 30, 20), degrees=True).as_matrix().round(3))},
        "the axes in its header are perpendicular to 0.035 degrees only, as where numbers were rounded to three "
        "decimals; write them with six",
    ),
]


@pytest.mark.parametrize(("header", "text"), DOUBTS)
def test_what_a_header_leaves_in_doubt_is_told(make_nifti, header, text):
    assert read_image(large(make_nifti, **header)).geometry.doubts(SHAPE) == (text,)


@pytest.mark.parametrize("name", ["nothing", "a scanner's qform alone", "an atlas's sform alone", "both, which agree"])
def test_what_says_one_thing_leaves_no_doubt(make_nifti, name):
    assert read_image(large(make_nifti, **PLACED[name])).geometry.doubts(SHAPE) == ()


def test_each_channel_is_looked_at_and_the_same_doubt_told_once(make_nifti):
    one, other, sound = {"codes": (1, 2), **TWO}, {"codes": (1, 4), **TWO}, {"codes": (1, 0), **TWO}
    headers = [sound, one, one, other]
    files = tuple(large(make_nifti, f"a_{number:04d}.nii", **header) for number, header in enumerate(headers))

    found = read_case(Case(identifier="a", images=whole_files(files))).doubts

    assert [text.partition(": its qform")[0] for text in found] == ["a_0001.nii", "a_0003.nii"]


def test_an_image_alone_on_an_sform_of_zeros_is_refused(make_nifti):
    with pytest.raises(DatasetError) as caught:
        read_image(large(make_nifti, codes=(0, 2), sform=np.zeros((3, 4)).tolist()))

    assert str(caught.value).endswith(
        "its sform (code 2), which alone says where it lies, is all zero; "
        "write the true orientation into its header, or code 0 where it is not known"
    )


# ------------------------------------------------------------------------- one tolerance


def in_every_format(folder: Path, make_nifti, axes: np.ndarray) -> list[Path]:
    """The same axes (left-posterior-superior) in a NIfTI, a NRRD and a MetaImage header."""
    nifti = large(make_nifti, codes=(0, 1), sform=np.column_stack([axes * [[-1], [-1], [1]], (0, 0, 0)]).tolist())
    voxels, (z, y, x) = np.zeros(SHAPE, "<i2").tobytes(), SHAPE
    vectors = " ".join("(" + ",".join(map(repr, column)) + ")" for column in axes.T.tolist())
    nrrd, meta = folder / "a.nrrd", folder / "a.mha"
    nrrd.write_bytes(
        f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {x} {y} {z}\n"
        f"space directions: {vectors}\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (0,0,0)\n\n".encode()
        + voxels
    )
    matrix = " ".join(map(repr, axes.T.ravel().tolist()))
    meta.write_bytes(
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        f"TransformMatrix = {matrix}\nOffset = 0 0 0\nElementSpacing = 1 1 1\nDimSize = {x} {y} {z}\n"
        f"ElementType = MET_SHORT\nElementDataFile = LOCAL\n".encode()
        + voxels
    )
    return [nifti, nrrd, meta]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("decimals", [3, 4, 6])
def test_axes_rounded_to_three_decimals_are_read_alike_in_every_format(tmp_path, make_nifti, seed, decimals):
    axes = Rotation.random(random_state=seed).as_matrix().round(decimals)
    first, *others = (read_image(path) for path in in_every_format(tmp_path, make_nifti, axes))

    assert [one.geometry.differences(first.geometry) for one in others] == [(), ()]
    if decimals > 3:
        assert [one.geometry.doubts(SHAPE) for one in (first, *others)] == [()] * 3


@pytest.mark.parametrize("degrees", [0.2, 5])
def test_axes_that_are_skewed_are_refused_alike_in_every_format(tmp_path, make_nifti, degrees):
    axes = sheared(degrees) / np.linalg.norm(sheared(degrees), axis=0)
    for path in in_every_format(tmp_path, make_nifti, axes):
        with pytest.raises(DatasetError) as caught:
            read_image(path)
        assert "the axes in its header are skewed, not perpendicular unit vectors; resample it" in str(caught.value)


def test_a_nrrd_without_a_space_and_a_nifti_without_codes_are_alike(tmp_path, make_nifti):
    nrrd = tmp_path / "a.nrrd"
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nspacings: 1 1 1\nendian: little\nencoding: raw\n\n"
    nrrd.write_bytes(header.encode() + np.arange(24, dtype="<i2").tobytes())
    nifti = read_image(make_nifti())
    image = read_image(nrrd)
    write_image(tmp_path / "out.nii", image.data, image.geometry)

    assert not nifti.geometry.is_placed and not image.geometry.is_placed
    assert nifti.geometry == image.geometry == Geometry(spacing=(1, 1, 1))
    assert forms_in(tmp_path / "out.nii")[1:3] == (0, 0)


# ------------------------------------------------------------------------------- in files


def test_forms_go_through_a_row_of_numbers():
    forms = Forms(
        qform_code=1, sform_code=4, handedness=-1.0, quaternion=(0.1, 0.2, 0.3), offset=(4, 5, 6), matrix=(*range(12),)
    )

    assert Forms.from_numbers(forms.as_numbers()) == forms
    assert Forms.from_numbers(NOWHERE.as_numbers()) == NOWHERE
    for numbers in (forms.as_numbers()[:-1], (*forms.as_numbers(), 1.0), (float("nan"), *forms.as_numbers()[1:])):
        with pytest.raises(ValueError, match=r"forms|unpack"):
            Forms.from_numbers(numbers)


def test_a_skewed_sform_that_counts_as_much_as_the_qform_is_refused(make_nifti, data_folder: Path) -> None:
    """Never the qform without a word: the gantry was tilted, and the qform cannot say so."""
    path = make_nifti(codes=(1, 1), quaternion=quaternion(Rotation.identity()), sform=sform(sheared(15)))
    phantom = data_folder / "odd_files" / "derived" / "sheared_ct_phantom.nii.gz"
    for one in (path, phantom):
        with pytest.raises(DatasetError, match="the axes in its header are skewed, not perpendicular unit vectors"):
            read_image(one)
