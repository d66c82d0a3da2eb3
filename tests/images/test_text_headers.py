"""NRRD and MetaImage: read as SimpleITK reads them where it does right, and refused in words where it does not."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from autoseg.dataset import read_dataset
from autoseg.dataset.raw_cases import read_case
from autoseg.errors import AutosegError, DatasetError
from autoseg.forms import NOWHERE
from autoseg.geometry import Geometry
from autoseg.images import Told, files_of, image_hash, read_header, read_image, write_image
from autoseg.images.segments import Segment, read_segments
from autoseg.planning.verification import verify_dataset

VOXELS = np.arange(24, dtype="<i2").reshape(2, 3, 4)
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 3 2",
    "space directions": "(0.5,0,0) (0,1,0) (0,0,3)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(1,2,3)",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "1 2 3",
    "ElementSpacing": "0.5 1 3",
    "DimSize": "4 3 2",
    "ElementType": "MET_SHORT",
}


def nrrd(folder: Path, voxels: bytes = VOXELS.tobytes(), **changes: str | None) -> Path:
    lines = [f"{key}: {value}" for key, value in {**NRRD, **changes}.items() if value is not None]
    path = folder / "image.nrrd"
    path.write_bytes(
        "\n".join(["NRRD0004", "# a comment", "name:=a key of the user", *lines]).encode() + b"\n\n" + voxels
    )
    return path


def meta(folder: Path, voxels: bytes = VOXELS.tobytes(), *, data: str = "LOCAL", **changes: str | None) -> Path:
    fields = {**META, **changes}
    lines = [f"{key} = {value}" for key, value in fields.items() if value is not None]
    path = folder / "image.mha"
    path.write_bytes("\n".join([*lines, f"ElementDataFile = {data}", ""]).encode() + voxels)
    return path


def by_simpleitk(path: Path) -> tuple[np.ndarray, sitk.Image]:
    image = sitk.ReadImage(str(path))
    return sitk.GetArrayFromImage(image), image


def assert_as_simpleitk(path: Path) -> None:
    expected, image = by_simpleitk(path)
    found = read_image(path)
    assert found.data.dtype == expected.dtype
    np.testing.assert_array_equal(found.data, expected)
    np.testing.assert_allclose(found.geometry.spacing, image.GetSpacing()[::-1], rtol=1e-12)
    np.testing.assert_allclose(found.geometry.origin, image.GetOrigin()[::-1], rtol=1e-12)
    direction = np.reshape(image.GetDirection(), (3, 3))[::-1, ::-1]
    np.testing.assert_allclose(np.reshape(found.geometry.direction, (3, 3)), direction, atol=1e-12)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_files_of_simpleitk_are_read_like_simpleitk_does(
    tmp_path: Path, ending: str, compressed: bool, seed: int, kind: str
) -> None:
    generator = np.random.default_rng(seed)
    image = sitk.GetImageFromArray(generator.integers(0, 100, (5, 6, 7)).astype(kind))
    image.SetSpacing(generator.uniform(0.3, 5, 3).tolist())
    image.SetOrigin(generator.uniform(-200, 200, 3).tolist())
    image.SetDirection((Rotation.random(random_state=seed).as_matrix() * (1, 1, -1 if seed else 1)).ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / f"x.{ending}"), compressed)

    assert_as_simpleitk(tmp_path / f"x.{ending}")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"space": "RAS"},
        {"space": "right-anterior-superior", "space directions": "(0,-0.5,0) (1,0,0) (0,0,3)"},
        {"space": "left-anterior-superior", "space directions": "(0,0,-2) (0.6,0.8,0) (-0.8,0.6,0)"},
        {"space": None, "space directions": None, "space origin": None, "kinds": None, "spacings": "0.5 1 3"},
        {"kinds": None, "content": "heart", "space units": '"mm" "mm" "mm"'},
        {"type": "unsigned short", "endian": "big"},
        {"encoding": "gz"},
    ],
)
def test_nrrd_headers_mean_what_simpleitk_takes_them_for(tmp_path: Path, changes: dict[str, str | None]) -> None:
    voxels = gzip.compress(VOXELS.tobytes()) if "encoding" in changes else VOXELS.tobytes()
    assert_as_simpleitk(nrrd(tmp_path, voxels, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"TransformMatrix": "0 -1 0 1 0 0 0 0 1"},
        {"TransformMatrix": None, "Rotation": "0.6 0.8 0 -0.8 0.6 0 0 0 -1", "Offset": None, "Position": "-5 6 7.5"},
        {"ElementType": "MET_USHORT", "BinaryDataByteOrderMSB": "True", "AnatomicalOrientation": "RAI"},
        {"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "True"},
        {"ElementNumberOfChannels": "1", "CenterOfRotation": "0 0 0"},
        {"CompressedData": "True"},
    ],
)
def test_meta_image_headers_mean_what_simpleitk_takes_them_for(tmp_path: Path, changes: dict[str, str | None]) -> None:
    voxels = zlib.compress(VOXELS.tobytes())
    if "CompressedData" in changes:
        assert_as_simpleitk(meta(tmp_path, voxels, **changes, CompressedDataSize=str(len(voxels))))
    else:
        assert_as_simpleitk(meta(tmp_path, **changes))


def test_lines_of_windows_are_read(tmp_path: Path) -> None:
    path = nrrd(tmp_path, b"")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + VOXELS.tobytes())
    np.testing.assert_array_equal(read_image(path).data, VOXELS)
    path = meta(tmp_path, b"")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + VOXELS.tobytes())
    np.testing.assert_array_equal(read_image(path).data, VOXELS)


def test_nan_is_handed_on(tmp_path: Path) -> None:
    voxels = np.array([np.nan, np.inf, *range(22)], "<f4")
    found = read_image(nrrd(tmp_path, voxels.tobytes(), type="float"))
    np.testing.assert_array_equal(found.data.ravel(), voxels)


# ---------------------------------------------------------------- refusing


def refusal(path: Path) -> str:
    with pytest.raises(DatasetError) as error:
        read_image(path)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dimension": "4"}, "has '4' dimensions; images are 3D here; save each volume as a channel of its own"),
        ({"dimension": None}, "has '' dimensions; images are 3D here"),
        ({"kinds": "vector domain domain"}, "its axes are not all of space: 'vector'; save each channel as a file"),
        ({"kinds": "RGB-color domain domain"}, "its axes are not all of space: 'RGB-color'"),
        (
            {"space directions": "none (0,1,0) (0,0,1)"},
            "its space directions 'none (0,1,0) (0,0,1)' should be 3 of 3 numbers each",
        ),
        (
            {"space directions": "(1,0,0) (0,1,0)"},
            "its space directions '(1,0,0) (0,1,0)' should be 3 of 3 numbers each, as (1,0,0)",
        ),
        ({"space directions": "(1,0,0) (0,1,0) (0,x,1)"}, "its space directions is '0 x 1', which are no numbers"),
        ({"space directions": "(1,0) (0,1) (0,0)"}, "its space directions '(1,0) (0,1) (0,0)' should be 3"),
        (
            {"space directions": "(1,0,0) (0.5,1,0) (0,0,1)"},
            "the axes in its header are skewed, not perpendicular unit",
        ),
        ({"space directions": "(0,0,0) (0,1,0) (0,0,1)"}, "declares a voxel size of (0, 1, 1) mm"),
        ({"space directions": "(nan,0,0) (0,1,0) (0,0,1)"}, "declares a voxel size of (nan, 1, 1) mm"),
        ({"space directions": None}, "declares no voxel size; each of 3 sides must be from 1e-06 to 1e+06 mm"),
        ({"space origin": "(1,2)"}, "its space origin '(1,2)' should be 1 of 3 numbers each"),
        ({"space origin": "(1,2,inf)"}, "its origin is no position of 3 finite numbers"),
        ({"space": "scanner-xyz"}, "lies in the space 'scanner-xyz'"),
        ({"sizes": "4 3 0"}, "declares the size '4 3 0'; every one of 3 sides needs a voxel"),
        ({"sizes": "4 3 -2"}, "declares the size '4 3 -2'"),
        ({"sizes": "4 3"}, "declares the size '4 3'"),
        ({"sizes": "40000 40000 40000"}, "declares (40000, 40000, 40000) voxels, 1.28e+05 GB; no more than 34.36 GB"),
        ({"sizes": "4 3 3"}, "is truncated: its header declares 72 bytes of voxels, 48 are there"),
        ({"type": "block"}, "its voxels are of the type 'block'; save it with one plain integer or float"),
        ({"type": None}, "its voxels are of the type ''"),
        ({"endian": None}, "does not say the order of its bytes (endian: '')"),
        ({"encoding": "ascii"}, "its voxels are encoded as 'ascii'; save it with encoding raw or gzip"),
        ({"encoding": "bzip2"}, "its voxels are encoded as 'bzip2'"),
        ({"data file": "/etc/passwd"}, "its voxels lie in another file; save it as one file"),
        ({"datafile": "LIST"}, "its voxels lie in another file"),
        ({"byte skip": "-2"}, "its byte skip is '-2'; it can be a number from 0 on, or -1"),
        ({"byte skip": "1"}, "is truncated: its header declares 48 bytes of voxels, 47 are there"),
        ({"line skip": "3"}, "its line skip is '3', and so many lines are not there"),
    ],
)
def test_nrrd_files_that_are_refused(tmp_path: Path, changes: dict[str, str | None], problem: str) -> None:
    assert refusal(nrrd(tmp_path, **changes)).startswith(problem)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"NDims": "4"}, "has '4' dimensions; images are 3D here"),
        ({"NDims": None}, "is not a MetaImage; replace it by one, or convert it to .nii.gz"),
        (
            {"ElementNumberOfChannels": "3"},
            "holds several numbers in each voxel; save each channel as a file of its own",
        ),
        ({"BinaryData": "False"}, "holds its voxels as text"),
        ({"BinaryData": "maybe"}, "its BinaryData is 'maybe', neither True nor False"),
        ({"HeaderSize": "-1"}, "skips what lies before its voxels (HeaderSize)"),
        ({"ElementToIntensityFunctionSlope": "2"}, "asks for its values to be scaled (ElementToIntensityFunction)"),
        ({"ElementType": "MET_FLOAT_ARRAY"}, "its voxels are of the type 'MET_FLOAT_ARRAY'"),
        ({"TransformMatrix": "1 0 0 1"}, "its TransformMatrix has 4 entries, 9 are due"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 2"}, "the axes in its header are skewed"),
        ({"ElementSpacing": "0 1 1"}, "declares a voxel size of (0, 1, 1) mm"),
        ({"ElementSpacing": "1 1 a"}, "its ElementSpacing is '1 1 a', which are no numbers"),
        ({"ElementSpacing": None}, "declares no voxel size"),
        ({"DimSize": "4 3 " + "9" * 5000}, "declares (4, 3, 99999999999999999999) voxels"),
        ({"Offset": "1 2"}, "its origin is no position of 3 finite numbers"),
        ({"data": "/etc/passwd"}, "its voxels lie in another file"),
        ({"data": "LIST"}, "its voxels lie in another file"),
    ],
)
def test_meta_images_that_are_refused(tmp_path: Path, changes: dict[str, str | None], problem: str) -> None:
    assert refusal(meta(tmp_path, **changes)).startswith(problem)


def test_what_is_no_image_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    assert refusal(path) == "there is no such file; check the name, and where a link leads"
    path.write_bytes(b"hello")
    assert refusal(path) == "is not a NRRD image; replace it by one, or convert it to .nii.gz"
    path.write_bytes(b"NRRD0004\ntype: short\n")
    assert refusal(path) == "is truncated: its header does not end; copy or download it again"
    path.write_bytes(b"NRRD0004\ntype: short\ntype: int\n\n")
    assert refusal(path) == "its header says 'type' twice; correct the header, or save it anew as .nii.gz"


def test_a_file_that_goes_on_behind_its_voxels(tmp_path: Path) -> None:
    voxels = VOXELS.tobytes() + bytes(5000)
    for path in (nrrd(tmp_path, voxels), meta(tmp_path, voxels)):
        assert (
            refusal(path)
            == "holds more than the (4, 3, 2) voxels its header declares; export it again with the true size"
        )
    packed = nrrd(tmp_path, gzip.compress(voxels), encoding="gzip")
    assert refusal(packed).startswith("holds more than the (4, 3, 2) voxels its header declares")


@pytest.mark.parametrize("cut", [1, 4, 9, 20])
def test_compressed_voxels_cut_short(tmp_path: Path, cut: int) -> None:
    packed = nrrd(tmp_path, gzip.compress(VOXELS.tobytes())[:-cut], encoding="gzip")
    inflated = meta(tmp_path, zlib.compress(VOXELS.tobytes())[:-cut], CompressedData="True")

    assert refusal(packed) == (
        "is truncated or damaged (Compressed file ended before the end-of-stream marker was reached); copy or download it again"
    )
    assert refusal(inflated) == (
        "is truncated or damaged (it ends before its compressed voxels do); copy or download it again"
    )


def test_gzip_members_one_after_the_other_are_one_stream(tmp_path: Path) -> None:
    content = VOXELS.tobytes()
    path = nrrd(tmp_path, gzip.compress(content[:20]) + gzip.compress(content[20:]), encoding="gzip")

    np.testing.assert_array_equal(read_image(path).data, VOXELS)


def test_a_changed_byte_is_noticed_where_the_usual_reader_does_not(tmp_path: Path) -> None:
    packed = bytearray(zlib.compress(VOXELS.tobytes(), 0))
    packed[20] ^= 1
    path = meta(tmp_path, bytes(packed), CompressedData="True", CompressedDataSize=str(len(packed)))
    assert refusal(path).startswith("is truncated or damaged (Error -3 while decompressing data: incorrect data check)")


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    path = nrrd(tmp_path, gzip.compress(bytes(10**6)), encoding="gzip", sizes="2000 2000 2000")
    assert "bytes of voxels, which its" in refusal(path)


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_a_task_of_these_formats_is_sound_and_read_whole(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "Task001_Other"
    generator = np.random.default_rng(0)
    label = np.zeros((4, 5, 6), np.uint8)
    label[1:3, 2:4, 2:5] = 1
    for number in range(5):
        image = (100 * label + generator.normal(0, 10, label.shape)).astype(np.float32)
        for name, data in ((f"imagesTr/c{number}_0000", image), (f"labelsTr/c{number}", label)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(data), str(folder / f"{name}.{ending}"), True)
    cases = [{"image": f"imagesTr/c{n}.{ending}", "label": f"labelsTr/c{n}.{ending}"} for n in range(5)]
    (folder / "dataset.json").write_text(
        json.dumps({"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "box"}, "training": cases})
    )

    assert str(verify_dataset(folder, workers=1)) == "Task001_Other: 5 training cases, 0 test cases: nothing wrong"
    raw = read_case(read_dataset(folder).training[-1])
    np.testing.assert_array_equal(raw.data[0], image)
    np.testing.assert_array_equal(raw.segmentation, label)


PLACED = Geometry(
    spacing=(3.0, 1.0, 0.5),
    origin=(3.0, 2.0, 1.0),
    direction=tuple(Rotation.from_euler("xyz", (0.1, 0.2, 0.3)).as_matrix().ravel().tolist()),
)


@pytest.mark.parametrize("geometry", [PLACED, Geometry(spacing=(1, 2, 3), forms=NOWHERE)])
@pytest.mark.parametrize("name", ["x.mha", "x.nrrd", "x.seg.nrrd"])
@pytest.mark.parametrize("kind", ["u1", "u2", "i4", "f4"])
def test_what_is_written_is_read_again_by_us_and_by_simpleitk(
    tmp_path: Path, name: str, kind: str, geometry: Geometry
) -> None:
    path = tmp_path / name
    write_image(path, VOXELS.astype(kind), geometry, Told(description="of some origin", names=("background", "a", "b")))

    found = read_image(path)
    np.testing.assert_array_equal(found.data, VOXELS)
    assert found.data.dtype == np.dtype(kind)
    assert found.geometry.differences(geometry) == ()
    assert found.geometry.is_placed == geometry.is_placed
    assert read_header(path).description == "of some origin"
    assert_as_simpleitk(path)


def test_a_segmentation_of_slicer_names_its_labels_and_gives_them_colours(tmp_path: Path) -> None:
    path = tmp_path / "x.seg.nrrd"
    write_image(path, VOXELS.astype("u1"), PLACED, Told(names=("background", "left \\ right", "b")))

    assert read_segments(path) == (Segment(name="left \\ right", value=1), Segment(name="b", value=2))
    image = sitk.ReadImage(str(path))
    assert image.GetMetaData("Segment1_Name") == "b"
    assert image.GetMetaData("Segment0_Color") == "0.839216 0.152941 0.156863"
    assert image.GetMetaData("Segment0_Extent") == "0 3 0 2 0 1"


def detached(folder: Path, ending: str, content: bytes, **changes: str | None) -> Path:
    """A header whose voxels lie in voxels.raw beside it."""
    (folder / "voxels.raw").write_bytes(content)
    if ending == "nhdr":
        return nrrd(folder, b"", **{"data file": "voxels.raw", **changes}).rename(folder / "x.nhdr")
    return meta(folder, b"", data=changes.pop("data", None) or "voxels.raw", **changes).rename(folder / "x.mhd")


@pytest.mark.parametrize("ending", ["nhdr", "mhd"])
def test_voxels_in_another_file_are_read_from_there(tmp_path: Path, ending: str) -> None:
    path = detached(tmp_path, ending, VOXELS.tobytes())
    assert_as_simpleitk(path)
    assert files_of(path) == (path, tmp_path / "voxels.raw")
    before = image_hash(path)
    (tmp_path / "voxels.raw").write_bytes(VOXELS[::-1].tobytes())
    assert image_hash(path) != before

    packed = {"encoding": "gzip"} if ending == "nhdr" else {"CompressedData": "True"}
    compress = gzip.compress if ending == "nhdr" else zlib.compress
    path = detached(tmp_path, ending, compress(VOXELS.tobytes()), **packed)
    np.testing.assert_array_equal(read_image(path).data, VOXELS)


@pytest.mark.parametrize("ending", ["nhdr", "mhd"])
@pytest.mark.parametrize(
    ("data", "named", "problem"),
    [
        (VOXELS.tobytes() + b"x", "voxels.raw", "voxels.raw: holds more than the (4, 3, 2) voxels its header declares"),
        (
            VOXELS.tobytes()[:-1],
            "voxels.raw",
            "voxels.raw: is truncated: its header declares 48 bytes of voxels, 47 are",
        ),
        (b"", "absent.raw", "absent.raw: there is no such file"),
        (b"", "../voxels.raw", "its voxels lie in '../voxels.raw'; what is read is one file beside the header"),
        (b"", "/etc/passwd", "its voxels lie in '/etc/passwd'"),
        (b"", "LIST", "its voxels lie in 'LIST'"),
        (b"", "slice%03d.raw", "its voxels lie in 'slice%03d.raw'"),
        (b"", ".bashrc", "its voxels lie in '.bashrc'"),
    ],
)
def test_headers_that_lie_about_where_their_voxels_are(
    tmp_path: Path, ending: str, data: bytes, named: str, problem: str
) -> None:
    changes = {"data file": named} if ending == "nhdr" else {"data": named}
    path = detached(tmp_path, ending, data, **changes)
    with pytest.raises(DatasetError) as error:
        read_image(path)
    assert problem in str(error.value)


def test_the_nrrd_files_of_a_reader_of_python_are_read_right_or_refused(data_folder: Path) -> None:
    """Values of pynrrd; SimpleITK reads one of them shifted by 176 values."""
    folder = data_folder / "odd_files" / "pynrrd"
    whole = read_image(folder / "BallBinary30x30x30.nrrd").data
    assert (np.unique(whole).tolist(), int((whole == 257).sum())) == ([0, 257], int(whole.sum()) // 257)
    for name in (
        *("_gz.nrrd", "_gz_lineskip.nrrd", "_gz_byteskip_minus_one.nrrd", ".nhdr", "_byteskip_minus_one.nhdr"),
        *("_byteskip_minus_one_nifti.nhdr", ".nii.gz"),
    ):
        np.testing.assert_array_equal(read_image(folder / f"BallBinary30x30x30{name}").data, whole)
    refused = {
        "BallBinary30x30x30_bz2.nrrd": "its voxels are encoded as 'bzip2'",
        "BallBinary30x30x30_byteskip_minus_five.nhdr": "its byte skip is '-5'",
        "BallBinary30x30x30_nifti.nhdr": "BallBinary30x30x30.nii.gz: holds more than the (30, 30, 30) voxels",
        "test1d_ascii.nrrd": "has '1' dimension",
        "test2d_ascii.nrrd": "has '2' dimensions",
        "test_customFields.nrrd": "has '1' dimension",
        "test_simple4d_raw.nrrd": "has '4' dimensions",
    }
    for name, problem in refused.items():
        with pytest.raises(DatasetError) as error:
            read_image(folder / name)
        assert problem in str(error.value)
    epi, mha = read_image(folder.parent / "derived" / "epi.mhd"), read_image(folder.parent / "niivue" / "mha.mha")
    np.testing.assert_array_equal(epi.data, mha.data)
    assert epi.geometry == mha.geometry


VALID: Sequence[tuple[str, bytes]] = (
    ("nrrd", b"NRRD0004\n" + "\n".join(f"{key}: {value}" for key, value in NRRD.items()).encode() + b"\n\n"),
    ("mha", "\n".join(f"{key} = {value}" for key, value in META.items()).encode() + b"\nElementDataFile = LOCAL\n"),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.integers(0, 1))
def test_any_bytes_give_a_header_or_a_refusal(tmp_path: Path, data: st.DataObject, which: int) -> None:
    ending, header = VALID[which]
    content = bytearray(header + VOXELS.tobytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 5))] = data.draw(
            st.binary(max_size=5) | st.just(b"99999") | st.just(b"nan")
        )
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content)
    try:
        header_found = read_header(path)
        assert read_image(path).data.shape == header_found.shape
    except AutosegError as error:
        assert str(error).startswith(f"{path}: ")
        assert str(error).isprintable()
