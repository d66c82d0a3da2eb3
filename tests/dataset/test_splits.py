from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from autoseg.dataset.facts import NOTHING, Facts, FactsTable, read_facts
from autoseg.dataset.folds import RandomFolds, Split, too_few_for_folds
from autoseg.dataset.splits import describe_gaps, open_split, open_splits
from autoseg.dataset.task_folds import numbered_folds
from autoseg.errors import TrainingError
from autoseg.files.task_folder import TaskFolder

CASES = [f"case_{number:02d}" for number in range(12)]


def of_patients(patients: Mapping[str, str]) -> FactsTable:
    """As a patients.json has them."""
    by_case = {case: NOTHING.with_patient(patient) for case, patient in patients.items()}
    return FactsTable(by_case=by_case, patients_file=Path("patients.json"))


def make_splits(cases: Sequence[str], patients: Mapping[str, str] | None = None) -> tuple[Split, ...]:
    facts = of_patients(patients or {})
    return RandomFolds().split({case: facts.of(case) for case in cases})


def numbers(names: tuple[str, ...]) -> list[int]:
    return [int(name.removeprefix("case_")) for name in names]


def test_folds_are_those_of_the_published_seed() -> None:
    splits = make_splits(CASES)

    assert [numbers(split.validation) for split in splits] == [[0, 3, 8], [7, 10, 11], [6, 9], [1, 4], [2, 5]]
    assert all(sorted(split.training + split.validation) == CASES for split in splits)


def test_a_patients_cases_stay_together() -> None:
    patients = {case: f"patient_{number // 2}" for number, case in enumerate(CASES)}
    splits = make_splits(CASES, patients=patients)

    for split in splits:
        assert not {patients[case] for case in split.training} & {patients[case] for case in split.validation}
    assert sorted(case for split in splits for case in split.validation) == CASES


