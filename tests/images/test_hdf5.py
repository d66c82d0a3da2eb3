"""HDF5: arrays by name, channels, sizes, and what is refused; real files of microscopy."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images import Reading, Told, read_header, read_image, read_label, read_volumes, write_image

RANDOM = np.random.default_rng(0)
RAW = RANDOM.integers(0, 1000, (4, 5, 6), np.uint16)
LABEL = RANDOM.integers(0, 3, (4, 5, 6), np.int64)


def made(path: Path, size: object = (2.0, 0.5, 0.25), **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            array = file.create_dataset(name.replace("__", "/"), data=values, compression="gzip", chunks=True)
            if size is not None:
                array.attrs["element_size_um"] = size
    return path


def refusal(path: Path, reading: Reading | None = None, *, label: bool = False) -> str:
    with pytest.raises(DatasetError) as error:
        (read_label if label else read_image)(path, reading or Reading())
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "i8", "f4", "f8", ">i2", "bool"])
def test_image_and_label_lie_in_one_file(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path / "a.h5", raw=RAW.astype(kind), label=LABEL)
    found = read_image(path)
    np.testing.assert_array_equal(found.data, RAW.astype(kind))
    assert found.geometry.spacing == pytest.approx((2e-3, 5e-4, 2.5e-4))
    np.testing.assert_array_equal(read_label(path).data, LABEL)


def test_other_names_and_groups(tmp_path: Path) -> None:
    path, reading = made(tmp_path / "a.hdf5", v__em=RAW, v__cells=LABEL), Reading(raw="v/em", label="v/cells")
    np.testing.assert_array_equal(read_image(path, reading).data, RAW)
    np.testing.assert_array_equal(read_label(path, reading).data, LABEL)
    assert refusal(path) == (
        'has no array raw, but v/cells, v/em; name it in dataset.json, "hdf5": {"raw": "...", "label": "..."}'
    )


def test_channels_and_slices(tmp_path: Path) -> None:
    path = made(tmp_path / "a.h5", raw=np.stack([RAW, RAW + 1]), label=LABEL[0])
    np.testing.assert_array_equal([one.data for one in read_volumes(path)], [RAW, RAW + 1])
    assert "its array raw holds 2 channels" in refusal(path)
    assert read_label(path).data.shape == (1, 5, 6)
    assert read_image(made(tmp_path / "b.h5", raw=RAW[None])).data.shape == (4, 5, 6)
    masks = made(tmp_path / "c.h5", raw=RAW, label=np.stack([LABEL, LABEL]))
    assert "its array label holds 2 channels; a label is one map (z, y, x)" in refusal(masks, label=True)


def test_without_a_size_voxels_count_as_pixels(tmp_path: Path) -> None:
    assert read_header(made(tmp_path / "a.h5", None, raw=RAW)).geometry.in_pixels
    reading = Reading(spacing=(3.0, 2.0, 1.0))
    assert read_header(tmp_path / "a.h5", reading=reading).geometry.spacing == (3, 2, 1)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    maps = RANDOM.random((2, 4, 5, 6)).astype(np.float32)
    grid = Geometry(spacing=(2.0, 0.5, 0.25))
    write_image(
        tmp_path / "a.h5",
        LABEL.astype("u1"),
        grid,
        Told(description="of some origin", names=("background", "cell"), maps=lambda: maps),
    )
    np.testing.assert_array_equal(read_label(tmp_path / "a.h5").data, LABEL)
    header = read_header(tmp_path / "a.h5")
    assert (header.description, header.geometry.spacing) == ("of some origin", pytest.approx(grid.spacing))
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["probability_maps"], maps)
        assert file["label"].attrs["name_1"] == "cell"


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"hello")
    assert refusal(tmp_path / "a.h5") == "is not an HDF5 file; copy it again, or correct the ending of its name"
    whole = made(tmp_path / "b.h5", raw=RAW).read_bytes()
    (tmp_path / "b.h5").write_bytes(whole[:-200])
    assert "is truncated or damaged (" in refusal(tmp_path / "b.h5")
    assert "its array /raw holds complex128" in refusal(made(tmp_path / "c.h5", raw=RAW * 1j))
    assert "its array /raw has the size (2, 2, 4, 5, 6)" in refusal(
        made(tmp_path / "d.h5", raw=np.stack([[RAW] * 2] * 2))
    )
    assert "its array /raw has the size (0, 5, 6)" in refusal(made(tmp_path / "e.h5", raw=RAW[:1].repeat(0, 0)))
    assert "its element_size_um is [0. 1. 1.]; write three sizes above 0" in refusal(
        made(tmp_path / "f.h5", (0, 1, 1), raw=RAW)
    )
    with h5py.File(tmp_path / "h.h5", "w") as file:
        file.create_dataset("raw", shape=(2, 2, 2), dtype="u1", external=[("/etc/passwd", 0, 8)])
    assert "its array raw lies in other files; save it as one file" in refusal(tmp_path / "h.h5")
    with h5py.File(tmp_path / "i.h5", "w") as file:
        file["raw"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "/raw")
    assert "lies in other files" in refusal(tmp_path / "i.h5")


def test_real_files_of_microscopy(data_folder: Path) -> None:
    folder = data_folder / "ovule_h5"
    real, made_up = read_image(folder / "sample_ovule.h5"), read_label(folder / "synthetic_3d.h5")
    assert (real.data.shape, real.data.dtype, len(np.unique(read_label(folder / "sample_ovule.h5").data))) == (
        (32, 128, 128),
        np.uint8,
        51,
    )
    assert real.geometry.spacing == pytest.approx((2.35e-4, 1.5e-4, 1.5e-4))
    assert [int((made_up.data == value).sum()) for value in (1, 2)] == [8373, 4891]
    assert len(read_volumes(folder / "synthetic_4d_overlapping.h5")) == 2
