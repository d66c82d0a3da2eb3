"""What dataset.json says, what is wrong with it, and which files make a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.dataset import Case, Exclusive, channel_file, find_case_files, inspect_description, read_dataset
from autoseg.errors import DatasetError
from autoseg.images import split_ending, whole_files

GOOD: dict[str, Any] = {
    "modality": {"0": "T2", "1": "ADC"},
    "labels": {"0": "background", "2": "central", "1": "peripheral"},
    "training": [
        {"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"},
        {"image": "imagesTr/a.nii", "label": "labelsTr/a.nii"},
    ],
    "test": ["./imagesTs/z.nii.gz", {"image": "./imagesTs/y.nii.gz"}],
    "licence": "any other key is the user's own",
}


def write(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(GOOD | changes))
    return folder


def test_a_description_becomes_cases_in_order_with_a_file_a_channel(tmp_path: Path) -> None:
    folder = write(tmp_path / "Task005_Prostate")

    dataset = read_dataset(folder)

    assert dataset.name == "Task005_Prostate"
    assert dataset.channels == ("T2", "ADC")
    assert dataset.target.outputs == ("background", "peripheral", "central")
    assert list(dataset.target.scored) == [1, 2]
    assert dataset.training == (
        Case(
            identifier="a",
            images=whole_files([folder / "imagesTr" / "a_0000.nii", folder / "imagesTr" / "a_0001.nii"]),
            segmentation=folder / "labelsTr" / "a.nii",
        ),
        Case(
            identifier="b",
            images=whole_files([folder / "imagesTr" / "b_0000.nii.gz", folder / "imagesTr" / "b_0001.nii.gz"]),
            segmentation=folder / "labelsTr" / "b.nii.gz",
        ),
    )
    assert [case.identifier for case in dataset.test] == ["y", "z"]
    assert dataset.test[0].segmentation is None


def test_a_task_without_test_cases_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "Task001_A"
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps({key: GOOD[key] for key in ("modality", "labels", "training")}))

    assert read_dataset(folder).test == ()


PAIR = {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"modality": None}, 'modality: expected an object such as {"0": "MRI"}, found None'),
        ({"modality": {}}, 'modality: expected an object such as {"0": "MRI"}, found {}'),
        ({"modality": {"0": 1}}, 'modality: every name must be text, as in {"0": "MRI"}, found 1'),
        (
            {"modality": {"T2": "T2"}},
            'modality: the keys must be whole numbers such as {"0": "MRI"}, found [\'T2\']',
        ),
        ({"modality": {"1": "T2"}}, "modality: the numbers must be consecutive from 0, found [1]; renumber them"),
        (
            {"labels": {"0": "background", "255": "organ"}},
            "labels: the numbers must be consecutive from 0, found [0, 255]; renumber them",
        ),
        (
            {"labels": {"0": "background"}},
            "labels: only the background is declared; declare at least one more",
        ),
        (
            {"labels": {"0": "b", "1": "x", "2": "x"}},
            "labels: the name 'x' is given twice; name each label differently",
        ),
        ({"training": {"a": 1}}, "training: expected a list of cases, found {'a': 1}"),
        ({"training": []}, "training: no case is listed"),
        ({"training": [PAIR, PAIR]}, "training: case a is listed 2 times; list it once"),
        (
            {"training": ["./imagesTr/a.nii.gz"]},
            "training[0].label: expected a path such as ./imagesTr/case.nii.gz, found None",
        ),
        (
            {"training": [PAIR | {"image": 5}]},
            "training[0].image: expected a path such as ./imagesTr/case.nii.gz, found 5",
        ),
        (
            {"training": [PAIR | {"image": "./imagesTr/a.gif"}]},
            "training[0].image: './imagesTr/a.gif' does not end as images do, <case>.nii.gz or .nrrd, .mha, .png, .tif or .h5; convert the file, or correct its name",
        ),
        (
            {"training": [PAIR | {"image": "./imagesTr/.nii.gz"}]},
            "training[0].image: './imagesTr/.nii.gz' does not end as images do, <case>.nii.gz or .nrrd, .mha, .png, .tif or .h5; convert the file, or correct its name",
        ),
        (
            {"test": ["../../secret.nii.gz"]},
            "test[0].image: '../../secret.nii.gz' leaves the task's folder; list files inside it only",
        ),
        (
            {"training": [PAIR | {"label": "/etc/a.nii.gz"}]},
            "training[0].label: '/etc/a.nii.gz' leaves the task's folder; list files inside it only",
        ),
        (
            {"test": ["C:\\a.nii.gz"]},
            "test[0].image: 'C:\\\\a.nii.gz' leaves the task's folder; list files inside it only",
        ),
        (
            {"test": ["imagesTs/a\0.nii.gz"]},
            "test[0].image: 'imagesTs/a\\x00.nii.gz' leaves the task's folder; list files inside it only",
        ),
        (
            {"labels": {"background": 0, "liver": 1}},
            'labels: the wrong way round, the number comes first, then the name; write {"0": "background", "1": "liver"}',
        ),
        (
            {"labels": {"liver": "1", "background": "0"}},
            'labels: the wrong way round, the number comes first, then the name; write {"0": "background", "1": "liver"}',
        ),
        (
            {"modality": {"T2": 0}},
            'modality: the wrong way round, the number comes first, then the name; write {"0": "T2"}',
        ),
        (
            {"labels": {"1": "liver", "2": "spleen"}},
            'labels: 0 is not declared, which is the background; add "0": "background"',
        ),
        (
            {"training": [PAIR | {"image": ".\\imagesTr\\a.nii.gz"}]},
            "training[0].image: '.\\\\imagesTr\\\\a.nii.gz' has backslashes, which separate folders on Windows only; "
            "write ./imagesTr/a.nii.gz",
        ),
        (
            {"test": ["imagesTs\\a.nii.gz", "imagesTs\\b.nii.gz", "./imagesTs/c.nii.gz"]},
            "test[0].image: 'imagesTs\\\\a.nii.gz' has backslashes, which separate folders on Windows only; "
            "write imagesTs/a.nii.gz; 1 more entry alike",
        ),
        (
            {"training": [PAIR | {"label": "./labelsTr/a.nii.gz "}]},
            "training[0].label: './labelsTr/a.nii.gz ' begins or ends with a blank; write ./labelsTr/a.nii.gz",
        ),
    ],
)
def test_each_fault_of_a_description_has_its_line(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    folder = write(tmp_path / "Task001_A", **changes)

    with pytest.raises(DatasetError) as caught:
        read_dataset(folder)

    assert str(caught.value) == f"{folder}/dataset.json: 1 problem\n  {problem}\nPut right and run again."


@pytest.mark.parametrize("path", ["/data/Task001_A/imagesTr/a.nii.gz", "C:\\data\\imagesTr\\a.nii.gz"])
def test_a_path_on_one_computer_is_answered_with_the_one_to_write(tmp_path: Path, path: str) -> None:
    folder = write(tmp_path / "Task001_A", training=[PAIR | {"image": path}], test=[])
    (folder / "imagesTr").mkdir()

    found = inspect_description(folder)

    assert found.problems == (
        f"training[0].image: {path!r} is the path on one computer, where one relative to the task's folder is needed; "
        "write ./imagesTr/a.nii.gz",
    )
    assert [case.identifier for case in found.training] == ["a"]


@pytest.mark.parametrize(
    ("misspelt", "key"),
    [("channel_names", "modality"), ("Modality", "modality"), ("label", "labels"), ("trainning", "training")],
)
def test_a_key_by_another_name_is_one_fault(tmp_path: Path, misspelt: str, key: str) -> None:
    folder = write(tmp_path / "Task001_A")
    content = {misspelt if name == key else name: value for name, value in GOOD.items()}
    (folder / "dataset.json").write_text(json.dumps(content))

    with pytest.raises(DatasetError) as caught:
        read_dataset(folder)

    assert f"\n  {key}: there is no such key, but '{misspelt}'; call it {key}\n" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


def test_the_second_generations_description_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "MRI"}, "labels": {"background": 0, "A": 1}, "file_ending": ".nii.gz"})
    )

    with pytest.raises(DatasetError) as caught:
        read_dataset(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path}/dataset.json: is that of nnU-Net's second generation (channel_names and file_ending); move the folder "
        "out of raw_data if it lies there, and make a task of it with `convert_dataset(FOLDER)`"
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_cases_listed_with_their_channel_number_are_understood_and_told(tmp_path: Path, channels: int) -> None:
    listed = [f"./imagesTr/{case}_000{number}.nii.gz" for case in "ab" for number in range(channels)]
    training = [{"image": path, "label": f"./labelsTr/{path[11]}.nii.gz"} for path in listed]
    modality = {str(number): f"T{number}" for number in range(channels)}
    folder = write(tmp_path / "Task001_A", training=training, test=[], modality=modality)
    fill(folder / "imagesTr", *(path[11:] for path in listed))

    found = inspect_description(folder)

    first = "training[0].image: ./imagesTr/a_0000.nii.gz is listed with its channel number; list the case without it, "
    more = "1 more entry" if channels == 1 else "3 more entries"
    assert found.problems[0] == f"{first}./imagesTr/a.nii.gz; {more} alike"
    assert found.problems[1:] == tuple(
        f"training: case {case} is listed 2 times; list it once" for case in "ab" if channels == 2
    )
    assert found.training[0].image_paths == tuple(
        folder / f"imagesTr/a_000{number}.nii.gz" for number in range(channels)
    )


def test_a_number_that_is_the_cases_own_is_left_to_it(tmp_path: Path) -> None:
    """In the Decathlon's layout a file may be called as if it were a channel, and so may a case of ours."""
    names = [f"la_000{number}" for number in range(3)]
    training = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    folder = write(tmp_path / "Task002_Heart", training=training, test=[], modality={"0": "MRI"})
    fill(folder / "imagesTr", *(f"{name}.nii.gz" for name in names))
    assert [case.identifier for case in read_dataset(folder).training] == names

    fill(folder / "imagesTr", *(f"{name}_0000.nii.gz" for name in names))
    assert [case.identifier for case in read_dataset(folder).training] == names