def test_folds_are_written_once_and_an_edited_file_is_honoured(tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    made = open_split(path, CASES, "0")
    assert json.loads(path.read_text())[0] == {"train": list(made.training), "val": list(made.validation)}

    path.write_text(json.dumps([{"train": ["case_01", "case_00"], "val": ["case_07"]}]))
    assert open_split(path, CASES, "0") == Split(training=("case_00", "case_01"), validation=("case_07",))


def test_fold_all_trains_and_validates_on_everything_without_a_file(tmp_path: Path) -> None:
    split = open_split(tmp_path / "splits_final.json", CASES, "all")

    assert split.training == split.validation == tuple(CASES)
    assert not list(tmp_path.iterdir())


def test_patients_are_read_from_the_users_file(tmp_path: Path) -> None:
    patients = {case: case[:6] + "a" if number < 6 else case for number, case in enumerate(CASES)}
    (tmp_path / "patients.json").write_text(json.dumps(patients))
    split = open_split(tmp_path / "splits_final.json", CASES, "0", facts=read_facts(tmp_path))

    together = set(CASES[:6])
    assert together <= set(split.training) or together <= set(split.validation)


def test_too_few_cases_or_patients_are_refused() -> None:
    with pytest.raises(TrainingError, match="4 cases are too few for 5 folds; train fold `all`"):
        make_splits(CASES[:4])
    with pytest.raises(TrainingError, match="1 patient is too few for 5 folds"):
        make_splits(CASES, patients=dict.fromkeys(CASES, "p"))
    assert [bool(too_few_for_folds(number)) for number in (1, 4, 5, 6)] == [True, True, False, False]
    with pytest.raises(TrainingError, match="2 patients are too few for 5 folds"):
        make_splits(CASES, patients={case: str(number % 2) for number, case in enumerate(CASES)})


@pytest.mark.parametrize("fold", ["5", "-1", "x"])
def test_a_fold_that_is_not_there_is_refused(tmp_path: Path, fold: str) -> None:
    with pytest.raises(TrainingError, match=rf"fold {fold}: .* holds the folds 0, 1, 2, 3, 4; use one of them, or all"):
        open_split(tmp_path / "splits_final.json", CASES, fold)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": []}, "expected a list of objects"),
        ([], "expected a list of objects"),
        ([{"train": ["case_00"]}], "fold 0: expected an object such as"),
        ([{"train": [1], "val": ["case_00"]}], "fold 0: expected an object such as"),
        ([{"train": ["case_00"], "val": []}], "fold 0: val is empty"),
        ([{"train": ["case_00"], "val": ["case_99"]}], "fold 0: val names cases that are not prepared: case_99"),
        ([{"train": CASES, "val": ["case_03"]}], "fold 0: in training and validation at once: case_03"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(content))

    with pytest.raises(TrainingError, match=message):
        open_split(path, CASES, "0")


def test_the_folds_of_a_file_are_named_or_else_those_that_are_made(tmp_path: Path) -> None:
    task = TaskFolder(name="Task001_Balls", raw=tmp_path, preprocessed=tmp_path, results=tmp_path)
    assert numbered_folds(task) == ("0", "1", "2", "3", "4")

    task.splits.write_text(json.dumps([{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]))
    assert numbered_folds(task) == ("0", "1")

    task.splits.write_text(json.dumps({"0": {"train": ["a"], "val": ["b"]}}))
    with pytest.raises(TrainingError, match="expected a list of objects"):
        numbered_folds(task)


def test_many_unknown_cases_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": [f"x{number:02d}" for number in range(13)], "val": CASES}]))

    with pytest.raises(TrainingError, match="x08, x09 and 3 more; correct the file"):
        open_split(path, CASES, "0")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    path.write_text("[{")

    with pytest.raises(TrainingError, match=r"not valid JSON.*correct the file, or delete it"):
        open_split(path, CASES, "0")


def test_a_case_without_a_patient_is_refused_when_folds_are_made(tmp_path: Path) -> None:
    (tmp_path / "patients.json").write_text("{}")
    with pytest.raises(
        TrainingError, match=r"patients\.json: no patient is given for case_00, .* and 2 more; add them"
    ):
        open_split(tmp_path / "splits_final.json", CASES, "0", facts=read_facts(tmp_path))

    (tmp_path / "patients.json").unlink()
    lines = [f"{case}\tp{number}\n" for number, case in enumerate(CASES[1:])]
    (tmp_path / "metadata.tsv").write_text("".join(["case\tpatient\n", f"{CASES[0]}\tn/a\n", *lines]))
    with pytest.raises(TrainingError, match=r"metadata\.tsv: no patient is given for case_00; add them"):
        open_split(tmp_path / "splits_final.json", CASES, "0", facts=read_facts(tmp_path))
    assert not (tmp_path / "splits_final.json").exists()


def test_the_column_of_a_table_and_patients_json_make_the_same_folds(tmp_path: Path) -> None:
    patients = {case: f"p{number % 6}" for number, case in enumerate(CASES)}
    lines = [f"{case}\t{patient}\tx\n" for case, patient in patients.items()]
    (tmp_path / "metadata.tsv").write_text("".join(["case\tpatient\tsite\n", *lines]))

    made = open_splits(tmp_path / "splits_final.json", CASES, facts=read_facts(tmp_path, CASES))

    assert made == make_splits(CASES, patients) != make_splits(CASES)


def test_folds_follow_from_a_rule_over_facts(tmp_path: Path) -> None:
    by_case = {case: Facts(known=(("site", "abc"[number % 3]),)) for number, case in enumerate(CASES)}
    facts = FactsTable(by_case=by_case)
    by_site = RandomFolds(number=3, together="site")

    splits = open_splits(tmp_path / "splits_final.json", CASES, facts=facts, rule=by_site)

    assert sorted(split.validation for split in splits) == [tuple(CASES[first::3]) for first in range(3)]
    assert all(sorted(split.training + split.validation) == CASES for split in splits)
    with pytest.raises(TrainingError, match="3 sites are too few for 4 folds; train fold `all`"):
        RandomFolds(number=4, together="site").split(by_case)


# ------------------------------------------------------------------ what folds miss

NEW = "move that file away and autoseg_train makes new folds, for which every fold has to be trained anew"


def write_folds(path: Path, cases: list[str] = CASES) -> Path:
    open_split(path, cases, "0")
    return path


def test_folds_that_hold_every_case_once_miss_nothing(tmp_path: Path) -> None:
    assert describe_gaps(tmp_path / "splits_final.json", CASES) == ()
    assert describe_gaps(write_folds(tmp_path / "splits_final.json"), CASES) == ()


def test_cases_added_since_are_named_whenever_a_fold_is_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_folds(tmp_path / "splits_final.json")
    expected = (f"{path}: 2 cases in no fold, so they are neither trained on nor validated: new_1, new_2; {NEW}",)

    assert describe_gaps(path, [*CASES, "new_2", "new_1"]) == expected
    before = open_split(path, CASES, "3")
    caplog.clear()
    assert open_split(path, [*CASES, "new_2", "new_1"], "3") == before
    assert caplog.messages == [*expected]


def test_a_case_left_out_of_one_fold_only_is_the_users_choice(tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": CASES[:4], "val": CASES[4:8]}, {"train": CASES[4:], "val": CASES[:2]}]))

    assert describe_gaps(path, CASES) == ()


def test_cases_taken_off_the_list_are_named(tmp_path: Path) -> None:
    path = write_folds(tmp_path / "splits_final.json")

    assert describe_gaps(path, CASES[1:]) == (
        f"{path}: names 1 case that dataset.json does not list: case_00; training refuses such a fold, take them out of the "
        f"file, or {NEW}",
    )


def test_patients_on_both_sides_are_named_for_every_fold_or_the_one_that_is_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "splits_final.json"
    folds = [{"train": CASES[:6], "val": CASES[6:]}, {"train": CASES[1:7], "val": [CASES[0]]}]
    path.write_text(json.dumps(folds))
    facts = of_patients({CASES[5]: "Ann", CASES[6]: "Ann", CASES[0]: "Bob", CASES[1]: "Bob"})
    good = "so the scores are too good: {}; keep all cases of a patient on one side, or " + NEW

    assert describe_gaps(path, CASES, facts=facts) == (
        f"{path}: folds 0, 1: trained on and validated with images of the same patients, {good.format('Ann, Bob')}",
    )
    open_split(path, CASES, "0", facts=facts)
    assert caplog.messages == [
        f"{path}: fold 0: trained on and validated with images of the same patient, {good.format('Ann')}"
    ]
