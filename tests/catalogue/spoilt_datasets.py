"""dataset.json and the files it lists."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

from spoiling import CASE, PREPARED, Entry, Place, describe, edit, field_of, verified, voxels

FOREIGN = {"image": "./imagesTr/case_009.nii.gz", "label": "./labelsTr/case_009.nii.gz"}


def written(text: str | bytes):
    content = text.encode() if isinstance(text, str) else text
    return lambda place: (place.raw / "dataset.json").write_bytes(content)


def listed(number: int, **changes: object):
    """Other values in one of the entries of `training`."""
    return lambda place: edit(place.raw / "dataset.json", lambda content: content["training"][number].update(changes))


def added(entry: object):
    return lambda place: edit(place.raw / "dataset.json", lambda content: content["training"].append(entry))


def too_large(place: Place) -> None:
    with (place.raw / "dataset.json").open("ab") as file:
        file.truncate(2**28 + 1)


def renamed(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


def instead(path: Path, *, link: str = "", folder: bool = False) -> None:
    """A link or a folder in the place of a file or folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.mkdir() if folder else path.symlink_to(link)


def a_name(name: str):
    """A case called `name`, on disk and in dataset.json."""

    def spoil(place: Place) -> None:
        renamed(place.image, f"{name}_0000.nii.gz")
        renamed(place.label, f"{name}.nii.gz")
        listed(1, image=f"./imagesTr/{name}.nii.gz", label=f"./labelsTr/{name}.nii.gz")(place)
        voxels(place.raw / "labelsTr" / f"{name}.nii.gz", lambda data: data.__setitem__(0, 9))

    return spoil


def with_channel_numbers(content: Any) -> None:
    for entry in content["training"]:
        entry["image"] = entry["image"].replace(".nii", "_0000.nii")


def renamed_key(key: str, other: str):
    return lambda content: {other if name == key else name: value for name, value in content.items()}


def moved_away(path: Path) -> bytes:
    content = path.read_bytes()
    path.unlink()
    return content


def four_dimensional(path: Path) -> None:
    """The same volume twice in one file."""
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content + content[352:]))
    field_of(path, 40, "8h", 4, 12, 12, 8, 2, 1, 1, 1)