def test_keys_of_a_case_that_nobody_reads_are_a_remark(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "Task001_A",
        training=[PAIR | {"weight": 2}, PAIR | {"image": "./imagesTr/b.nii.gz", "lable": "x", "weight": 1}],
        test=[{"image": "./imagesTs/c.nii.gz", "label": "./labelsTs/c.nii.gz"}],
        modality={"0": " CT"},
    )

    found = inspect_description(folder)

    assert found.problems == ()
    assert found.channels == ("CT",)
    assert found.remarks == (
        "modality: ' CT' begins or ends with a blank; it is read as 'CT'",
        "training: 2 cases have keys that nobody reads: lable, weight; what is read is image and label, correct the "
        "spelling or take them out",
        "test: 1 case has keys that nobody reads: label; what is read is image, correct the spelling or take them out",
    )


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "Task001_A", modality=[], test=[1, 2])

    with pytest.raises(DatasetError) as caught:
        read_dataset(folder)

    assert str(caught.value).splitlines()[0] == f"{folder}/dataset.json: 3 problems"
    assert len(str(caught.value).splitlines()) == 5


def test_a_link_out_of_the_task_is_seen_through(tmp_path: Path) -> None:
    folder = write(tmp_path / "Task001_A", training=[PAIR], test=[])
    (tmp_path / "elsewhere").mkdir()
    (folder / "imagesTr").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(DatasetError, match=r"'\./imagesTr/a\.nii\.gz' leaves the task's folder"):
        read_dataset(folder)


