"""HDF5 files with image and labels in one: a folder of them, train and val folders, one file; maps, and masks by channel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from autoseg.conversion.layouts import Conversion, convert_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.dataset import read_dataset
from autoseg.dataset.raw_cases import read_case
from autoseg.dataset.target import Exclusive, Masks
from autoseg.errors import DatasetError
from autoseg.planning.verification import verify_dataset
from autoseg.preprocessing.dataset import reference_name

SHAPE = (4, 5, 6)
LEFT, RIGHT = np.zeros((2, *SHAPE), np.uint8)
LEFT[:, :, :2] = 1
RIGHT[:, :, 4:] = 1
WHOLE = np.ones(SHAPE, np.uint8)


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 1000, SHAPE, np.uint16)


def made(path: Path, **arrays: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name.replace("__", "/"), data=values).attrs["element_size_um"] = (2.0, 0.5, 0.5)
    return path


def convert(source: Path, tmp_path: Path, **settings: Any) -> Conversion:
    return convert_dataset(source, tmp_path / "raw_data", ConversionSettings(**settings))


def refusal(source: Path, tmp_path: Path, **settings: Any) -> str:
    with pytest.raises(DatasetError) as error:
        convert(source, tmp_path, **settings)
    assert not (tmp_path / "raw_data").exists()
    return str(error.value).removeprefix(f"{source}: ")


def test_a_folder_of_maps(tmp_path: Path) -> None:
    for number in range(3):
        made(tmp_path / "Cells" / f"c{number}.h5", raw=image(number), label=LEFT + 2 * RIGHT)
    made(tmp_path / "Cells" / "new.hdf5", raw=image(3))

    conversion = convert(tmp_path / "Cells", tmp_path, labels=("cell", "wall"))

    assert conversion.understood.report().splitlines()[:6] == [
        f"{tmp_path / 'Cells'}: HDF5 files that hold an image and its labels each",
        "  channels  0 image",
        "  labels    0 background, 1 cell, 2 wall",
        "  cases     3 with labels, 1 without",
        "  files     3 .h5, 1 .hdf5",
        "  note      image and label are the arrays raw and label of each file",
    ]
    dataset = read_dataset(conversion.folder)
    for number, case in enumerate(dataset.training):
        raw = read_case(case, dataset.target)
        np.testing.assert_array_equal(raw.data, image(number)[None])
        np.testing.assert_array_equal(raw.segmentation, LEFT + 2 * RIGHT)
        assert case.segmentation is not None and case.segmentation.samefile(case.image_paths[0])
    assert [case.identifier for case in dataset.test] == ["new"]


def test_values_with_gaps_and_arrays_of_other_names(tmp_path: Path) -> None:
    made(tmp_path / "Cells" / "a.h5", volumes__em=np.stack([image(0), image(1)]), volumes__cells=LEFT * 255)
    assert (
        "has no array raw, but volumes/cells, volumes/em; name those of image and label with `hdf5_arrays`"
        in refusal(tmp_path / "Cells", tmp_path)
    )
    settings = {"hdf5_arrays": ("volumes/em", "volumes/cells"), "channels": ("EM", "stain")}
    assert "add `remap_labels`" in refusal(tmp_path / "Cells", tmp_path, **settings)

    dataset = read_dataset(convert(tmp_path / "Cells", tmp_path, remap_labels=True, **settings).folder)

    raw = read_case(dataset.training[0], dataset.target)
    assert dataset.channels == ("EM", "stain")
    np.testing.assert_array_equal(raw.data, [image(0), image(1)])
    np.testing.assert_array_equal(raw.segmentation, LEFT)


@pytest.mark.parametrize(("second", "target"), [(RIGHT, Exclusive), (WHOLE, Masks)])
def test_masks_by_channel_are_one_map_where_they_never_overlap(
    tmp_path: Path, second: np.ndarray, target: type
) -> None:
    made(tmp_path / "Cells" / "a.h5", raw=image(0), label=np.stack([LEFT, second]))

    conversion = convert(tmp_path / "Cells" / "a.h5", tmp_path, labels=("one", "two"))

    dataset = read_dataset(conversion.folder)
    raw = read_case(dataset.training[0], dataset.target)
    assert (conversion.folder.name, type(dataset.target)) == ("Task500_a", target)
    if target is Masks:
        np.testing.assert_array_equal(np.asarray(raw.segmentation) > 0, [LEFT, second])
        assert "  note      these overlap, so each label is a mask of its own: one and two share 40 voxels in a" in (
            conversion.understood.report()
        )
    else:
        np.testing.assert_array_equal(raw.segmentation, LEFT + 2 * second)
    assert not verify_dataset(dataset.folder, workers=1).errors


def test_folders_train_and_val_are_the_split(tmp_path: Path) -> None:
    for folder, names in {"train": "ab", "val": "c", "test": "d"}.items():
        for name in names:
            made(tmp_path / "Cells" / folder / f"{name}.h5", raw=image(ord(name)), label=LEFT)

    dataset = read_dataset(convert(tmp_path / "Cells", tmp_path).folder)

    assert {case.identifier: case.facts.get("split") for case in dataset.training} == {
        "a": "train",
        "b": "train",
        "c": "val",
    }
    assert [case.identifier for case in dataset.test] == ["d"]


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "Cells"
    made(folder / "a.h5", raw=image(0), label=LEFT)
    made(folder / "b.h5", raw=image(1), label=np.stack([LEFT, RIGHT, WHOLE]))
    assert refusal(folder, tmp_path) == (
        "its files are not of one dataset: 1 channel and a map of labels in a.h5; 1 channel and 3 masks in b.h5; "
        "name one file, or a folder of files that hold the same"
    )
    assert refusal(folder / "b.h5", tmp_path, labels=("x",)) == (
        "1 label named (x), but the files hold 3 masks; name each once, in this order"
    )
    assert refusal(made(tmp_path / "c.h5", raw=image(0)), tmp_path) == (
        "no file has an array label, but raw; name those of image and label with `hdf5_arrays`"
    )


def test_one_label_file_may_hold_all_masks_of_dataset_json(tmp_path: Path) -> None:
    folder, masks = tmp_path / "Task007_Cells", np.stack([LEFT, WHOLE])
    made(folder / "imagesTr" / "a.h5", raw=image(0))
    made(folder / "labelsTr" / "a.h5", label=masks)
    description = {
        "modality": {"0": "EM"},
        "masks": ["part", "whole"],
        "numTraining": 1,
        "numTest": 0,
        "training": [{"image": "./imagesTr/a.h5", "label": "./labelsTr/a.h5"}],
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(description))

    dataset = read_dataset(folder)
    (case,) = dataset.training
    np.testing.assert_array_equal(np.asarray(read_case(case, dataset.target).segmentation) > 0, masks)
    assert [reference_name(case, place, dataset.target) for place in range(2)] == ["a_part.nii.gz", "a_whole.nii.gz"]
    assert not verify_dataset(folder, workers=1).errors
    again = read_dataset(convert(folder, tmp_path, number=8).folder)
    np.testing.assert_array_equal(np.asarray(read_case(again.training[0], again.target).segmentation) > 0, masks)

    (folder / "dataset.json").write_text(json.dumps({**description, "masks": ["part", "whole", "more"]}))
    dataset = read_dataset(folder)
    with pytest.raises(DatasetError, match=r"a\.h5: holds 2 masks, and dataset.json names 3 masks; make the two agree"):
        read_case(dataset.training[0], dataset.target)


@pytest.mark.parametrize(
    ("name", "settings", "outputs"),
    [
        ("sample_ovule", {"remap_labels": True}, 50),
        ("synthetic_3d", {}, 2),
        ("synthetic_4d_overlapping", {"labels": ("a", "b", "c")}, 3),
    ],
)
def test_real_and_synthetic_microscopy(
    data_folder: Path, tmp_path: Path, name: str, settings: dict[str, Any], outputs: int
) -> None:
    conversion = convert(data_folder / "ovule_h5" / f"{name}.h5", tmp_path, **settings)
    dataset = read_dataset(conversion.folder)
    assert len(dataset.target.scored) == outputs
    assert not verify_dataset(conversion.folder, workers=1).errors
    raw = read_case(dataset.training[0], dataset.target)
    if name == "synthetic_4d_overlapping":
        assert np.count_nonzero(raw.segmentation, axis=(1, 2, 3)).tolist() == [13499, 9589, 1321]
