"""Maps of labels that several raters drew, in the layouts that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.conversion.layouts import convert_dataset
from autoseg.conversion.recognition import understand_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.dataset import Exclusive, read_dataset
from autoseg.dataset.raw_cases import RawCase, read_case
from autoseg.errors import AutosegError
from autoseg.geometry import Geometry
from autoseg.images import write_image

SHAPE = (3, 4, 5)
GRID = Geometry(spacing=(2.0, 1.0, 1.0))


def image() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 10, SHAPE).astype(np.float32)


def drawn(rater: int, values: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
    return np.roll(np.resize(np.array(values, np.uint8), SHAPE), rater)


def write(path: Path, data: np.ndarray) -> None:
    write_image(path, data, GRID)


def plain(folder: Path, values: tuple[int, ...] = (0, 1, 2)) -> Path:
    for case in ("a", "b"):
        write(folder / "images" / f"{case}.nii.gz", image())
    for rater in (1, 2, 3):
        write(folder / "labels" / f"a_rater{rater}.nii.gz", drawn(rater, values))
    write(folder / "labels" / "b.nii.gz", drawn(7, values))
    return folder


def split(folder: Path) -> Path:
    plain(folder / "train")
    for part in ("images", "labels"):
        (folder / "val" / part).mkdir(parents=True)
        (folder / "train" / part / "b.nii.gz").rename(folder / "val" / part / "b.nii.gz")
    return folder


def table(folder: Path) -> Path:
    plain(folder)
    path = folder / "cases.csv"
    raters = ",".join(f"labels/a_rater{rater}.nii.gz" for rater in (1, 2, 3))
    path.write_text(
        "case,image,label,label_rater1,label_rater2,label_rater3,site\n"
        f"a,images/a.nii.gz,,{raters},x\nb,images/b.nii.gz,labels/b.nii.gz,,,,y\n"
    )
    return path


def bids(folder: Path) -> Path:
    for case in ("a", "b"):
        write(folder / f"sub-{case}" / "anat" / f"sub-{case}_T1w.nii.gz", image())
    for rater in (1, 2, 3):
        write(folder / "derivatives" / f"r{rater}" / "sub-a" / "anat" / "sub-a_T1w_dseg.nii.gz", drawn(rater))
    write(folder / "derivatives" / "r1" / "sub-b" / "anat" / "sub-b_T1w_dseg.nii.gz", drawn(7))
    return folder


def converted(source: Path, tmp_path: Path, **asked: Any) -> tuple[list[RawCase], Path]:
    settings = ConversionSettings(number=1, name="A", **asked)
    folder = convert_dataset(source, tmp_path / "raw_data", settings).folder
    dataset = read_dataset(folder)
    assert isinstance(dataset.target, Exclusive)
    return [read_case(case, dataset.target) for case in dataset.training], folder


@pytest.mark.parametrize("layout", [plain, split, table, bids], ids=lambda layout: layout.__name__)
def test_a_case_has_the_map_of_each_rater(layout: Any, tmp_path: Path) -> None:
    (first, second), folder = converted(layout(tmp_path / "source"), tmp_path)

    np.testing.assert_array_equal(first.segmentation, np.stack([drawn(rater) for rater in (1, 2, 3)]))
    assert first.planes == ((0, 1, 2),)
    np.testing.assert_array_equal(np.squeeze(second.segmentation), drawn(7))
    assert len(list(folder.glob("labelsTr/*_rater[123].nii.gz"))) == 3 and len(list(folder.glob("labelsTr/*"))) == 4


def test_values_with_gaps_are_renumbered_for_all_raters(tmp_path: Path) -> None:
    (first, _), _ = converted(plain(tmp_path / "source", (0, 127, 255)), tmp_path, remap_labels=True)

    np.testing.assert_array_equal(first.segmentation, np.stack([drawn(rater) for rater in (1, 2, 3)]))


def test_a_file_beside_those_of_raters_is_refused(tmp_path: Path) -> None:
    source = plain(tmp_path / "source")
    write(source / "labels" / "a.nii.gz", drawn(0))

    with pytest.raises(AutosegError) as refused:
        understand_dataset(source, ConversionSettings(), workers=1)
    assert str(refused.value) == (
        f"{source}/labels: a.nii.gz lies beside the files of raters; is it their mean, take it away, or one more, call it "
        "a_rater4"
    )


def test_names_that_end_as_those_of_raters_may_be_cases(tmp_path: Path) -> None:
    source = plain(tmp_path / "source")
    for rater in (1, 2, 3):
        write(source / "images" / f"a_rater{rater}.nii.gz", image())

    (source / "images" / "a.nii.gz").unlink()
    understood = understand_dataset(source, ConversionSettings(), workers=1)
    assert [case.identifier for case in understood.training] == ["a_rater1", "a_rater2", "a_rater3", "b"]
    assert understood.outputs is None