def test_a_single_file_may_be_a_link_to_data_elsewhere(tmp_path: Path) -> None:
    folder = write(tmp_path / "Task001_A", modality={"0": "CT"}, training=[PAIR], test=[])
    (folder / "imagesTr").mkdir()
    (folder / "imagesTr" / "a_0000.nii.gz").symlink_to(tmp_path / "archive.nii.gz")

    assert read_dataset(folder).training[0].image_paths == (folder / "imagesTr" / "a_0000.nii.gz",)


def test_a_description_that_is_absent_or_no_object_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json: not found; every task folder needs one"):
        read_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(DatasetError, match="expected an object with the keys modality, labels and training"):
        read_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match="not valid JSON: Expecting property name"):
        read_dataset(tmp_path)


def test_labels_are_the_background_and_more_each_named_once() -> None:
    with pytest.raises(DatasetError, match="labels: declare the background and at least one more label"):
        Exclusive(names=("background",))
    with pytest.raises(DatasetError, match="labels: given twice: a; name each label differently"):
        Exclusive(names=("background", "a", "a"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.nii.gz", ("a", ".nii.gz")),
        ("a.b.NII.GZ", ("a.b", ".NII.GZ")),
        ("a.nii", ("a", ".nii")),
        ("a.gz", ("a.gz", "")),
        ("nii.gz", ("nii.gz", "")),
    ],
)
def test_image_endings(name: str, parts: tuple[str, str]) -> None:
    assert split_ending(name) == parts


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_files_are_grouped_into_cases_by_their_channel_numbers(tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "in",
        "b_0001.nii.gz",
        "b_0000.nii.gz",
        "a_1_0000.nii",
        "a_1_0001.nii",
        "notes.txt",
        "._b_0000.nii.gz",
    )

    assert find_case_files(folder, 2) == [
        Case(identifier="a_1", images=whole_files([folder / "a_1_0000.nii", folder / "a_1_0001.nii"])),
        Case(identifier="b", images=whole_files([folder / "b_0000.nii.gz", folder / "b_0001.nii.gz"])),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", "c_0001.nii.gz"],
            "{folder}: 2 cases without exactly the channels needed; give each <case>_0000, <case>_0001 and no other\n"
            "  a: expected channels [0, 1], found [0]\n  c: expected channels [0, 1], found [1]",
        ),
        (
            ["a_0000.nii.gz", "a_0001.nii.gz", "a_0002.nii.gz"],
            "{folder}: 1 case without exactly the channels needed; give each <case>_0000, <case>_0001 and no other\n"
            "  a: expected channels [0, 1], found [0, 1, 2]",
        ),
        (
            ["a.nii.gz"],
            "{folder}/a.nii.gz: the name lacks its channel number; "
            "name images <case>_0000.nii.gz, <case>_0001.nii.gz, ...",
        ),
        (
            ["_0000.nii.gz"],
            "{folder}/_0000.nii.gz: the name lacks its channel number; "
            "name images <case>_0000.nii.gz, <case>_0001.nii.gz, ...",
        ),
        (
            ["a_0000.nii", "a_0001.nii", "a_0000.nii.gz", "a_0001.nii.gz"],
            "{folder}: cases given in two file formats: a; keep one of each",
        ),
    ],
)
def test_files_that_make_no_whole_cases_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    folder = fill(tmp_path / "in", *names)

    with pytest.raises(DatasetError) as caught:
        find_case_files(folder, 2)

    assert str(caught.value) == message.format(folder=folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="in: no such folder; name the folder that holds the images <case>_0000"):
        find_case_files(tmp_path / "in", 1)


def test_channel_files_have_four_digits() -> None:
    assert channel_file("case_7", 12) == "case_7_0012.nii.gz"
