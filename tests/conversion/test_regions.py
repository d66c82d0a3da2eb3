"""Regions of interest in every layout: outside of them nothing is known, and images may be cut to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest

from autoseg.commands.convert_dataset import COMMAND as CONVERT
from autoseg.conversion.layouts import convert_dataset, read_conversion
from autoseg.conversion.regions import with_regions
from autoseg.conversion.settings import ConversionSettings
from autoseg.conversion.understood import Understood
from autoseg.dataset import read_dataset
from autoseg.dataset.coding import IGNORED, IGNORED_PLANE, WHOLE
from autoseg.dataset.raw_cases import RawCase, read_case
from autoseg.errors import AutosegError, DatasetError
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image

SHAPE = (4, 6, 8)
GRID = Geometry(spacing=(3.0, 1.0, 0.5), origin=(1, 2, 3), direction=(1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))
INSIDE = np.s_[1:3, 2:5, 3:6]
"""Where the region holds."""


def image(number: int = 0) -> np.ndarray:
    return np.random.default_rng(number).normal(100, 10, SHAPE).astype(np.float32)


def label() -> np.ndarray:
    data = np.zeros(SHAPE, np.uint8)
    data[:, 1:4, 2:5] = 1
    return data


def region(value: int = 1) -> np.ndarray:
    data = np.zeros(SHAPE, np.uint8)
    data[INSIDE] = value
    return data


def expected() -> np.ndarray:
    known = np.full(SHAPE, IGNORED, np.int16)
    known[INSIDE] = label()[INSIDE]
    return known


def plain(folder: Path, ending: str = ".nii.gz") -> Path:
    for case in ("a", "b"):
        write_image(folder / "images" / f"{case}{ending}", image(), GRID)
        write_image(folder / "labels" / f"{case}{ending}", label(), GRID)
    write_image(folder / "rois" / "a.nii.gz", region(), GRID)
    return folder


def split(folder: Path) -> Path:
    for role, case in (("train", "a"), ("val", "b")):
        write_image(folder / role / "images" / f"{case}.nii.gz", image(), GRID)
        write_image(folder / role / "labels" / f"{case}.nii.gz", label(), GRID)
    write_image(folder / "train" / "rois" / "a.nii.gz", region(255), GRID)
    return folder


def table(folder: Path) -> Path:
    plain(folder)
    path = folder / "cases.tsv"
    lines = [f"{case}\timages/{case}.nii.gz\tlabels/{case}.nii.gz\t" for case in ("a", "b")]
    path.write_text(f"case\timage\tlabel\troi\n{lines[0]}rois/a.nii.gz\n{lines[1]}n/a\n")
    return path


def folders(folder: Path) -> Path:
    for case in ("a", "b"):
        write_image(folder / case / "ct.nii.gz", image(), GRID)
        write_image(folder / case / "segmentations" / "organ.nii.gz", label(), GRID)
    write_image(folder / "a" / "roi.nii.gz", region(), GRID)
    return folder


def ours(folder: Path) -> Path:
    for case in ("a", "b"):
        write_image(folder / "imagesTr" / f"{case}_0000.nii.gz", image(), GRID)
        write_image(folder / "labelsTr" / f"{case}.nii.gz", label(), GRID)
    write_image(folder / "regions" / "a.nii.gz", region(), GRID)
    entries = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in ("a", "b")]
    entries[0]["roi"] = "./regions/a.nii.gz"
    description = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "organ"}, "training": entries}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def second(folder: Path) -> Path:
    ours(folder)
    (folder / "regions").rename(folder / "roisTr")
    description = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def bids(folder: Path) -> Path:
    for case in ("01", "02"):
        write_image(folder / f"sub-{case}" / "anat" / f"sub-{case}_T1w.nii.gz", image(), GRID)
        derived = folder / "derivatives" / "labels" / f"sub-{case}" / "anat"
        write_image(derived / f"sub-{case}_T1w_seg.nii.gz", label(), GRID)
        write_image(derived / f"sub-{case}_T1w_roi.nii.gz", region(), GRID)
    return folder


LAYOUTS = (plain, split, table, folders, ours, second, bids)


def converted(source: Path, tmp_path: Path, **asked: Any) -> list[RawCase]:
    if (source / "sub-01").is_dir():
        asked = {"roi_suffix": "_roi", **asked}
    folder = convert_dataset(source, tmp_path / "raw_data", ConversionSettings(number=1, name="A", **asked)).folder
    dataset = read_dataset(folder)
    return [read_case(case, dataset.target) for case in dataset.training]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_outside_of_its_region_nothing_of_a_case_is_known(layout: Any, tmp_path: Path) -> None:
    source = layout(tmp_path / "source")

    first, other = converted(source, tmp_path)

    np.testing.assert_array_equal(first.segmentation, expected())
    np.testing.assert_array_equal(first.data[0], image())
    if layout is not bids:
        np.testing.assert_array_equal(other.segmentation, label())


def test_links_stay_links_and_only_labels_are_written(tmp_path: Path) -> None:
    source = plain(tmp_path / "source")
    conversion = convert_dataset(source, tmp_path / "raw_data", ConversionSettings(number=1, name="A", link=True))

    assert conversion.understood.notes[:2] == (
        "outside of roi nothing is known: neither trained on nor scored",
        "without roi, so all of it counts: b",
    )
    links = {path.name for path in conversion.folder.rglob("*.nii.gz") if path.is_symlink()}
    assert links == {"a_0000.nii.gz", "b_0000.nii.gz", "b.nii.gz"}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_images_and_labels_are_cut_to_the_region_and_what_lies_around_it(layout: Any, tmp_path: Path) -> None:
    first, other = converted(layout(tmp_path / "source"), tmp_path, roi_margin=1.0)

    box = np.s_[1:3, 1:6, 1:8]  # nothing along z, a voxel along y, two along x
    np.testing.assert_array_equal(first.data[0], image()[box])
    np.testing.assert_array_equal(first.segmentation, expected()[box])
    start = np.array([1, 1, 1]) * GRID.spacing
    at = np.array(GRID.origin) + np.reshape(GRID.direction, (3, 3)) @ start
    np.testing.assert_allclose(first.geometry.origin, at, atol=1e-5)
    assert first.geometry.differences(Geometry(spacing=GRID.spacing, origin=tuple(at), direction=GRID.direction)) == ()
    assert other.data.shape[1:] == (SHAPE if layout is not bids else (2, 5, 7))


def test_a_region_of_masks_is_written_into_each(tmp_path: Path) -> None:
    source = folders(tmp_path / "source")

    first, _ = converted(source, tmp_path, overlap="masks")

    plane = np.full(SHAPE, IGNORED_PLANE, np.uint8)
    plane[INSIDE] = WHOLE * label()[INSIDE]
    np.testing.assert_array_equal(first.segmentation, plane[None])


def test_a_value_that_is_declared_already_is_taken(tmp_path: Path) -> None:
    source = ours(tmp_path / "source")
    description = json.loads((source / "dataset.json").read_text())
    (source / "dataset.json").write_text(json.dumps({**description, "ignore": 7}))

    first, _ = converted(source, tmp_path)

    np.testing.assert_array_equal(first.segmentation, expected())
    assert read_image(tmp_path / "raw_data/Task001_A/labelsTr/a.nii.gz").data.max() == 7


def refusal(source: Path, tmp_path: Path, **asked: Any) -> str:
    with pytest.raises(AutosegError) as refused:
        converted(source, tmp_path, **asked)
    assert not list(tmp_path.glob("raw_data/*"))
    return str(refused.value).replace(f"{source}", "SOURCE")


def test_regions_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    source = plain(tmp_path / "source")
    write_image(source / "rois" / "a.nii.gz", np.zeros(SHAPE, np.uint8), GRID)
    assert "SOURCE/rois/a.nii.gz: marks nothing; draw the region, or take the file away" in refusal(source, tmp_path)
    write_image(source / "rois" / "a.nii.gz", region()[1:], GRID)
    assert (
        "SOURCE/rois/a.nii.gz: lies on another grid than a.nii.gz: size (3, 6, 8) and (4, 6, 8) voxels (z, y, x); resample one"
        in refusal(source, tmp_path)
    )
    (source / "rois" / "a.nii.gz").rename(source / "rois" / "c.nii.gz")
    assert refusal(source, tmp_path) == (
        "SOURCE/rois: no image of c; name the masks of regions as their cases, or take them away"
    )
    (source / "rois" / "c.nii.gz").unlink()
    (source / "rois").rmdir()
    assert refusal(source, tmp_path, roi_margin=0.0) == (
        "SOURCE: there is no region to cut to; put a mask of each case into a folder rois, named as the case"
    )


def test_what_regions_cannot_be_written_into_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "pictures"
    (source / "images").mkdir(parents=True)
    imageio.imwrite(source / "images" / "a.png", np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8))
    for part in ("labels", "rois"):
        (source / part).mkdir()
        imageio.imwrite(source / part / "a.png", region()[1])
    assert refusal(source, tmp_path, roi_margin=1.0) == (
        "SOURCE: a: several channels in one file are not cut to a region; leave them whole, or save each channel as a file"
    )
    (known,) = converted(source, tmp_path)
    np.testing.assert_array_equal(known.segmentation[0], np.where(region()[1] == 1, 1, IGNORED))

    understood = Understood(
        source=source, layout="", number=1, name="A", channels=("MRI",), labels=("",) * 256, training=(), test=()
    )
    with pytest.raises(
        DatasetError, match='labels go to 255, and outside of regions 255 is written; declare another value, "i'
    ):
        with_regions(understood, {"a": source}, None)


def test_a_listed_region_that_is_not_there_is_refused(tmp_path: Path) -> None:
    source = ours(tmp_path / "source")
    (source / "regions" / "a.nii.gz").unlink()

    assert refusal(source, tmp_path) == (
        "SOURCE: 1 mask of regions that dataset.json lists under roi not there: SOURCE/regions/a.nii.gz; add it, or correct "
        "the name"
    )


def test_a_task_that_lists_regions_is_to_be_converted(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="training: roi is read where a dataset is converted, which writes what"):
        read_dataset(ours(tmp_path / "Task001_A"))


def test_what_a_task_was_made_of_is_read_as_earlier_versions_wrote_it(tmp_path: Path) -> None:
    folder = convert_dataset(plain(tmp_path / "s"), tmp_path / "raw_data", ConversionSettings(number=1)).folder
    record = json.loads((folder / "conversion.json").read_text())
    del record["settings"]["roi_margin"]
    (folder / "conversion.json").write_text(json.dumps(record))

    known = read_conversion(folder)

    assert known is not None and known.is_of(tmp_path / "s", ConversionSettings(number=1))


def test_the_margin_is_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-i", str(plain(tmp_path / "s")), "--home", str(tmp_path)]
    assert CONVERT([*words, "--crop_to_roi", "-1"]) == 2
    assert "--crop_to_roi: expected a number above 0, found '-1'" in capsys.readouterr().err
    assert CONVERT([*words, "--crop_to_roi", "0"]) == 0
    assert "  note      cut to roi and 0 mm around it; cut new images alike\n" in capsys.readouterr().out
