"""The three folders, the variables that name them, and the tasks in them."""

from __future__ import annotations

import shutil
from pathlib import Path

from spoiling import PREPARED, TASK, Entry, Place

PLAN = "autoseg_plan_and_preprocess -t 1 -tf 1"
VERIFY = "autoseg_verify_dataset -t 1 --workers 1"
TRAIN = "autoseg_train 2d Trainer 1 0 -device cpu"


def replaced_by_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("in the way")


def read_only(place: Place) -> None:
    """Where nobody can make a folder, not even the administrator."""
    shutil.rmtree(place.home / "preprocessed")
    (place.home / "preprocessed").symlink_to("/proc")


ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="a home that is not there",
        words=f"{VERIFY} --home {{outer}}/absent",
        message="'1': no task of that name in {outer}/absent/raw_data, {outer}/absent/preprocessed or {outer}/absent/results; known: none. Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or --home.",
        own_home=True,
    ),
    Entry(
        name="a home that is a file",
        words=f"{VERIFY} --home {{outer}}/balls.zip",
        message="{outer}/balls.zip: is no folder; name a folder with --home or AUTOSEG_HOME, or move the file",
        own_home=True,
    ),
    Entry(
        name="AUTOSEG_HOME is a file",
        words=VERIFY,
        environment={"AUTOSEG_HOME": "{outer}/balls.zip"},
        message="{outer}/balls.zip: is no folder; name a folder with --home or AUTOSEG_HOME, or move the file",
    ),
    Entry(
        name="AUTOSEG_HOME is empty",
        words=VERIFY,
        environment={"AUTOSEG_HOME": ""},
        message="'1': no task of that name in autoseg_data/raw_data, autoseg_data/preprocessed or autoseg_data/results; known: none. Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or --home.",
    ),
    Entry(
        name="AUTOSEG_HOME is blank",
        words=VERIFY,
        environment={"AUTOSEG_HOME": "  "},
        message="'1': no task of that name in autoseg_data/raw_data, autoseg_data/preprocessed or autoseg_data/results; known: none. Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or --home.",
        alone=True,
    ),
    Entry(
        name="AUTOSEG_HOME is the task's folder",
        words=VERIFY,
        environment={"AUTOSEG_HOME": "{home}/raw_data/Task001_Balls"},
        message="'1': no task of that name in {home}/raw_data/Task001_Balls/raw_data, {home}/raw_data/Task001_Balls/preprocessed or {home}/raw_data/Task001_Balls/results; known: none. Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or --home.",
    ),
    Entry(
        name="AUTOSEG_RAW_DATA is a file",
        words=VERIFY,
        environment={"AUTOSEG_HOME": "{home}", "AUTOSEG_RAW_DATA": "{outer}/balls.zip"},
        message="{outer}/balls.zip: is no folder; name a folder with --home or AUTOSEG_HOME, or move the file",
    ),
    Entry(
        name="AUTOSEG_PREPROCESSED is a file",
        words=PLAN,
        environment={"AUTOSEG_HOME": "{home}", "AUTOSEG_PREPROCESSED": "{outer}/balls.zip"},
        message="{outer}/balls.zip: is no folder; name a folder with --home or AUTOSEG_HOME, or move the file",
    ),
    Entry(
        name="AUTOSEG_RESULTS is not there",
        words="autoseg_predict -i {home}/raw_data/Task001_Balls/imagesTs -o {outer}/out",
        environment={"AUTOSEG_HOME": "{home}", "AUTOSEG_RESULTS": "{outer}/absent"},
        message="{outer}/absent: no trained model here; train one with autoseg_train, or set --home",
    ),
    Entry(
        name="preprocessed is a file",
        spoil=lambda place: replaced_by_file(place.home / "preprocessed"),
        words=PLAN,
        message="{home}/preprocessed: is no folder; name a folder with --home or AUTOSEG_HOME, or move the file",
    ),
    Entry(
        name="the task's prepared folder is a file",
        spoil=lambda place: replaced_by_file(place.prepared),
        words=PLAN,
        message="{home}/preprocessed/Task001_Balls/fingerprint.json: cannot be written: File exists; move away what has this name, or name another",
    ),
    Entry(
        name="results is a file",
        spoil=lambda place: replaced_by_file(place.home / "results"),
        words=TRAIN,
        message="{home}/results: is no folder; name a folder with --home or AUTOSEG_HOME, or move the file",
    ),
    Entry(
        name="preprocessed cannot be written",
        spoil=read_only,
        words=PLAN,
        message="{home}/preprocessed/Task001_Balls/fingerprint.json: cannot be written: No such file or directory; check that it and its folder exist",
    ),
    Entry(
        name="a folder of prepared cases is a file",
        spoil=lambda place: replaced_by_file(place.prepared / "autoseg_2d"),
        words=TRAIN,
        message="{home}/preprocessed/Task001_Balls/autoseg_2d: 0 of 5 cases are prepared here (case_000, case_001, case_002, case_003, case_004); run autoseg_plan_and_preprocess first",
    ),
    Entry(
        name="a folder that is a link to itself",
        spoil=lambda place: (shutil.rmtree(place.home / "raw_data"), (place.home / "raw_data").symlink_to("raw_data")),
        words=VERIFY,
        message="errors in Task001_Balls (1); put right what the report names and verify again",
    ),
    Entry(
        name="two tasks of one number",
        spoil=lambda place: shutil.copytree(place.raw, place.raw.with_name("Task001_Again")),
        words=VERIFY,
        message="'1': 2 tasks (Task001_Again, Task001_Balls) of that name in {home}/raw_data, {home}/preprocessed or {home}/results; known: Task001_Again, Task001_Balls. Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or --home.",
    ),
    Entry(
        name="a task that nobody knows",
        words=VERIFY.replace("-t 1", "-t 9"),
        message="'9': no task of that name in {home}/raw_data, {home}/preprocessed or {home}/results; known: Task001_Balls. Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or --home.",
    ),
    Entry(
        name="a task by half of its name",
        words=VERIFY.replace("-t 1", "-t Balls"),
        message="'Balls': no task of that name in {home}/raw_data, {home}/preprocessed or {home}/results; known: Task001_Balls. Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or --home.",
    ),
    Entry(
        name="a task by a path",
        words=VERIFY.replace("-t 1", "-t ../raw_data/Task001_Balls"),
        message="'../raw_data/Task001_Balls': no task of that name in {home}/raw_data, {home}/preprocessed or {home}/results; known: Task001_Balls. Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or --home.",
    ),
    Entry(
        name="a task whose raw data are gone",
        spoil=lambda place: shutil.rmtree(place.raw),
        words=PLAN,
        message="{home}/raw_data/Task001_Balls/dataset.json: not found; every task folder needs one (documentation/data_format.md)",
    ),
    Entry(
        name="training before planning",
        spoil=lambda place: shutil.rmtree(place.prepared),
        words=TRAIN,
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: no plans here; run autoseg_plan_and_preprocess first",
    ),
    Entry(
        name="the output of a prediction cannot be made",
        words="autoseg_predict -i {home}/raw_data/Task001_Balls/imagesTs -o {outer}/balls.zip/out -m 2d -device cpu",
        message="{outer}/balls.zip/out/selection.json: Not a directory; a part of this path is a file; check the path",
    ),
    Entry(
        name="scores of two folders with other cases",
        words="autoseg_evaluate_folder -ref {home}/raw_data/Task001_Balls/labelsTr "
        "-pred {home}/raw_data/Task001_Balls/imagesTs -l 1",
        message="{home}/raw_data/Task001_Balls/imagesTs and {home}/raw_data/Task001_Balls/labelsTr: the two folders must hold the same cases\n  not in {home}/raw_data/Task001_Balls/imagesTs: case_000, case_001, case_002, case_003, case_004\n  not in {home}/raw_data/Task001_Balls/labelsTr: test_005_0000\nAdd what is missing or move what is not to be scored, or score the cases that both hold (--common).",
    ),
    Entry(
        name="scores of intensities",
        words="autoseg_evaluate_folder -ref {home}/raw_data/Task001_Balls/imagesTr "
        "-pred {home}/raw_data/Task001_Balls/imagesTr -l 1 --workers 1",
        message="scoring: 5 of 5 cases failed\n  case_000_0000: {home}/raw_data/Task001_Balls/imagesTr/case_000_0000.nii.gz: a segmentation holds whole numbers only, found -38.9942, -37.7228, -31.9735, -31.0634, -29.6718, -29.3605, -29.2809, -26.5695, -25.459, -25.1634 and 1142 more; correct the file\n  case_001_0000: {home}/raw_data/Task001_Balls/imagesTr/case_001_0000.nii.gz: a segmentation holds whole numbers only, found -31.1451, -29.95, -29.1284, -28.1929, -25.8908, -25.0713, -24.0308, -23.9263, -22.9323, -22.6652 and 1142 more; correct the file\n  case_002_0000: {home}/raw_data/Task001_Balls/imagesTr/case_002_0000.nii.gz: a segmentation holds whole numbers only, found -30.1145, -28.2954, -26.5495, -25.4752, -25.2579, -24.5294, -23.7669, -23.1575, -23.1309, -23.0946 and 1142 more; correct the file\n  case_003_0000: {home}/raw_data/Task001_Balls/imagesTr/case_003_0000.nii.gz: a segmentation holds whole numbers only, found -28.3465, -27.6558, -26.7189, -26.1106, -26.0476, -23.5974, -22.6439, -22.0651, -21.9549, -21.8658 and 1142 more; correct the file\n  case_004_0000: {home}/raw_data/Task001_Balls/imagesTr/case_004_0000.nii.gz: a segmentation holds whole numbers only, found -29.0714, -28.6651, -28.6162, -27.3395, -27.331, -25.5713, -24.9562, -24.3982, -23.7851, -23.7671 and 1142 more; correct the file",
    ),
)
assert PREPARED.endswith(TASK)
