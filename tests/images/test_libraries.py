"""Why some headers and all voxels are read by our own code: what the libraries of these formats make of bad files.

A test that fails here says that a library has become better; then less code of our own may do.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.errors import DatasetError
from autoseg.images import read_image

VOXELS = np.arange(24, dtype="<i2").reshape(2, 3, 4)
NOISE = np.random.default_rng(0).integers(0, 1000, (20, 30, 40), np.int16)
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 3 2",
    "space directions": "(1,0,0) (0,1,0) (0,0,1)",
    "endian": "little",
    "encoding": "raw",
}
META = {"NDims": "3", "ElementSpacing": "1 1 1", "DimSize": "4 3 2", "ElementType": "MET_SHORT"}
SECRET = b"no voxels at all, but a file of somebody else's, of some length"


def nrrd(folder: Path, voxels: bytes = VOXELS.tobytes(), **changes: str | None) -> Path:
    lines = [f"{key}: {value}" for key, value in {**NRRD, **changes}.items() if value is not None]
    (folder / "a.nrrd").write_bytes("\n".join(["NRRD0004", *lines, "", ""]).encode() + voxels)
    return folder / "a.nrrd"


def meta(folder: Path, voxels: bytes = VOXELS.tobytes(), *, data: str = "LOCAL", **changes: str | None) -> Path:
    fields = {"ObjectType": "Image", **META, **changes, "ElementDataFile": data}
    lines = [f"{key} = {value}" for key, value in fields.items() if value is not None]
    (folder / "a.mha").write_bytes("\n".join([*lines, ""]).encode() + voxels)
    return folder / "a.mha"


def packed_meta(folder: Path, packed: bytes) -> Path:
    return meta(folder, packed, CompressedData="True", CompressedDataSize=str(len(packed)))


def flipped(packed: bytes, at: int) -> bytes:
    return packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :]


# ----------------------------------------------------------------- SimpleITK crashes


@pytest.mark.parametrize(
    "made",
    [
        lambda folder: nrrd(folder, kinds="A" * 100_000),
        lambda folder: nrrd(folder, space="A" * 100_000),
        lambda folder: nrrd(folder, type="A" * 100_000),
        lambda folder: meta(folder, NDims="300", TransformMatrix="1 0 0 0 1 0 0 0 1"),
    ],
    ids=["NRRD, kinds", "NRRD, space", "NRRD, type", "MetaImage, dimensions"],
)
def test_a_header_ends_the_whole_process_in_simpleitk(tmp_path, made):
    """Its buffers overflow, also where the header alone is asked for."""
    path = made(tmp_path)
    code = (
        "import sys, SimpleITK; r = SimpleITK.ImageFileReader(); r.SetFileName(sys.argv[1]); r.ReadImageInformation()"
    )

    assert subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False).returncode < 0
    with pytest.raises(DatasetError):
        read_image(path)


def test_simpleitk_takes_memory_before_it_looks_at_the_file(tmp_path):
    with pytest.raises(RuntimeError, match="allocate memory"):
        sitk.ReadImage(str(nrrd(tmp_path, sizes="60000 60000 60000")))


# ------------------------------------------------------------- SimpleITK says nothing


@pytest.mark.parametrize("made", [nrrd, meta], ids=["NRRD", "MetaImage"])
def test_simpleitk_reads_whatever_file_a_header_names(tmp_path, made):
    (tmp_path / "other").write_bytes(SECRET)
    named = {"data file": str(tmp_path / "other")} if made is nrrd else {"data": str(tmp_path / "other")}

    found = sitk.GetArrayFromImage(sitk.ReadImage(str(made(tmp_path, b"", **named))))

    assert found.tobytes() == SECRET[:48]


@pytest.mark.parametrize(
    "made",
    [
        lambda folder: nrrd(folder, space="scanner-xyz"),
        lambda folder: nrrd(folder, **{"space directions": None}),
        lambda folder: nrrd(folder, **{"space directions": "none (0,1,0) (0,0,1)"}),
        lambda folder: nrrd(folder, **{"space directions": "(1,0,0) (0.5,1,0) (0,0,1)"}),
        lambda folder: nrrd(folder, VOXELS.tobytes() + bytes(5000)),
        lambda folder: nrrd(folder, gzip.compress(VOXELS.tobytes())[:-9], encoding="gzip"),
        lambda folder: meta(folder, ElementSpacing=None),
        lambda folder: meta(folder, TransformMatrix="1 0.5 0 0 1 0 0 0 1"),
        lambda folder: meta(folder, ElementToIntensityFunctionSlope="2"),
        lambda folder: meta(folder, HeaderSize="-1"),
        lambda folder: meta(folder, VOXELS.tobytes() + bytes(5000)),
        lambda folder: packed_meta(folder, zlib.compress(VOXELS.tobytes())[:-9]),
        lambda folder: packed_meta(folder, flipped(zlib.compress(VOXELS.tobytes(), 0), 20)),
    ],
)
def test_what_simpleitk_reads_without_a_word_is_refused(tmp_path, made):
    path = made(tmp_path)

    assert sitk.ReadImage(str(path)).GetSize() == (4, 3, 2)
    with pytest.raises(DatasetError):
        read_image(path)


# --------------------------------------------------------------- nibabel says nothing


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: gzip.compress(whole)[:-4],
        lambda whole: flipped(gzip.compress(whole), -8),
        lambda whole: gzip.compress(whole + bytes(10_000)),
        lambda whole: flipped(gzip.compress(whole, 0), 20_000),
    ],
    ids=["cut within the checksum", "another checksum", "voxels behind the last", "a voxel changed"],
)
def test_what_nibabel_reads_without_a_word_is_refused(tmp_path, spoil):
    whole = nibabel.Nifti1Image(NOISE.T, np.eye(4)).to_bytes()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(spoil(whole))

    assert np.asanyarray(nibabel.load(path).dataobj).shape == NOISE.T.shape
    with pytest.raises(DatasetError):
        read_image(path)


def test_nibabel_takes_micrometres_for_millimetres_and_a_skewed_form_for_a_grid(make_nifti):
    small = make_nifti("a.nii", unit=3, pixdim=(1, 500, 500, 500, 0, 0, 0, 0))
    skewed = make_nifti("b.nii", sform=[[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])

    assert nibabel.load(small).header.get_zooms() == (500, 500, 500)
    assert nibabel.load(skewed).affine[0, 1] == 0.5
    assert read_image(small).geometry.spacing == (0.5, 0.5, 0.5)
    with pytest.raises(DatasetError, match="skewed"):
        read_image(skewed)
