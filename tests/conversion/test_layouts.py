"""Datasets in the layouts people have: what is understood, what is written, what is refused, and that the source stays."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.conversion.layouts import Conversion, convert_dataset
from autoseg.conversion.recognition import understand_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.conversion.writing import write_task
from autoseg.dataset import Exclusive, read_dataset
from autoseg.dataset.raw_cases import read_case
from autoseg.dataset.target import Masks, Regions
from autoseg.errors import AutosegError, DatasetError, StorageError, WorkspaceError
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.planning.verification import verify_dataset

GRID = Geometry(spacing=(3.0, 1.0, 0.5), origin=(1, 2, 3))
SHAPE = (3, 4, 5)


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(100, 10, SHAPE).astype(np.float32)


def label(number: int, values: Sequence[int] = (0, 1, 2)) -> np.ndarray:
    """Every value is there, in another place for each number."""
    return np.roll(np.resize(np.array(values), SHAPE), number).astype(np.int16 if min(values) < 0 else np.uint8)


def write(path: Path, data: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, data, GRID)
    return path


def describe(folder: Path, **content: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(content))


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the note of what a task was made of."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "conversion.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def convert(source: Path, tmp_path: Path, *, tasks: Sequence[str] = (), **settings: Any) -> Conversion:
    """Convert, with the source looked at before and after."""
    before = contents(source) if source.is_dir() else {}
    try:
        return convert_dataset(source, tmp_path / "raw_data", ConversionSettings(**settings), tasks=tasks)
    finally:
        assert (contents(source) if source.is_dir() else {}) == before


def refusal(source: Path, tmp_path: Path, *, tasks: Sequence[str] = (), **settings: Any) -> str:
    """The message; nothing may have been written."""
    with pytest.raises(AutosegError) as error:
        convert(source, tmp_path, tasks=tasks, **settings)
    raw_data = tmp_path / "raw_data"
    assert not raw_data.exists() or list(raw_data.iterdir()) == []
    return str(error.value)


# ---------------------------------------------------------------- second generation


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Three labelled cases and one without, of two channels; a name holds an underscore and digits."""
    folder = tmp_path / "Dataset027_Heart"
    for number in range(4):
        part, case = ("imagesTr", f"patient_00{number}") if number < 3 else ("imagesTs", "patient_003")
        for channel in range(2):
            write(folder / part / f"{case}_{channel:04d}.nii.gz", image(10 * number + channel))
        if number < 3:
            write(folder / "labelsTr" / f"{case}.nii.gz", label(number))
    (folder / "imagesTr" / ".DS_Store").write_bytes(b"x")
    (folder / "imagesTr" / "notes.txt").write_bytes(b"x")
    describe_second(folder)
    return folder


def describe_second(folder: Path, **changes: Any) -> None:
    known = {
        "channel_names": {"0": "cine", "1": "rescale_to_0_1"},
        "labels": {"background": 0, "MLV": 2, "RV": 1},
        "numTraining": 99,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "licence": "CC0",
    }
    describe(folder, **{key: value for key, value in {**known, **changes}.items() if value is not None})


def test_the_second_generation_becomes_a_task(second: Path, tmp_path: Path) -> None:
    conversion = convert(second, tmp_path)

    target = tmp_path / "raw_data" / "Task027_Heart"
    assert conversion.folder == target
    written = contents(target)
    assert json.loads(written.pop("dataset.json")) == {
        "name": "Heart",
        "licence": "CC0",
        "modality": {"0": "cine", "1": "rescale_to_0_1"},
        "normalisation": {"1": "min_max"},
        "labels": {"0": "background", "1": "RV", "2": "MLV"},
        "numTraining": 3,
        "numTest": 1,
        "training": [
            {"image": f"./imagesTr/patient_00{n}.nii.gz", "label": f"./labelsTr/patient_00{n}.nii.gz"} for n in range(3)
        ],
        "test": ["./imagesTs/patient_003.nii.gz"],
    }
    source = contents(second)
    for name in ("dataset.json", "imagesTr/.DS_Store", "imagesTr/notes.txt"):
        del source[name]
    assert written == source
    assert list(verify_dataset(target, workers=1).errors) == []


def test_regions_of_the_second_generation_stay_regions(second: Path, tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "posterior": [2]}
    describe_second(second, labels=labels, regions_class_order=[1, 2])
    conversion = convert(second, tmp_path)
    assert "  regions   0 background, 1 whole, 2 posterior\n" in conversion.understood.report()
    dataset = read_dataset(conversion.folder)
    assert dataset.target == Regions(names=("whole", "posterior"), members=((1, 2), (2,)), order=(1, 2))
    assert list(verify_dataset(conversion.folder, workers=1).errors) == []

    again = convert(conversion.folder, tmp_path / "again")
    assert read_dataset(again.folder).target == dataset.target


def test_an_ignore_label_of_the_second_generation_stays_one(second: Path, tmp_path: Path) -> None:
    write(second / "labelsTr" / "patient_001.nii.gz", label(1, (0, 1, 2, 3)))
    describe_second(second, labels={"background": 0, "RV": 1, "MLV": 2, "ignore": 3})
    conversion = convert(second, tmp_path)
    assert read_dataset(conversion.folder).target == Exclusive(names=("background", "RV", "MLV"), ignore=3)
    assert list(verify_dataset(conversion.folder, workers=1).errors) == []


def test_an_ignore_label_stays_what_it_is_where_others_are_renumbered(second: Path, tmp_path: Path) -> None:
    for number in range(3):
        write(second / "labelsTr" / f"patient_00{number}.nii.gz", label(number, (0, 2, 5, 9)))
    describe_second(second, labels={"background": 0, "RV": 2, "MLV": 5, "ignore": 9})
    conversion = convert(second, tmp_path, remap_labels=True)
    assert read_dataset(conversion.folder).target == Exclusive(names=("background", "RV", "MLV"), ignore=9)
    (case, *_) = read_dataset(conversion.folder).training
    np.testing.assert_array_equal(np.unique(read_case(case).segmentation), [0, 1, 2, 9])