ENTRIES: tuple[Entry, ...] = (
    verified(
        "no dataset.json",
        lambda place: (place.raw / "dataset.json").unlink(),
        "dataset.json: not found; every task folder needs one (documentation/data_format.md)",
    ),
    verified(
        "dataset.json cut short",
        written('{"modality": {"0": "MR'),
        "dataset.json: not valid JSON: Unterminated string starting at: line 1 column 20 (char 19); correct the file",
    ),
    verified(
        "dataset.json empty",
        written(""),
        "dataset.json: not valid JSON: Expecting value: line 1 column 1 (char 0); correct the file",
    ),
    verified(
        "dataset.json a list",
        written("[]"),
        "dataset.json: expected an object with the keys modality, labels and training; see documentation/data_format.md",
    ),
    verified(
        "dataset.json in Latin-1",
        written('{"modality": {"0": "Röntgen"}}'.encode("latin-1")),
        "dataset.json: not valid JSON: byte 21 is no text in UTF-8; correct the file",
    ),
    verified(
        "a key twice in dataset.json",
        written('{"modality": {}, "modality": {}}'),
        "dataset.json: not valid JSON: the key 'modality' stands twice in one object; correct the file",
    ),
    verified(
        "NaN in dataset.json",
        written('{"numTraining": NaN}'),
        "dataset.json: not valid JSON: NaN is not a JSON value; correct the file",
    ),
    verified(
        "a number beyond all bounds in dataset.json",
        written('{"numTraining": 1e999}'),
        "dataset.json: not valid JSON: 1e999 is too large a number; correct the file",
    ),
    verified(
        "a number of 5000 digits in dataset.json",
        written('{"numTraining": ' + "9" * 5000 + "}"),
        "dataset.json: not valid JSON: too large a number, of 5000 digits; correct the file",
    ),
    verified(
        "dataset.json nested 100 deep",
        written('{"a":' + "[" * 100 + "]" * 100 + "}"),
        "dataset.json: nested deeper than 64 levels; correct the file",
    ),
    verified(
        "dataset.json nested a million deep",
        written("[" * 10**6),
        "dataset.json: nested deeper than 64 levels; correct the file",
    ),
    verified(
        "dataset.json of a quarter of a gigabyte",
        too_large,
        "dataset.json: larger than 268435456 bytes, which no file of this kind is; correct the file",
    ),
    verified(
        "labels 0 and 255",
        describe(labels={"0": "background", "255": "ball"}),
        "dataset.json: labels: the numbers must be consecutive from 0, found [0, 255]; renumber them",
    ),
    verified(
        "labels only background",
        describe(labels={"0": "background"}),
        "dataset.json: labels: only the background is declared; declare at least one more",
        errors=6,
    ),
    verified(
        "labels as a list",
        describe(labels=["background", "ball"]),
        'dataset.json: labels: expected an object such as {"0": "background", "1": "liver"}, found [\'background\', \'ball\']',
    ),
    verified(
        "labels the wrong way round",
        describe(labels={"background": 0, "ball": 1}),
        'dataset.json: labels: the wrong way round, the number comes first, then the name; write {"0": "background", "1": "ball"}',
    ),
    verified(
        "a label number with a fraction",
        describe(labels={"0": "background", "1.5": "ball"}),
        'dataset.json: labels: the keys must be whole numbers such as {"0": "background", "1": "liver"}, found [\'0\', \'1.5\']',
    ),
    verified(
        "a negative label number",
        describe(labels={"-1": "ignored", "0": "background", "1": "ball"}),
        "dataset.json: labels: the numbers must be consecutive from 0, found [-1, 0, 1]; renumber them",
    ),
    verified(
        "a label name twice",
        describe(labels={"0": "ball", "1": "ball"}),
        "dataset.json: labels: the name 'ball' is given twice; name each label differently",
    ),
    verified(
        "no modality",
        describe(modality={}),
        'dataset.json: modality: expected an object such as {"0": "MRI"}, found {}',
    ),
    verified(
        "modalities that begin at 1",
        describe(modality={"1": "MRI"}),
        "dataset.json: modality: the numbers must be consecutive from 0, found [1]; renumber them",
    ),
    verified("no training case", describe(training=[]), "dataset.json: training: no case is listed", errors=11),
    verified(
        "training as an object",
        describe(training={"case_001": "./imagesTr/case_001.nii.gz"}),
        "dataset.json: training: expected a list of cases, found {'case_001': './imagesTr/case_001.nii.gz'}",
        errors=11,
    ),
    verified(
        "a case without label",
        listed(0, label=None),
        "dataset.json: training[0].label: expected a path such as ./imagesTr/case.nii.gz, found None",
        errors=3,
    ),
    verified(
        "a case that leaves the folder",
        listed(0, image="../../case_000.nii.gz"),
        "dataset.json: training[0].image: '../../case_000.nii.gz' leaves the task's folder; list files inside it only",
        errors=3,
    ),
    verified(
        "a case by its absolute path",
        listed(0, image="/data/case_000.nii.gz"),
        "dataset.json: training[0].image: '/data/case_000.nii.gz' leaves the task's folder; list files inside it only",
        errors=3,
    ),
    verified(
        "a case with backslashes",
        listed(0, image=".\\imagesTr\\case_000.nii.gz"),
        "dataset.json: training[0].image: '.\\\\imagesTr\\\\case_000.nii.gz' has backslashes, which separate folders on Windows only; write ./imagesTr/case_000.nii.gz",
    ),
    verified(
        "cases with their channel numbers",
        lambda place: edit(place.raw / "dataset.json", with_channel_numbers),
        "dataset.json: training[0].image: ./imagesTr/case_000_0000.nii.gz is listed with its channel number; list the case without it, ./imagesTr/case_000.nii.gz; 4 more entries alike",
    ),
    verified(
        "a case by its path on another computer",
        listed(0, image="/home/me/Task001_Balls/imagesTr/case_000.nii.gz"),
        "dataset.json: training[0].image: '/home/me/Task001_Balls/imagesTr/case_000.nii.gz' is the path on one computer, where one relative to the task's folder is needed; write ./imagesTr/case_000.nii.gz",
    ),
    verified(
        "a case with a blank behind it",
        listed(0, image="./imagesTr/case_000.nii.gz "),
        "dataset.json: training[0].image: './imagesTr/case_000.nii.gz ' begins or ends with a blank; write ./imagesTr/case_000.nii.gz",
    ),
    verified(
        "the second generation's dataset.json",
        written('{"channel_names": {"0": "MRI"}, "labels": {"background": 0, "ball": 1}, "file_ending": ".nii.gz"}'),
        "dataset.json: is that of nnU-Net's second generation (channel_names and file_ending); move the folder out of raw_data if it lies there, and make a task of it with autoseg_convert_dataset -i FOLDER",
    ),
    verified(
        "channel_names instead of modality",
        lambda place: edit(place.raw / "dataset.json", renamed_key("modality", "channel_names")),
        "dataset.json: modality: there is no such key, but 'channel_names'; call it modality",
    ),
    verified(
        "labels that begin at 1",
        describe(labels={"1": "ball"}),
        'dataset.json: labels: 0 is not declared, which is the background; add "0": "background"',
    ),
    verified(
        "a comment in dataset.json",
        written('{"modality": {"0": "MRI"}, // the contrast\n"labels": {}}'),
        "dataset.json: not valid JSON: line 1 column 28 (char 27): a comment, which JSON does not have; take it out; correct the file",
    ),
    verified(
        "a trailing comma in dataset.json",
        written('{"modality": {"0": "MRI",}}'),
        "dataset.json: not valid JSON: line 1 column 26 (char 25): a comma before the closing bracket; take it out; correct the file",
    ),
    verified(
        "single quotation marks in dataset.json",
        written("{'modality': {'0': 'MRI'}}"),
        "dataset.json: not valid JSON: line 1 column 2 (char 1): single quotation marks; write double ones; correct the file",
    ),
    verified(
        "an image with another ending",
        lambda place: place.image.with_suffix("").write_bytes(gzip.decompress(moved_away(place.image))),
        "case case_001, imagesTr/case_001_0000.nii.gz: there is no such file, only case_001_0000.nii; list it with that ending, ./imagesTr/case_001.nii",
    ),
    verified(
        "a label in other upper and lower case",
        lambda place: renamed(place.label, "Case_001.nii.gz"),
        "case case_001, labelsTr/case_001.nii.gz: there is no such file, only Case_001.nii.gz, and upper and lower case matter; list it as it is called",
    ),
    verified(
        "a label with a channel number",
        lambda place: renamed(place.label, "case_001_0000.nii.gz"),
        "case case_001, labelsTr/case_001.nii.gz: there is no such file, only case_001_0000.nii.gz; list it by that name",
    ),
    verified(
        "a channel number of one digit",
        lambda place: renamed(place.image, "case_001_0.nii.gz"),
        "case case_001, imagesTr/case_001_0000.nii.gz: there is no such file, only case_001_0.nii.gz; rename it to case_001_0000.nii.gz",
    ),
    verified(
        "a folder in other upper and lower case",
        lambda place: renamed(place.raw / "labelsTr", "labelstr"),
        "labelsTr: there is no such folder, only labelstr; rename that one, upper and lower case matter",
    ),
    verified(
        "a label of four dimensions",
        lambda place: four_dimensional(place.label),
        "case case_001, labelsTr/case_001.nii.gz: has 4 dimensions, of size (12, 12, 8, 2); a label is one 3D volume; save it as one, with another number for each structure",
    ),
    verified(
        "a case that is no image",
        listed(0, image="./imagesTr/case_000.gif"),
        "dataset.json: training[0].image: './imagesTr/case_000.gif' does not end as images do, <case>.nii.gz or .nrrd, .mha, .png, .tif or .h5; convert the file, or correct its name",
        errors=3,
    ),
    verified(
        "a case whose name is no text",
        listed(0, image="./imagesTr/\ud800.nii.gz"),
        "dataset.json: training[0].image: './imagesTr/\\ud800.nii.gz' is longer than 200 bytes, or no text; rename the file",
        errors=3,
    ),
    verified(
        "a case whose name holds a null",
        listed(0, image="./imagesTr/a\0b.nii.gz"),
        "dataset.json: training[0].image: './imagesTr/a\\x00b.nii.gz' leaves the task's folder; list files inside it only",
        errors=3,
    ),
    verified(
        "a case whose name is too long",
        listed(0, image=f"./imagesTr/{'a' * 300}.nii.gz"),
        "dataset.json: training[0].image: './imagesTr/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is longer than 200 bytes, or no text; rename the file",
        errors=3,
    ),
    verified(
        "a case twice",
        added({"image": "./imagesTr/case_000.nii.gz", "label": "./labelsTr/case_000.nii.gz"}),
        "dataset.json: training: case case_000 is listed 2 times; list it once",
    ),
    verified(
        "a label for two cases",
        listed(0, label=f"./labelsTr/{CASE}.nii.gz"),
        "labelsTr/case_001.nii.gz: is the label of several cases: case_000, case_001; list each case with its own file",
        errors=2,
    ),
    verified(
        "a case that is not there",
        added(FOREIGN),
        "case case_009, imagesTr/case_009_0000.nii.gz: there is no such file; add it, or take the case off the list in dataset.json",
        errors=2,
    ),
    verified(
        "a channel missing",
        lambda place: place.image.unlink(),
        "case case_001, imagesTr/case_001_0000.nii.gz: there is no such file; add it, or take the case off the list in dataset.json",
    ),
    verified(
        "a channel that is not declared",
        lambda place: shutil.copyfile(place.image, place.image.with_name("case_001_0001.nii.gz")),
        "imagesTr/case_001_0001.nii.gz: is channel 1 of case case_001, which dataset.json does not declare under modality; list its case in dataset.json, or move the file away",
    ),
    verified(
        "two channels declared and one there",
        describe(modality={"0": "T1", "1": "T2"}),
        "case case_000, imagesTr/case_000_0001.nii.gz: there is no such file; add it, or take the case off the list in dataset.json",
        errors=6,
    ),
    verified(
        "an image without channel number",
        lambda place: renamed(place.image, "case_001.nii.gz"),
        "case case_001, imagesTr/case_001_0000.nii.gz: there is no such file, only case_001.nii.gz without a channel number; rename it, or convert the whole task with autoseg_convert_decathlon_task",
    ),
    verified(
        "an image that is not listed",
        lambda place: shutil.copyfile(place.image, place.image.with_name("more_0000.nii.gz")),
        "imagesTr/more_0000.nii.gz: belongs to no case in dataset.json; list its case in dataset.json, or move the file away",
    ),
    verified(
        "a case under two names",
        lambda place: (
            shutil.copyfile(place.image, place.image.with_name("case_000_0000.nii.gz")),
            shutil.copyfile(place.label, place.label.with_name("case_000.nii.gz")),
        ),
        "case case_001: has the same images and label as case case_000; leave one of them out",
    ),
    verified(
        "a name with a line break",
        a_name("case\n001"),
        "'case case\\n001, labelsTr/case\\n001.nii.gz': holds the value 9, which dataset.json does not declare (0 to 1); declare them under labels, or renumber them in the file",
    ),
    verified(
        "a name with spaces",
        a_name("case 001"),
        "case case 001, labelsTr/case 001.nii.gz: holds the value 9, which dataset.json does not declare (0 to 1); declare them under labels, or renumber them in the file",
    ),
    verified(
        "a name in another script",
        a_name("患者-Ä1"),
        "case 患者-Ä1, labelsTr/患者-Ä1.nii.gz: holds the value 9, which dataset.json does not declare (0 to 1); declare them under labels, or renumber them in the file",
    ),
    verified(
        "a name that steers the terminal",
        a_name("case\x1b[31m"),
        "'case case\\x1b[31m, labelsTr/case\\x1b[31m.nii.gz': holds the value 9, which dataset.json does not declare (0 to 1); declare them under labels, or renumber them in the file",
    ),
    verified(
        "a link that leads nowhere",
        lambda place: instead(place.image, link="nowhere.nii.gz"),
        "case case_001, imagesTr/case_001_0000.nii.gz: is a link that leads nowhere; correct it, or take the case off the list in dataset.json",
    ),
    verified(
        "a link to itself",
        lambda place: instead(place.image, link=place.image.name),
        "case case_001, imagesTr/case_001_0000.nii.gz: is a link that leads nowhere; correct it, or take the case off the list in dataset.json",
    ),
    verified(
        "folders that are links to each other",
        lambda place: instead(place.raw / "imagesTr", link="imagesTr"),
        "dataset.json: training[0].image: './imagesTr/case_000.nii.gz' leaves the task's folder; list files inside it only",
        errors=11,
    ),
    verified(
        "a folder in the place of an image",
        lambda place: instead(place.image, folder=True),
        "case case_001, imagesTr/case_001_0000.nii.gz: there is no such file; add it, or take the case off the list in dataset.json",
    ),
    verified(
        "a file in the place of a folder",
        lambda place: instead(place.raw / "labelsTr", link="dataset.json"),
        "labelsTr: there is no such folder; the task needs it",
    ),
    Entry(
        name="planning without any foreground",
        spoil=lambda place: [voxels(path, lambda data: data * 0) for path in (place.raw / "labelsTr").iterdir()],
        words="autoseg_plan_and_preprocess -t 1 -tf 1",
        message="Task001_Balls: no training case has a label above background, so there is nothing to learn; check the files in labelsTr",
    ),
    Entry(
        name="planning with a case missing",
        spoil=lambda place: place.image.unlink(),
        words="autoseg_plan_and_preprocess -t 1 -tf 1",
        message="looking for changes: 1 of 5 cases failed; the others are finished\n  case_001: {home}/raw_data/Task001_Balls/imagesTr/case_001_0000.nii.gz: cannot be read: No such file or directory",
    ),
    Entry(
        name="planning with NaN in an image",
        spoil=lambda place: voxels(place.image, lambda data: data.__setitem__((0, 0, 0), float("nan"))),
        words="autoseg_plan_and_preprocess -t 1 -tf 1",
        message="preparing: 1 of 5 cases failed; the others are finished\n  case_001: channel 0 holds NaN or infinite intensities; replace them in the image file, then run again (autoseg_verify_dataset lists every such file)",
        writes=(f"home/{PREPARED}/*",),
    ),
    Entry(
        name="planning with undeclared labels",
        spoil=lambda place: voxels(place.label, lambda data: data.__setitem__((0, 0, 0), 255)),
        words="autoseg_plan_and_preprocess -t 1 -tf 1",
        message="preparing: 1 of 5 cases failed; the others are finished\n  case_001: label 255 is not declared; the highest label of the plans is 1 (ball); correct the label file, or declare the label in dataset.json and plan again",
        writes=(f"home/{PREPARED}/*", "*/gt_segmentations/case_001.nii.gz"),
    ),
    Entry(
        name="planning with labels on another grid",
        spoil=lambda place: voxels(place.label, lambda data: data[:-1].copy()),
        words="autoseg_plan_and_preprocess -t 1 -tf 1",
        message="fingerprint: 1 of 5 cases failed; the others are finished\n  case_001: case_001_0000.nii.gz and case_001.nii.gz lie on different grids: size (8, 12, 12) and (7, 12, 12) voxels (z, y, x); resample them onto one grid",
    ),
    Entry(
        name="planning where the description is wrong in three places",
        spoil=describe(labels={"1": "ball"}, modality=None, training=[{"image": 3}]),
        words="autoseg_plan_and_preprocess -t 1 -tf 1",
        message='{home}/raw_data/Task001_Balls/dataset.json: 4 problems\n  modality: expected an object such as {"0": "MRI"}, found None\n  labels: 0 is not declared, which is the background; add "0": "background"\n  training[0].image: expected a path such as ./imagesTr/case.nii.gz, found 3\n  training[0].label: expected a path such as ./imagesTr/case.nii.gz, found None\nPut right and run again.',
    ),
)
