from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from autoseg.dataset.facts import Facts, FactsTable
from autoseg.dataset.folds import DEFAULT_RULE, Split, fold_of_all
from autoseg.dataset.split_making import MadeSplits, proportions, read_foreign_folds
from autoseg.dataset.split_request import SplitRequest, record_of, write_split_record
from autoseg.dataset.split_rules import kinds_of
from autoseg.dataset.splits import describe_gaps, open_splits, write_splits
from autoseg.errors import DatasetError, TrainingError

SITES = ["unf"] * 30 + ["mni"] * 18 + ["kcl"] * 12
FACTS = {
    f"case_{number:02d}": Facts(
        known=(
            ("patient", f"p{number // 2}"),
            ("site", site),
            ("sex", "MF"[number // 2 % 2]),
            ("age", str(20 + number)),
        )
    )
    for number, site in enumerate(SITES)
}


def column(name: str, cases: tuple[str, ...]) -> Counter[str | None]:
    return Counter(FACTS[case].get(name) for case in cases)


def made(**asked: object) -> tuple[Split, ...]:
    return SplitRequest(**asked).rule().split(FACTS)  # type: ignore[arg-type]


def test_balanced_folds_hold_every_value_as_often_as_can_be_and_keep_groups_whole() -> None:
    splits = made(balance=("site", "sex"))

    assert sorted(case for split in splits for case in split.validation) == list(FACTS)
    for split in splits:
        assert set(split.training) == set(FACTS) - set(split.validation)
        assert not column("patient", split.training).keys() & column("patient", split.validation).keys()
        assert column("site", split.validation)["unf"] == 6  # of 60 cases 12 a fold, of which half are of unf
        assert 2 <= column("site", split.validation)["mni"] <= 4 and 2 <= column("site", split.validation)["kcl"] <= 4
        assert column("sex", split.validation) == {"M": 6, "F": 6}
    assert made(balance=("site", "sex")) == splits != made(balance=("site", "sex"), seed=1)


def test_parts_of_given_shares_hold_out_the_last_one_in_a_fold_of_its_own() -> None:
    first, last = made(fractions=(0.6, 0.2, 0.2), balance=("site",))

    assert [len(first.training), len(first.validation), len(last.validation)] == [36, 12, 12]
    assert set(last.training) == {*first.training, *first.validation}
    assert (
        column("site", first.training) == {"unf": 18, "mni": 10, "kcl": 8}
        or column("site", first.training)["unf"] == 18
    )
    (only,) = made(fractions=(0.5, 0.5))
    assert len(only.training) == len(only.validation) == 30


def test_a_held_out_site_is_the_last_fold_and_in_no_other() -> None:
    *others, last = made(test_on="site=kcl", folds=3)

    kcl = tuple(case for case in FACTS if FACTS[case].get("site") == "kcl")
    assert len(others) == 3 and last.validation == kcl
    assert set(last.training) == set(FACTS) - set(kcl)
    assert all(not set(kcl) & {*split.training, *split.validation} for split in others)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"balance": ("sity",)}, "sity: in no case anything stands in such a column; did you mean site?"),
        ({"folds": 1}, "folds: at least 2, found 1"),
        ({"folds": 2, "fractions": (0.5, 0.5)}, "give `request.folds` or `fractions`, not both"),
        ({"fractions": (0.5, 0.6)}, "fractions: they sum to 1, found 0.5 0.6, 1.1 together"),
        ({"fractions": (1.0, 0.0)}, "fractions: some cases have to train and some to validate, found 1 0"),
        (
            {"fractions": (0.5,)},
            "fractions: two or three numbers from 0 to 1, for training, validation and test, found 0.5",
        ),
        (
            {"fractions": (0.5, 0.3, 0.2), "test_on": "site=kcl"},
            "fractions: what is tested on is given by `test_on` already",
        ),
        (
            {"test_on": "age<21"},
            "age<21: is so of some cases of p0 and not of others, and those of one patient stay together",
        ),
        ({"test_on": "age>1"}, "age>1: is so of every case, and nothing is left to train on"),
        ({"balance": ("sex",), "group_by": "site"}, "3 sites are too few for 5 folds"),
        ({"fractions": (0.5, 0.3, 0.2), "group_by": "sex"}, "2 sexs are too few for 3 parts"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises((TrainingError, DatasetError)) as refused:
        made(**asked)
    assert message in str(refused.value)


def test_many_numbers_are_balanced_in_thirds() -> None:
    kinds = kinds_of(FACTS, ["age", "sex"])
    assert Counter(kinds[case]["age"] for case in FACTS) == {"20 to 39": 20, "40 to 59": 20, "60 to 79": 20}
    assert kinds_of({"a": Facts()}, ["age"]) == {"a": {"age": "n/a"}}


def test_the_table_tells_how_everything_is_shared_out() -> None:
    request = SplitRequest(fractions=(0.5, 0.5), balance=("site",))
    rows = proportions(MadeSplits(request=request, splits=request.rule().split(FACTS), facts=FACTS))

    assert rows[:3] == [["", "all", "training", "fold 0"], ["cases", "60", "30", "30"], ["patients", "30", "15", "15"]]
    assert [row[0] for row in rows[3:]] == ["site kcl", "site mni", "site unf"]
    assert rows[-1] == ["site unf", "50 %", "47 %", "53 %"]  # 15 of 30 patients, of whom two cannot be halved


def test_folds_of_a_file_are_taken_by_the_names_of_cases_files_or_patients(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"train": ["case_00.nii.gz", "case_01", "case_99"], "valid": ["p5"], "test": ["p6"]}))
    reused = read_foreign_folds(path, "patient")

    (split,) = SplitRequest().rule(reused).split(FACTS)
    assert (split.training, split.validation) == (("case_00", "case_01"), ("case_10", "case_11"))
    assert reused.unknown(FACTS) == ("case_99",)
    for content, message in (
        (
            [{"train": ["case_00"], "val": ["nobody"]}],
            "fold 0: val names no case that is here, nor any patient: nobody",
        ),
        ([{"train": ["case_00", "p1"], "val": ["case_02"]}], "fold 0: in training and validation at once: case_02"),
        ([{"train": ["case_00"]}], "fold 0: expected an object such as"),
        ([], "holds no fold"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(TrainingError, match=message):
            SplitRequest().rule(read_foreign_folds(path, "patient")).split(FACTS)


def test_folds_made_by_what_was_known_say_when_it_is_otherwise(tmp_path: Path) -> None:
    path, request = tmp_path / "splits_final.json", SplitRequest(balance=("site",), where="site in unf,mni")
    chosen = {case: facts for case, facts in FACTS.items() if facts.get("site") != "kcl"}
    splits = request.rule().split(chosen)
    write_splits(path, splits)
    write_split_record(tmp_path / "splits_rule.json", record_of(request, splits, FACTS))

    assert describe_gaps(path, list(FACTS), facts=FactsTable(by_case=FACTS)) == ()
    moved = {**FACTS, "case_03": Facts(known=(("patient", "p1"), ("site", "mni")))}
    (remark,) = describe_gaps(path, list(FACTS), facts=FactsTable(by_case=moved))
    assert remark.startswith(
        f"{path}: made by what metadata said of the cases, which is otherwise of 1 case now: case_03 (site was unf, is mni)"
    )
    write_splits(path, splits[:2])  # edited: the user's own, made by nothing
    (remark,) = describe_gaps(path, list(moved), facts=FactsTable(by_case=moved))
    assert "12 cases in no fold" in remark
    (tmp_path / "splits_rule.json").write_text('{"format": 1}')
    with pytest.raises(TrainingError, match="delete the file, and the folds are taken for your own"):
        describe_gaps(path, list(FACTS))


# ------------------------------------------------------------------ the column split

ROLES = {"a": "train", "b": "train", "c": "val", "d": "test", "e": "aug", "f": "aug"}
PATIENTS = {"e": "a", "f": "c"}


def roles(**changed: str) -> dict[str, Facts]:
    return {
        case: Facts(known=(("split", role), ("patient", PATIENTS.get(case, case))))
        for case, role in {**ROLES, **changed}.items()
    }


def test_a_fixed_split_is_the_one_fold_and_what_is_added_trains_only(tmp_path: Path) -> None:
    fixed = (Split(training=("a", "b", "e"), validation=("c",)),)
    assert DEFAULT_RULE.split(roles()) == fixed
    facts = FactsTable(by_case=roles())
    assert open_splits(tmp_path / "splits_final.json", list(ROLES), facts=facts) == fixed
    assert fold_of_all(roles()) == Split(training=("a", "b", "c", "e", "f"), validation=("a", "b", "c"))


def test_what_is_added_trains_in_folds_that_do_not_validate_its_patient() -> None:
    facts = {f"c{number}": Facts() for number in range(5)} | {
        "more": Facts(known=(("split", "aug"), ("patient", "c3"))),
        "test": Facts(known=(("split", "test"),)),
    }
    splits = DEFAULT_RULE.split(facts)

    assert sorted(split.validation for split in splits) == [(f"c{number}",) for number in range(5)]
    assert all(("more" in split.training) == (split.validation != ("c3",)) for split in splits)
    assert not any("test" in split.training for split in splits)


def test_a_column_split_of_another_meaning_is_none_of_ours_and_a_slip_in_it_is_told() -> None:
    others = {f"c{number}": Facts(known=(("split", "left"),)) for number in range(5)}
    assert len(DEFAULT_RULE.split(others)) == 5
    with pytest.raises(TrainingError, match="column split holds training beside train or val or test or aug"):
        DEFAULT_RULE.split(roles(a="training"))
    with pytest.raises(TrainingError, match="column split says of no case that it trains"):
        DEFAULT_RULE.split(roles(a="val", b="val"))