def describe_again(folder: Path, **changes: Any) -> None:
    """Of either layout, with other entries; None takes one out."""
    known = {**json.loads((folder / "dataset.json").read_text()), **changes}
    describe(folder, **{key: value for key, value in known.items() if value is not None})


def masks_of(folder: Path, names: Sequence[str], *, raters: int = 0) -> None:
    """In place of each label file one for each name, of several raters each; in the last case the last was not drawn."""
    files = sorted((folder / "labelsTr").iterdir())
    for number, path in enumerate(files):
        stem = path.name.removesuffix(".nii.gz")
        for place, name in enumerate(names):
            if place and number == len(files) - 1:
                continue
            mask = (label(number) > place).astype(np.uint8)
            endings = [f"_rater{rater + 1}" for rater in range(raters)] or [""]
            for ending in endings:
                write(path.with_name(f"{stem}{name}{ending}.nii.gz"), mask)
        if names != ("",) or raters:
            path.unlink()


@pytest.mark.parametrize("raters", [0, 2])
@pytest.mark.parametrize("layout", ["first", "second"])
def test_masks_and_raters_are_brought_over_as_they_are(
    first: Path, second: Path, tmp_path: Path, layout: str, raters: int
) -> None:
    folder = first if layout == "first" else second
    masks_of(folder, ("_whole", "_core"), raters=raters)
    describe_again(folder, masks=["whole", "core"], ignore=7, labels=None)

    conversion = convert(folder, tmp_path)

    assert "  masks     whole, core\n" in conversion.understood.report()
    dataset, source = read_dataset(conversion.folder), contents(folder / "labelsTr")
    assert dataset.target == Masks(names=("whole", "core"), ignore=7)
    assert contents(conversion.folder / "labelsTr") == source
    *drawn, partly = (case.annotated for case in dataset.training)
    assert set(drawn) == {("whole", "core")} and partly == ("whole",)
    assert len(dataset.training[0].label_paths) == 2 * max(1, raters)
    assert list(verify_dataset(conversion.folder, workers=1).errors) == []


@pytest.mark.parametrize("layout", ["first", "second"])
def test_fractions_raters_and_what_was_annotated_are_brought_over(
    first: Path, second: Path, tmp_path: Path, layout: str
) -> None:
    folder = first if layout == "first" else second
    for number, path in enumerate(sorted((folder / "labelsTr").iterdir())):
        write(path, (label(number) / 2).astype(np.float32))
    one = {"0": "background", "1": "RV"} if layout == "first" else {"background": 0, "RV": 1}
    describe_again(folder, labels=one, soft_labels=True)
    soft = convert(folder, tmp_path / "soft").folder
    assert read_dataset(soft).target == Exclusive(names=("background", "RV"), soft=True)
    assert contents(soft / "labelsTr") == contents(folder / "labelsTr")

    masks_of(folder, ("",), raters=2)
    (case, *_) = sorted({path.name.partition("_rater")[0] for path in (folder / "labelsTr").iterdir()})
    two = {**one, "2": "MLV"} if layout == "first" else {**one, "MLV": 2}
    describe_again(folder, labels=two, soft_labels=None, annotated={case: ["RV"]})
    rated = read_dataset(convert(folder, tmp_path / "rated").folder)
    assert {len(one.label_paths) for one in rated.training} == {2}
    assert [one.annotated for one in rated.training][:2] == [("RV",), None]


def test_the_labels_of_raters_are_renumbered_each(second: Path, tmp_path: Path) -> None:
    for path in sorted((second / "labelsTr").iterdir()):
        for rater in (1, 2):
            write(path.with_name(path.name.replace(".nii.gz", f"_rater{rater}.nii.gz")), label(rater, (0, 2, 5, 9)))
        path.unlink()
    describe_second(second, labels={"background": 0, "RV": 2, "MLV": 5, "ignore": 9})

    (case, *_) = read_dataset(convert(second, tmp_path, remap_labels=True).folder).training

    assert [path.name for path in case.label_paths] == ["patient_000_rater1.nii.gz", "patient_000_rater2.nii.gz"]
    for path in case.label_paths:
        np.testing.assert_array_equal(np.unique(read_image(path).data), [0, 1, 2, 9])


def test_masks_of_the_second_generation_that_do_not_fit(second: Path, tmp_path: Path) -> None:
    masks_of(second, ("_whole", "_core"))
    describe_second(second, masks=["whole", "core"])
    assert "masks: declared beside labels; a task has labels, regions or masks" in refusal(second, tmp_path)
    describe_second(second, masks=["whole", "shell"], labels=None)
    assert "imagesTr: no image of patient_000_core, patient_001_core" in refusal(second, tmp_path)
    describe_second(second, masks=["whole", "core"], labels=None)
    for name in ("whole", "core"):
        (second / "labelsTr" / f"patient_000_{name}.nii.gz").unlink()
    assert "labelsTr: no label of patient_000; add it, or take the images away" in refusal(second, tmp_path)
    (second / "labelsTr" / "patient_001_whole.nii.gz").rename(second / "labelsTr" / "patient_001_whole_rater1.nii.gz")
    write(second / "labelsTr" / "patient_001_whole.nii.gz", label(1, (0, 1)))
    write(second / "labelsTr" / "patient_000_core.nii.gz", label(1, (0, 1)))
    assert "patient_001_whole.nii.gz lies beside the files of raters" in refusal(second, tmp_path)


def test_what_was_understood_is_said(second: Path, tmp_path: Path) -> None:
    assert convert(second, tmp_path).understood.report() == (
        f"{second}: the layout of nnU-Net's second generation (DatasetXXX_Name)\n"
        "  channels  0 cine, 1 rescale_to_0_1\n"
        "  labels    0 background, 1 RV, 2 MLV\n"
        "  cases     3 with labels, 1 without\n"
        "  files     11 .nii.gz"
    )


