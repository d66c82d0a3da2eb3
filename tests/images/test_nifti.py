"""The header check: what is read, and each refusal with its words."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoseg.errors import DatasetError
from autoseg.forms import NOWHERE
from autoseg.geometry import Geometry
from autoseg.images import read_header, write_image
from autoseg.images.refusals import LARGEST_VOLUME

NAN, INFINITY = float("nan"), float("inf")


def refusal(path: Path, **options: int) -> str:
    with pytest.raises(DatasetError) as caught:
        read_header(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_a_header_is_read_in_both_byte_orders_compressed_or_not(make_nifti, name, order):
    path = make_nifti(name, order=order, pixdim=(1, 0.5, 0.75, 2.5, 0, 0, 0, 0), slope=2, intercept=-3)

    header = read_header(path)

    assert (header.shape, header.geometry.spacing, header.offset) == ((2, 3, 4), (2.5, 0.75, 0.5), 352)
    assert (header.voxel_type, header.size) == (np.dtype(order + "i2"), 48)
    assert (header.slope, header.intercept, header.geometry.forms) == (2, -3, NOWHERE)


def test_a_header_is_read_though_the_compressed_file_ends_behind_it(make_nifti):
    path = make_nifti("a.nii.gz", voxels=np.random.default_rng(0).bytes(48))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])

    assert read_header(path).shape == (2, 3, 4)


@pytest.mark.parametrize("count", [4, 5, 7])
def test_dimensions_of_one_behind_the_third_do_not_count(make_nifti, count):
    assert read_header(make_nifti(dim=(count, 4, 3, 2, 1, 1, 1, 1))).shape == (2, 3, 4)


def test_a_single_slice_is_a_volume(make_nifti):
    assert read_header(make_nifti(dim=(3, 4, 6, 1, 1, 1, 1, 1))).shape == (1, 6, 4)


@pytest.mark.parametrize(("slope", "intercept"), [(0, 7), (NAN, 0), (1, NAN)])
def test_a_scaling_that_is_none_is_ignored(make_nifti, slope, intercept):
    header = read_header(make_nifti(slope=slope, intercept=intercept))

    assert (header.slope, header.intercept) == (1, 0)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"dim": (2, 4, 6, 1, 1, 1, 1, 1)}, "has 2 dimensions, of size (4, 6)"),
        ({"dim": (4, 4, 3, 1, 2, 1, 1, 1)}, "has 4 dimensions, of size (4, 3, 1, 2)"),
        ({"dim": (5, 4, 1, 1, 1, 6, 1, 1)}, "has 5 dimensions, of size (4, 1, 1, 1, 6)"),
        ({"dim": (0, 4, 3, 2, 1, 1, 1, 1)}, "declares 0 dimensions; there are 1 to 7"),
        ({"dim": (8, 4, 3, 2, 1, 1, 1, 1)}, "declares 8 dimensions; there are 1 to 7; export it again"),
        ({"dim": (3, 4, 0, 2, 1, 1, 1, 1)}, "declares the size (4, 0, 2); every side needs a voxel"),
        ({"dim": (3, 4, 3, -2, 1, 1, 1, 1)}, "declares the size (4, 3, -2); every side needs a voxel"),
        ({"datatype": 1}, "its voxels are single bits"),
        ({"datatype": 32}, "its voxels are complex numbers"),
        ({"datatype": 1792}, "its voxels are complex numbers"),
        ({"datatype": 128}, "its voxels are RGB colours"),
        ({"datatype": 2304}, "its voxels are RGBA colours"),
        ({"datatype": 1536}, "its voxels are 128-bit floats"),
        ({"datatype": 77}, "its voxels are a type of number nobody knows (datatype 77)"),
        ({"pixdim": (1, 1, 0, 1, 1, 1, 1, 1)}, "declares a voxel size of (1, 0, 1) mm; every side must be above zero"),
        (
            {"pixdim": (1, 1, 1, -2, 1, 1, 1, 1)},
            "declares a voxel size of (1, 1, -2) mm; every side must be above zero",
        ),
        ({"pixdim": (1, NAN, 1, 1, 1, 1, 1, 1)}, "declares a voxel size of (nan, 1, 1) mm"),
        ({"pixdim": (1, INFINITY, 1, 1, 1, 1, 1, 1)}, "declares a voxel size of (inf, 1, 1) mm"),
        ({"offset": 0}, "its voxels begin at byte 0; the first possible is 352"),
        ({"offset": NAN}, "its voxels begin at byte nan"),
        ({"offset": 352.5}, "its voxels begin at byte 352.5"),
        ({"sform": [[NAN] * 4] * 3}, "the orientation in its header (qform or sform) holds NaN or infinite numbers"),
        ({"quaternion": (INFINITY, 0, 0, 0, 0, 0)}, "the orientation in its header (qform or sform) holds NaN"),
        (
            {"magic": b"ni1"},
            "is half of a header/image pair by its header; name the pair .hdr and .img, or save it as .nii.gz",
        ),
        ({"magic": b"\0\0\0"}, "is not a NIfTI image"),
        ({"version": 2, "magic": b"n+2", "offset": 544}, "is a NIfTI-2 file; save it as NIfTI-1"),
        ({"version": 2, "magic": b"n+2", "offset": 544, "dim": (4, 4, 3, 1, 2, 1, 1, 1)}, "has 4 dimensions"),
        (
            {"voxels": b"\0" * 20},
            "is truncated: its header declares 48 bytes of voxels, 20 are there; copy or download",
        ),
        ({"voxels": b""}, "is truncated: its header declares 48 bytes of voxels, 0 are there"),
        ({"voxels": b"\0" * 6000}, "holds more than the (4, 3, 2) voxels its header declares; export it again"),
    ],
)
def test_headers_that_are_refused(make_nifti, fields, problem):
    assert problem in refusal(make_nifti(**fields))


def test_four_dimensions_are_taken_where_volumes_are_welcome_but_never_five(make_nifti):
    four = make_nifti("four.nii", dim=(4, 4, 3, 1, 2, 1, 1, 1))
    five = make_nifti("five.nii", dim=(5, 4, 1, 1, 1, 6, 1, 1))

    assert read_header(four, most_dimensions=4).shape == (2, 1, 3, 4)
    assert "has 5 dimensions" in refusal(five, most_dimensions=4)


def test_absurd_sizes_are_refused_before_memory_is_taken(make_nifti):
    large = (3, 32767, 32767, 32767, 1, 1, 1, 1)

    assert (
        f"declares (32767, 32767, 32767) voxels, 7.036e+04 GB; no more than {LARGEST_VOLUME / 1e9:.4g} GB are read"
        in refusal(make_nifti(dim=large))
    )
    small_file = make_nifti("bomb.nii.gz", dim=(3, 2000, 1000, 100, 1, 1, 1, 1))
    size = small_file.stat().st_size
    assert f"declares 400000000 bytes of voxels, which its {size} compressed bytes cannot hold" in refusal(small_file)


def test_what_is_no_image_is_told_apart(tmp_path):
    def written(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    assert refusal(written("a.img.gz", b"")) == (
        "holds the voxels of a header/image pair; name its header, the file .hdr"
    )
    assert "is no image by its name" in refusal(written("a.dat", b""))
    assert "is not a NIfTI image;" in refusal(written("a.nii", b"hello"))
    assert "is not a NIfTI image;" in refusal(written("b.nii", b""))
    assert "is truncated: 40 bytes, the header alone has 348" in refusal(written("c.nii", struct.pack("<i36x", 348)))
    packed = gzip.compress(struct.pack("<i36x", 348))
    assert "is truncated: 40 bytes" in refusal(written("d.nii.gz", packed))
    assert "is gzip-compressed, but its name does not say so; rename it to e.nii.gz" in refusal(
        written("e.nii", packed)
    )
    assert "is damaged" in refusal(written("f.nii.gz", packed[:2] + b"\xff" + packed[3:]))
    assert "there is no such file" in refusal(tmp_path / "absent.nii")
    (tmp_path / "folder.nii").mkdir()
    assert "there is no such file" in refusal(tmp_path / "folder.nii")


def test_a_loop_of_links_and_odd_names_are_refused_in_words(tmp_path):
    loop = tmp_path / "loop.nii"
    loop.symlink_to(loop)
    assert "there is no such file; check the name, and where a link leads" in refusal(loop)

    for name, shown in (("two\nlines.nii", "two\\nlines.nii"), ("raw\udcff.nii", "raw\\udcff.nii")):
        with pytest.raises(DatasetError) as caught:
            read_header(tmp_path / name)
        assert shown in str(caught.value)
        assert str(caught.value).isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_says_so(make_nifti):
    path = make_nifti()
    path.chmod(0)

    assert "cannot be read: Permission denied; check the disk and the permissions" in refusal(path)


@pytest.mark.parametrize("kind", ["bool", "float16", "complex64", "float128"])
def test_an_array_that_no_file_can_hold_is_a_mistake_of_the_caller(tmp_path, kind):
    with pytest.raises(TypeError, match=f"no image file holds an array of 3 dimensions of {kind}"):
        write_image(tmp_path / "a.nii", np.zeros((1, 1, 1), kind), Geometry(spacing=(1, 1, 1)))
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.integers(0, 351), st.integers(0, 255), max_size=6), kept=st.integers(0, 400))
def test_any_bytes_give_a_header_or_a_refusal(make_nifti, changes, kept):
    path = make_nifti()
    content = bytearray(path.read_bytes())
    for position, value in changes.items():
        content[position] = value
    path.write_bytes(content[:kept] if kept < 400 and not changes else content)

    try:
        header = read_header(path)
    except DatasetError:
        return
    assert min(header.shape) >= 1
    assert min(header.geometry.spacing) > 0
    assert header.offset + header.size <= len(content)