def test_scalings_that_the_second_generation_calls_by_channels_are_named_in_ours(second: Path, tmp_path: Path) -> None:
    conversion = convert(second, tmp_path)
    assert read_dataset(conversion.folder).normalisation == ("", "min_max")


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_other_formats_keep_theirs_but_renumbered_labels(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "scans"
    for name, data in (("images/a", image(0)), ("labels/a", label(0, (0, 255)))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(data), str(folder / (name + ending)))

    conversion = convert(folder, tmp_path, remap_labels=True)

    assert sorted(contents(conversion.folder)) == ["dataset.json", f"imagesTr/a_0000{ending}", "labelsTr/a.nii.gz"]
    (case,) = read_dataset(conversion.folder).training
    np.testing.assert_array_equal(read_case(case).data[0], image(0))
    np.testing.assert_array_equal(read_case(case).segmentation, label(0, (0, 1)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"labels": {"background": 0, "whole": [1, 2], "core": 2}},
            "labels: whole: regions of several values need regions_class_order, the label that each writes into a",
        ),
        (
            {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 7]},
            "dataset.json: regions_class_order: 7: no region covers it",
        ),
        (
            {"labels": {"background": 0, "RV": 1, "MLV": 2, "ignore": 2}},
            "dataset.json: ignore: 2 is also a label; take a value above all labels",
        ),
        (
            {"labels": {"background": 0, "RV": 1, "MLV": 2, "ignore": "3"}},
            "dataset.json: ignore: expected a whole number such as 255, without quotation marks, found '3'",
        ),
        (
            {"labels": {"background": 0, "RV": 255}},
            "the values must be 0 for the background, then 1, 2, ... without a gap, found 0, 255; renumber them, in the "
            "label files too, or add `remap_labels`, which does both in the copies",
        ),
        (
            {"labels": {"background": 0}},
            "the values must be 0 for the background, then 1, 2, ... without a gap, found 0",
        ),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "without a gap, found 0, 1, 1; renumber them"),
        ({"labels": {"background": 0, "RV": "1"}}, "labels: the value of RV is no whole number"),
        ({"labels": {"background": False, "RV": 1}}, "labels: the value of background is no whole number"),
        (
            {"labels": {"0": "background", "1": "RV"}},
            'labels: the wrong way round, the name comes first, then the number; write {"background": 0, "RV": 1}',
        ),
        (
            {"channel_names": {"T2": 0, "T1": 1}},
            'channel_names: the wrong way round, the number comes first, then the name; write {"0": "T2", "1": "T1"}',
        ),
        (
            {"labels": {"background": 0, "RV": "1"}},
            "the value of RV is no whole number; write one, without quotation marks",
        ),
        ({"labels": ["background"]}, 'labels: expected an object such as {"background": 0, "liver": 1}, found '),
        ({"channel_names": {"1": "a", "2": "b"}}, "channel_names: the numbers must be consecutive from 0, found 1, 2"),
        ({"channel_names": ["a"]}, 'channel_names: expected an object such as {"0": "CT"}, found [\'a\']'),
        ({"channel_names": {"0": 3}}, 'channel_names: expected an object such as {"0": "CT"}'),
        ({"file_ending": ".gif"}, "file_ending: images of '.gif' cannot be read; convert them to one of .nii.gz, .nii"),
        ({"file_ending": None}, "file_ending: images of None cannot be read"),
        ({"file_ending": ".nii"}, "the files do not end in .nii, as dataset.json says; correct file_ending"),
        ({"dataset": {}}, "lists its files one by one under dataset, which is not supported"),
        ({"channel_names": {"0": "a"}}, "without exactly the channels needed"),
    ],
)
def test_second_generation_descriptions_that_do_not_fit(
    second: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    describe_second(second, **changes)
    message = refusal(second, tmp_path)
    assert reason in message
    assert message.startswith(str(second))


def test_second_generation_cases_must_be_whole(second: Path, tmp_path: Path) -> None:
    (second / "labelsTr" / "patient_001.nii.gz").rename(second / "labelsTr" / "patient_009.nii.gz")
    assert refusal(second, tmp_path) == (f"{second}/labelsTr: no label of patient_001; add it, or take the images away")
    write(second / "labelsTr" / "patient_001.nii.gz", label(1))
    assert refusal(second, tmp_path) == f"{second}/imagesTr: no image of patient_009; add it, or take the label away"
    for path in (second / "labelsTr").iterdir():
        path.unlink()
    (second / "labelsTr").rmdir()
    assert refusal(second, tmp_path) == f"{second}/labelsTr: no such folder; it holds the labels <case>.nii.gz"


# ---------------------------------------------------------------- first generation


@pytest.fixture
def first(tmp_path: Path) -> Path:
    folder = tmp_path / "Task004_Heart"
    for number in range(2):
        write(folder / "imagesTr" / f"c{number}_0000.nii.gz", image(number))
        write(folder / "labelsTr" / f"c{number}.nii.gz", label(number, (0, 1)))
    describe(
        folder,
        modality={"0": "CT"},
        labels={"0": "background", "1": "heart"},
        training=[{"image": f"./imagesTr/c{n}.nii.gz", "label": f"./labelsTr/c{n}.nii.gz"} for n in range(2)],
        test=[],
        reference="us",
        name="Hearts of ours",
    )
    (folder / "patients.json").write_text('{"c0": "a", "c1": "a"}')
    (folder / "metadata.tsv").write_text("case\tsite\nc0\tunf\nc1\tn/a\n")
    return folder


def test_our_own_layout_is_brought_over_with_all_it_says(first: Path, tmp_path: Path) -> None:
    conversion = convert(first, tmp_path, number=77)

    target = tmp_path / "raw_data" / "Task077_Heart"
    assert conversion.folder == target
    assert "nnU-Net's first generation (TaskXXX_Name)" in conversion.understood.layout
    written, source = contents(target), contents(first)
    described, before = json.loads(written.pop("dataset.json")), json.loads(source.pop("dataset.json"))
    assert described == {**before, "numTraining": 2, "numTest": 0}
    assert written == source


def test_what_nobody_reads_of_a_case_is_noted(first: Path, tmp_path: Path) -> None:
    content = json.loads((first / "dataset.json").read_text())
    content["training"][1]["weight"] = 3
    describe(first, **content)

    assert (
        "  note      training: 1 case has keys that nobody reads: weight; what is read is image and label, correct the "
        "spelling or take them out"
    ) in convert(first, tmp_path).understood.report().splitlines()


def test_files_that_are_listed_but_missing(first: Path, tmp_path: Path) -> None:
    (first / "imagesTr" / "c1_0000.nii.gz").unlink()
    assert refusal(first, tmp_path) == (
        f"{first}: 1 of the files that dataset.json lists is missing: imagesTr/c1_0000.nii.gz; "
        "add it, or take this case off the list"
    )


def test_the_decathlon_is_recognised_by_files_without_channel_numbers(first: Path, tmp_path: Path) -> None:
    for number in range(2):
        (first / "imagesTr" / f"c{number}_0000.nii.gz").rename(first / "imagesTr" / f"c{number}.nii.gz")

    assert "convert without `link`" in refusal(first, tmp_path, link=True)
    assert refusal(first, tmp_path, where="age > 5").endswith(
        "of which all cases are taken; convert without `where`, and choose the cases of the folds"
    )
    assert refusal(first, tmp_path, roi_margin=1.0).endswith(
        "in which regions of interest are not known; give its images channel numbers, <case>_0000"
    )
    conversion = convert(first, tmp_path, number=12, name="Organ")

    assert "Medical Segmentation Decathlon" in conversion.understood.layout
    assert conversion.folder == tmp_path / "raw_data" / "Task012_Organ"
    np.testing.assert_array_equal(read_image(conversion.folder / "imagesTr" / "c1_0000.nii.gz").data, image(1))
    assert [path.name for path in (tmp_path / "raw_data").iterdir()] == ["Task012_Organ"]


def test_a_conversion_only_ever_appears_under_its_own_name(first: Path, tmp_path: Path) -> None:
    """What is renamed to anything that is no hidden name; Python announces each renaming before it is done."""
    for number in range(2):
        (first / "imagesTr" / f"c{number}_0000.nii.gz").rename(first / "imagesTr" / f"c{number}.nii.gz")
    names: list[str] = []
    with watched_renames(names):
        convert(first, tmp_path, number=12, name="Organ")

    assert {Path(name).name for name in names if Path(name).parent == tmp_path / "raw_data"} == {"Task012_Organ"}


@contextmanager
def watched_renames(names: list[str]) -> Iterator[None]:
    """Add where each renaming of this process leads; hooks cannot be removed, only told to be idle."""
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "os.rename":
            names.append(str(arguments[1]))

    sys.addaudithook(hook)
    yield
    watching = False


# ---------------------------------------------------------------- labels with gaps


def with_gaps(request: pytest.FixtureRequest, layout: str) -> Path:
    """A dataset that declares 0, 2 and 255, in each layout that has a dataset.json."""
    folder: Path = request.getfixturevalue("second" if layout == "second" else "first")
    for number in range(3 if layout == "second" else 2):
        name = f"patient_00{number}" if layout == "second" else f"c{number}"
        write(folder / "labelsTr" / f"{name}.nii.gz", label(number, (0, 2, 255)))
    if layout == "second":
        describe_second(folder, labels={"MLV": 255, "background": 0, "RV": 2})
        return folder
    description = json.loads((folder / "dataset.json").read_text())
    describe(folder, **{**description, "labels": {"0": "background", "255": "MLV", "2": "RV"}})
    if layout == "decathlon":
        for path in (folder / "imagesTr").iterdir():
            path.rename(path.with_name(path.name.replace("_0000", "")))
    return folder


@pytest.mark.parametrize("layout", ["second", "first", "decathlon"])
def test_declared_labels_with_gaps_are_renumbered_on_request(
    layout: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = with_gaps(request, layout)
    assert "or add `remap_labels`, which does both in the copies" in refusal(folder, tmp_path)

    conversion = convert(folder, tmp_path, number=1, remap_labels=True)

    assert conversion.understood.labels == ("background", "RV", "MLV")
    assert "label values renumbered: 0 to 0, 2 to 1, 255 to 2" in conversion.understood.notes
    dataset = read_dataset(conversion.folder)
    assert dataset.target.outputs == ("background", "RV", "MLV")
    for number, case in enumerate(dataset.training):
        np.testing.assert_array_equal(read_case(case).segmentation, label(number))
    assert list(verify_dataset(conversion.folder, workers=1).errors) == []


@pytest.mark.parametrize("layout", ["second", "first", "decathlon"])
def test_values_that_nobody_declared_are_not_renumbered(
    layout: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = with_gaps(request, layout)
    wrong = sorted((folder / "labelsTr").iterdir())[1]
    write(wrong, label(1, (0, 2, 9)))
    message = refusal(folder, tmp_path, remap_labels=True)
    assert f"{wrong.name}: holds 9, which is no label of this task; correct the file" in message


@pytest.mark.parametrize("labels", [{"1": "a", "255": "b"}, {"0": "background", "2": "a", "02": "b"}])
def test_gaps_are_closed_only_where_it_is_plain_what_they_are(
    first: Path, tmp_path: Path, labels: dict[str, str]
) -> None:
    describe(first, **{**json.loads((first / "dataset.json").read_text()), "labels": labels})
    assert "labels: the numbers must be consecutive from 0" in refusal(first, tmp_path, remap_labels=True)


def test_consecutive_declared_labels_stay_to_the_byte(first: Path, tmp_path: Path) -> None:
    conversion = convert(first, tmp_path, number=1, remap_labels=True)
    assert conversion.understood.label_values is None
    name = "labelsTr/c1.nii.gz"
    assert (conversion.folder / name).read_bytes() == (first / name).read_bytes()


# ---------------------------------------------------------------- files without channel numbers


@pytest.fixture
def unnumbered(tmp_path: Path) -> Path:
    """The second generation's dataset of one channel, whose files are called as their labels are."""
    folder = tmp_path / "Dataset011_Kidney"
    for number in range(3):
        write(folder / ("imagesTr" if number < 2 else "imagesTs") / f"k_{number:04d}.nii.gz", image(number))
        if number < 2:
            write(folder / "labelsTr" / f"k_{number:04d}.nii.gz", label(number, (0, 1)))
    describe(folder, channel_names={"0": "CT"}, labels={"background": 0, "kidney": 1}, file_ending=".nii.gz")
    return folder


def test_a_single_channel_may_do_without_its_number(unnumbered: Path, tmp_path: Path) -> None:
    dataset = read_dataset(convert(unnumbered, tmp_path).folder)

    assert [case.identifier for case in (*dataset.training, *dataset.test)] == ["k_0000", "k_0001", "k_0002"]
    np.testing.assert_array_equal(read_case(dataset.training[1]).data[0], image(1))
    assert list(verify_dataset(dataset.folder, workers=1).errors) == []


def test_several_channels_may_not(unnumbered: Path, tmp_path: Path) -> None:
    describe(unnumbered, channel_names={"0": "CT", "1": "PET"}, labels={"background": 0, "a": 1}, file_ending=".nii.gz")
    assert "without exactly the channels needed" in refusal(unnumbered, tmp_path)


def test_an_image_without_a_label_among_them_is_named(unnumbered: Path, tmp_path: Path) -> None:
    write(unnumbered / "imagesTr" / "more.nii.gz", image(9))
    assert refusal(unnumbered, tmp_path) == (
        f"{unnumbered}/labelsTr: no label of more; add it, or take the images away"
    )


# ---------------------------------------------------------------- few cases


@pytest.mark.parametrize(
    ("cases", "patients", "said"),
    [
        (3, None, "3 cases with labels, too few for 5 folds; add more, or train fold `all`, which keeps none to"),
        (1, None, "1 case with labels, too few"),
        (6, {f"s{n}": "ab"[n % 2] for n in range(6)}, "2 patients with labels, too few for 5 folds"),
        (5, None, ""),
        (6, {"s0": "a", "s1": "a"}, ""),
    ],
)
def test_too_few_cases_are_told_before_anything_is_written(
    tmp_path: Path, cases: int, patients: dict[str, str] | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(cases):
        write(tmp_path / "x" / "images" / f"s{number}.nii.gz", image(number))
        write(tmp_path / "x" / "labels" / f"s{number}.nii.gz", label(number))
    if patients:
        (tmp_path / "x" / "patients.json").write_text(json.dumps(patients))
    (tmp_path / "raw_data").write_text("in the way of all that is written")
    with caplog.at_level(logging.WARNING, logger="autoseg.conversion"), pytest.raises(StorageError):
        convert(tmp_path / "x", tmp_path)

    told = [record for record in caplog.records if "too few" in record.message]
    assert [said in record.message for record in told] == [True] * bool(said)


def test_what_is_known_of_other_cases_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / "x" / "images" / f"s{number}.nii.gz", image(number))
        write(tmp_path / "x" / "labels" / f"s{number}.nii.gz", label(number))
    (tmp_path / "x" / "metadata.tsv").write_text("case\tsite\ns0\ta\ns9.nii.gz\ta\n")

    assert refusal(tmp_path / "x", tmp_path) == (
        f"{tmp_path}/x/metadata.tsv: names 1 case that the dataset does not have: s9.nii.gz (line 3); correct the name, or "
        "take the line out"
    )


# ---------------------------------------------------------------- plain folders


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Three labelled images and one without a label."""
    folder = tmp_path / "my scans!"
    for number in range(4):
        write(folder / "images" / f"scan_{number:04d}.nii.gz", image(number))
        if number < 3:
            write(folder / "labels" / f"scan_{number:04d}.nii.gz", label(number))
    return folder


def test_plain_folders_of_equal_names(plain: Path, tmp_path: Path) -> None:
    conversion = convert(plain, tmp_path, tasks=["Task500_Other", "Task502_Another"])

    assert conversion.folder == tmp_path / "raw_data" / "Task501_my_scans"
    dataset = read_dataset(conversion.folder)
    assert dataset.target.outputs == ("background", "label_1", "label_2")
    assert dataset.channels == ("image",)
    assert [case.identifier for case in dataset.training] == ["scan_0000", "scan_0001", "scan_0002"]
    assert [case.identifier for case in dataset.test] == ["scan_0003"]
    raw = read_case(dataset.training[2])
    np.testing.assert_array_equal(raw.data[0], image(2))
    np.testing.assert_array_equal(raw.segmentation, label(2))
    assert conversion.understood.report() == (
        f"{plain}: plain folders of images and labels with equal names\n"
        "  channels  0 image\n"
        "  labels    0 background, 1 label_1, 2 label_2\n"
        "  cases     3 with labels, 1 without\n"
        "  files     7 .nii.gz\n"
        "  note      images are scaled by their own mean and deviation; for CT add `channels=CT`\n"
        "  note      without a label, and kept for prediction: 1 image\n"
        "  note      labels are named by their values; name them with `labels`, or in dataset.json before planning"
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_plain_folders_with_several_channels(tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "Task600_Brain"
    for number in range(2):
        for channel in range(3):
            write(folder / "imagesTr" / f"b{number}_{channel:04d}.nii", image(10 * number + channel))
        write(folder / "labelsTr" / f"b{number}.nii.gz", label(number, (0, 1)))
    for channel in range(3):
        write(folder / "imagesTs" / f"b7_{channel:04d}.nii", image(70 + channel))

    conversion = convert_dataset(
        folder, tmp_path / "raw_data", ConversionSettings(channels=("T1", "T2", "CT")), workers=workers
    )

    assert conversion.folder.name == "Task600_Brain"
    dataset = read_dataset(conversion.folder)
    assert dataset.channels == ("T1", "T2", "CT")
    np.testing.assert_array_equal(read_case(dataset.training[1]).data, np.stack([image(n) for n in (10, 11, 12)]))
    np.testing.assert_array_equal(read_case(dataset.test[0]).data, np.stack([image(n) for n in (70, 71, 72)]))
    assert list(verify_dataset(conversion.folder, workers=1).errors) == []


def test_channels_are_numbered_where_nobody_names_them(tmp_path: Path) -> None:
    for channel in range(2):
        write(tmp_path / "x" / "images" / f"a_{channel:04d}.nii.gz", image(channel))
    write(tmp_path / "x" / "labels" / "a.nii.gz", label(0))

    assert understand_dataset(tmp_path / "x", ConversionSettings(), workers=1).channels == ("image_0", "image_1")


def picture(path: Path, shape: tuple[int, ...], top: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imageio.imwrite(path, np.random.default_rng(3).integers(0, top + 1, shape, dtype=np.uint8))


def test_the_channels_of_a_colour_picture_are_called_by_their_colours(tmp_path: Path) -> None:
    picture(tmp_path / "x" / "images" / "a.png", (4, 5, 3))
    picture(tmp_path / "x" / "labels" / "a.png", (4, 5), top=1)
    (tmp_path / "x.tsv").write_text("image\tlabel\nx/images/a.png\tx/labels/a.png\n")

    for source in (tmp_path / "x", tmp_path / "x.tsv"):
        understood = understand_dataset(source, ConversionSettings(), workers=1)
        assert understood.channels == ("red", "green", "blue")
        assert [image.part for image in understood.training[0].images] == [0, 1, 2]


def test_a_folder_above_names_the_datasets_in_it(plain: Path, tmp_path: Path) -> None:
    assert refusal(tmp_path, tmp_path / "elsewhere").endswith(f"are in it; name the dataset in it: {plain}")
    shutil.copytree(plain, tmp_path / "other")
    assert refusal(tmp_path, tmp_path / "elsewhere").endswith(
        f"are in it; name one of the datasets in it: {plain}, {tmp_path / 'other'}"
    )


def test_numbers_of_single_objects_are_told_from_labels(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / "x" / "images" / f"a{number}.nii.gz", image(number))
        write(tmp_path / "x" / "labels" / f"a{number}.nii.gz", label(number, tuple(range(number + 3))))

    *_, note, _ = understand_dataset(tmp_path / "x", ConversionSettings(), workers=1).notes

    assert note == (
        "each file holds 1 to another number, from 2 to 7: are single objects numbered rather than labels? A network learns "
        "what is an object from masks of 0 and 1"
    )


def test_masks_of_0_and_255_are_refused_with_the_way_out(plain: Path, tmp_path: Path) -> None:
    for number in range(3):
        write(plain / "labels" / f"scan_{number:04d}.nii.gz", label(number, (0, 255)))

    assert refusal(plain, tmp_path) == (
        f"{plain}/labels: the values are 0, 255, but labels are numbered 0, 1, 2, ... without a gap; "
        "add `remap_labels` to have them renumbered in the copies (0 to 0, 255 to 1)"
    )


@pytest.mark.parametrize("link", [False, True])
def test_label_values_are_renumbered_on_request(plain: Path, tmp_path: Path, link: bool) -> None:
    values = [(0, 7), (0, 255, 7), (0, 255)]
    for number in range(3):
        write(plain / "labels" / f"scan_{number:04d}.nii.gz", label(number, values[number]))

    conversion = convert(plain, tmp_path, number=1, remap_labels=True, link=link)

    dataset = read_dataset(conversion.folder)
    assert dataset.target.outputs == ("background", "label_7", "label_255")
    assert "label values renumbered: 0 to 0, 7 to 1, 255 to 2" in conversion.understood.notes
    assert json.loads((conversion.folder / "dataset.json").read_text())["renumbered"] == {"7": 1, "255": 2}
    numbers = {0: 0, 7: 1, 255: 2}
    for number, case in enumerate(dataset.training):
        found = read_image(case.segmentation)
        expected = np.vectorize(numbers.get)(label(number, values[number]))
        np.testing.assert_array_equal(found.data, expected)
        assert found.geometry.differences(GRID) == ()
        assert case.image_paths[0].is_symlink() == link
        assert not case.segmentation.is_symlink()


def test_cases_are_chosen_by_what_is_known_of_them(plain: Path, tmp_path: Path) -> None:
    (plain / "metadata.tsv").write_text(
        "case\tsite\tage\nscan_0000\tx\t60\nscan_0001\ty\t50\nscan_0002\tx\t40\nscan_0003\tx\tn/a\n"
    )

    conversion = convert(plain, tmp_path, number=1, where="site=x and age > 50")

    dataset = read_dataset(conversion.folder)
    assert [case.identifier for case in (*dataset.training, *dataset.test)] == ["scan_0000"]
    assert dict(dataset.facts.of("scan_0000").known) == {"site": "x", "age": "60"}
    assert conversion.understood.notes[-1] == "left out by site=x and age > 50: 3 cases"
    assert refusal(plain, tmp_path / "b", where="case=scan_0003") == (
        f"{plain}: case=scan_0003: is so of no case with labels; ask for less"
    )
    assert "site=z: is so of no case of 4: site is x, y; correct the condition" in refusal(
        plain, tmp_path / "b", where="site=z"
    )


def test_consecutive_labels_are_left_alone_by_renumbering(plain: Path, tmp_path: Path) -> None:
    conversion = convert(plain, tmp_path, number=1, remap_labels=True)

    assert conversion.understood.label_values is None
    name = "scan_0001.nii.gz"
    assert (conversion.folder / "labelsTr" / name).read_bytes() == (plain / "labels" / name).read_bytes()


def test_labels_without_any_background_voxel_are_fine(plain: Path, tmp_path: Path) -> None:
    for number in range(3):
        write(plain / "labels" / f"scan_{number:04d}.nii.gz", label(number, (1, 2)))

    assert convert(plain, tmp_path, number=1).understood.labels == ("background", "label_1", "label_2")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            np.full(SHAPE, 0.5, np.float32),
            "scan_0001.nii.gz: holds values that are no whole numbers: 0.5; save labels as",
        ),
        (np.full(SHAPE, np.nan, np.float32), "scan_0001.nii.gz: holds values that are no whole numbers: nan"),
        (
            np.arange(32769, dtype=np.int32).reshape(3, 1, -1),
            "scan_0001.nii.gz: holds 32769 different values, and 32767 labels can be used; are these images rather",
        ),
    ],
)
def test_label_files_that_hold_no_labels(plain: Path, tmp_path: Path, data: np.ndarray, reason: str) -> None:
    write(plain / "labels" / "scan_0001.nii.gz", data)
    message = refusal(plain, tmp_path)
    assert message.startswith(f"{plain}/labels: 1 of 3 label files cannot be used\n  {reason}")
    assert message.endswith("Nothing was written; put this right, or take it away, and convert again.")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((0,), "holds background (0) only; labels are numbered 1, 2, ..."),
        ((-1, 0, 1), "holds negative values (-1, 0, 1); labels are numbered 1, 2, ..."),
    ],
)
def test_values_that_cannot_be_renumbered(plain: Path, tmp_path: Path, values: Sequence[int], reason: str) -> None:
    for number in range(3):
        write(plain / "labels" / f"scan_{number:04d}.nii.gz", label(number, values))
    assert refusal(plain, tmp_path, remap_labels=True) == f"{plain}/labels: {reason}"


def test_more_than_255_values_are_renumbered_in_16_bits(plain: Path, tmp_path: Path) -> None:
    """Each file holds some; together they are 300, of types that hold numbers beyond 32 bits."""
    start = 2**53  # beyond what float64 tells apart
    kinds = (np.uint64, np.int64, np.uint64)
    for number, kind in enumerate(kinds):
        data = np.zeros((2, 10, 10), kind)
        data.ravel()[:100] = start + 100 * number + np.arange(100, dtype=kind)
        write(plain / "labels" / f"scan_{number:04d}.nii.gz", data)

    conversion = convert(plain, tmp_path, number=1, remap_labels=True)

    dataset = read_dataset(conversion.folder)
    assert dataset.target.outputs[300] == f"label_{start + 299}"
    for number, case in enumerate(dataset.training):
        found = read_image(case.segmentation).data
        assert found.dtype == np.uint16
        assert found.ravel()[:101].tolist() == [*range(100 * number + 1, 100 * number + 101), 0]


def test_few_values_are_renumbered_in_8_bits_whatever_type_held_them(plain: Path, tmp_path: Path) -> None:
    for number, kind in enumerate((np.float32, np.float64, np.int32)):
        write(plain / "labels" / f"scan_{number:04d}.nii.gz", label(number, (0, 1)).astype(kind) * 2**30)

    conversion = convert(plain, tmp_path, number=1, remap_labels=True)

    for number, case in enumerate(read_dataset(conversion.folder).training):
        found = read_image(case.segmentation).data
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, label(number, (0, 1)))


# ---------------------------------------------------------------- segments of 3D Slicer


def slicer(path: Path, data: np.ndarray, **segments: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    z, y, x = data.shape
    kind = {"uint8": "uint8", "float32": "float"}[data.dtype.name]
    header = ["NRRD0005", f"type: {kind}", "dimension: 3", f"sizes: {x} {y} {z}", "spacings: 1 1 1"]
    header += ["endian: little", "encoding: raw"]
    for number, (name, value) in enumerate(segments.items()):
        header += [f"Segment{number}_Name:={name}", f"Segment{number}_LabelValue:={value}", f"Segment{number}_Layer:=0"]
    path.write_bytes("\n".join([*header, "", ""]).encode() + data.tobytes())


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Four cases of 3D Slicer, in one of which liver and spleen have each other's number."""
    folder = tmp_path / "drawn"
    for number in range(4):
        slicer(folder / "images" / f"p{number}.nrrd", image(number))
        names = {"liver": 2, "Milz groß": 1} if number == 3 else {"liver": 1, "Milz groß": 2}
        values = (0, 2, 1) if number == 3 else (0, 1, 2)
        slicer(folder / "labels" / f"p{number}.seg.nrrd", label(number, values), **names)
    return folder


@pytest.mark.parametrize("link", [False, True])
def test_labels_go_by_the_names_that_the_files_give_them(drawn: Path, tmp_path: Path, link: bool) -> None:
    conversion = convert(drawn, tmp_path, number=1, link=link)

    dataset = read_dataset(conversion.folder)
    assert dataset.target.outputs == ("background", "liver", "Milz groß")
    for number, case in enumerate(dataset.training):
        assert case.identifier == f"p{number}"
        np.testing.assert_array_equal(read_case(case).segmentation, label(number))
    (note,) = [note for note in conversion.understood.notes if "differently" in note]
    assert "liver is 1 in p0, p1, p2 and 2 in p3" in note
    report = verify_dataset(conversion.folder, workers=1)
    assert (report.errors, [finding for finding in report.warnings if "segments" in finding.text]) == ((), [])


def test_segments_that_nobody_drew_are_no_labels(drawn: Path, tmp_path: Path) -> None:
    for number in range(4):
        slicer(drawn / "labels" / f"p{number}.seg.nrrd", label(number), liver=1, spleen=2, cyst=number + 3)

    conversion = convert(drawn, tmp_path, number=1)

    assert conversion.understood.labels == ("background", "liver", "spleen")
    assert conversion.understood.label_values is None
    assert sorted(path.name for path in (conversion.folder / "labelsTr").iterdir())[0] == "p0.seg.nrrd"


def test_values_that_no_segment_has_are_refused(drawn: Path, tmp_path: Path) -> None:
    slicer(drawn / "labels" / "p2.seg.nrrd", label(2, (0, 1, 2, 7)), liver=1, spleen=2)
    assert refusal(drawn, tmp_path) == (
        f"{drawn}/labels: 1 of 4 label files cannot be used\n"
        "  p2.seg.nrrd: holds the value 7, which none of its segments has: liver (1), spleen (2); "
        "save it anew in 3D Slicer\n"
        "Nothing was written; put this right, or take it away, and convert again."
    )


def test_two_files_of_one_case_are_refused(drawn: Path, tmp_path: Path) -> None:
    slicer(drawn / "labels" / "p2.nrrd", label(2), liver=1, spleen=2)
    assert refusal(drawn, tmp_path) == (f"{drawn}/labels/p2.seg.nrrd: p2.nrrd has the same name; keep one of the two")


def test_verification_tells_names_that_contradict_dataset_json(tmp_path: Path) -> None:
    folder = tmp_path / "Task001_Drawn"
    for number in range(4):
        write(folder / "imagesTr" / f"p{number}_0000.nii.gz", image(number))
        names = {"Liver": 2, "SPLEEN": 1} if number % 2 else {"liver": 1, "spleen": 2, "cyst": 3}
        slicer(folder / "labelsTr" / f"p{number}.nrrd", label(number), **names)
    describe(
        folder,
        modality={"0": "CT"},
        labels={"0": "background", "1": "liver", "2": "spleen"},
        training=[{"image": f"./imagesTr/p{n}.nii.gz", "label": f"./labelsTr/p{n}.nrrd"} for n in range(4)],
    )

    (finding,) = [one for one in verify_dataset(folder, workers=1).warnings if "segments" in one.text]

    assert str(finding) == (
        "cases p1, p3: the label file names its segments otherwise than dataset.json: 1 is SPLEEN there and liver here, "
        "2 is Liver there and spleen here; correct whichever is wrong"
    )


def test_names_that_do_not_fit(plain: Path, tmp_path: Path) -> None:
    (plain / "images" / "scan_0001.nii.gz").rename(plain / "images" / "other.nii.gz")
    assert refusal(plain, tmp_path) == (
        f"{plain}/images/other.nii.gz: has neither the name of a label nor a channel number; "
        "name images as their labels, or <label>_0000, <label>_0001, ..."
    )
    (plain / "images" / "other.nii.gz").unlink()
    assert refusal(plain, tmp_path) == (
        f"{plain}/images: no image of scan_0000, scan_0001, scan_0002; name images as their labels, "
        "or with channel numbers behind: <label>_0000, <label>_0001, ..."
    )


def test_channels_that_do_not_fit(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    for name in ("a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz"):
        write(folder / "images" / name, image(0))
    for name in ("a.nii.gz", "b.nii.gz"):
        write(folder / "labels" / name, label(0))
    assert refusal(folder, tmp_path) == (
        f"{folder}/images: b: without the 2 channels that other cases have; "
        "add what is missing, or take these cases away"
    )
    write(folder / "images" / "b_0002.nii.gz", image(0))
    assert refusal(folder, tmp_path) == f"{folder}/images: b: the channel numbers are not 0000, 0001, ... in a row"
    (folder / "images" / "b_0002.nii.gz").unlink()
    write(folder / "images" / "b_0001.nii", image(0))
    assert refusal(folder, tmp_path) == f"{folder}/images: b: the channels differ in file format; save them in one"
    (folder / "images" / "b_0001.nii").unlink()
    write(folder / "images" / "b_0001.nii.gz", image(0))
    assert refusal(folder, tmp_path, channels=("CT",)) == (
        f"{folder}: 1 channel is named (CT), but each case has 2; name each once, in their order"
    )


def test_a_name_with_two_endings_and_no_labels(plain: Path, tmp_path: Path) -> None:
    write(plain / "images" / "scan_0001.nii", image(0))
    assert refusal(plain, tmp_path) == (
        f"{plain}/images/scan_0001.nii.gz: scan_0001.nii has the same name; keep one of the two"
    )
    for path in (plain / "labels").iterdir():
        path.unlink()
    assert refusal(plain, tmp_path) == f"{plain}/labels: no image here; it holds the label file of each case"


# ---------------------------------------------------------------- all layouts


def test_links_point_to_the_sources_files(second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    conversion = convert(Path(second.name), tmp_path, link=True)

    links = list(conversion.folder.rglob("*.nii.gz"))
    assert len(links) == 11
    assert all(path.readlink().is_relative_to(second) for path in links)
    assert list(verify_dataset(conversion.folder, workers=1).errors) == []


def test_an_existing_task_and_a_taken_number_are_refused(second: Path, tmp_path: Path) -> None:
    assert refusal(second, tmp_path, tasks=["Task027_Liver"]) == (
        "the number 27 is that of Task027_Liver; choose another one with `number`"
    )
    (tmp_path / "raw_data" / "Task027_Heart").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match=r"Task027_Heart: this task exists already, and nothing is overwritten"):
        convert(second, tmp_path, tasks=["Task027_Heart"])
    assert list((tmp_path / "raw_data" / "Task027_Heart").iterdir()) == []


def test_names_of_tasks(second: Path, tmp_path: Path) -> None:
    assert refusal(second, tmp_path, name="../x") == (
        "../x: a task's name has letters, digits, _ - and . only; choose another (`name`)"
    )
    assert convert(second, tmp_path, name="Herz-2.ä").folder.name == "Task027_Herz-2.ä"


def test_folders_in_no_known_layout(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent", tmp_path) == f"{tmp_path}/absent: no such folder; name the dataset's folder"
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty", tmp_path).startswith(
        f"{tmp_path}/empty: neither dataset.json, nor folders images and labels, nor subjects as BIDS has them, nor a folder"
    )
    describe(tmp_path / "odd", name="x")
    assert refusal(tmp_path / "odd", tmp_path).startswith(
        f"{tmp_path}/odd/dataset.json: names its channels neither under modality nor under channel_names"
    )


def test_settings_of_plain_folders_do_not_apply_to_described_ones(second: Path, tmp_path: Path) -> None:
    for setting in ({"channels": ("CT", "CT")}, {"labels": ("RV", "LV")}):
        assert refusal(second, tmp_path, **setting) == (
            f"{second}: its dataset.json names labels and channels; correct them there, "
            "`channels` and `labels` are for plain folders without one"
        )


def test_a_file_that_vanishes_leaves_nothing(second: Path, tmp_path: Path) -> None:
    gone = second / "imagesTr" / "patient_001_0001.nii.gz"
    understood = understand_dataset(second, ConversionSettings(), workers=1)
    gone.unlink()

    with pytest.raises(DatasetError) as error:
        write_task(understood, tmp_path / "raw_data" / "Task027_Heart", link=False, workers=1)

    message = str(error.value)
    assert message.startswith(
        f"{second}: 1 of 11 files cannot be brought over\n  patient_001_0001.nii.gz: {gone}: cannot be copied"
    )
    assert message.endswith("\nNothing was written; put this right and convert again.")
    assert list((tmp_path / "raw_data").iterdir()) == []
