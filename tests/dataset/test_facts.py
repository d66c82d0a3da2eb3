"""metadata.tsv and patients.json: what is read of them, and what is refused in which words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from autoseg.dataset import read_dataset
from autoseg.dataset.facts import NOTHING, Facts, FactsTable, inspect_facts, read_facts
from autoseg.errors import DatasetError

DOCUMENTATION = Path(__file__).parents[2] / "documentation"
CASES = ("case_1", "case_2", "case_3")


def table(folder: Path, text: str | bytes, patients: object = None) -> Path:
    content = text.encode() if isinstance(text, str) else text
    (folder / "metadata.tsv").write_bytes(content)
    if patients is not None:
        (folder / "patients.json").write_text(json.dumps(patients))
    return folder


def facts(**known: str) -> Facts:
    return Facts(known=tuple(known.items()))


def problem(folder: Path) -> str:
    (found,) = inspect_facts(folder, CASES).problems
    return found


# --------------------------------------------------------------------------- what is read


def test_each_case_has_the_cells_of_its_line_in_order(tmp_path: Path) -> None:
    table(tmp_path, "case\tsite\tage\ncase_2\tunf\t61\ncase_1\tmni\t9\n")

    found = read_facts(tmp_path, CASES[:2])

    assert found.by_case == {"case_1": facts(site="mni", age="9"), "case_2": facts(site="unf", age="61")}
    assert found.of("case_2").known == (("site", "unf"), ("age", "61"))
    assert (found.of("case_2").get("age"), found.of("case_2").get("sex"), found.of("other")) == ("61", None, NOTHING)
    assert (found.problems, found.remarks, found.patients_file, found.patients) == ((), (), None, {})


@pytest.mark.parametrize(
    "text",
    [
        "case\tsite\tage\ncase_1\tm i\t\ncase_2\tn/a\t9\ncase_3\tx\t1",
        "\ufeffcase\tsite\tage\ncase_1\tm i\tn/a\ncase_2\t\t9\ncase_3\tx\t1\n",
        "case\tsite\tage\r\ncase_1\tm i\tn/a\r\n\r\ncase_2\t\t9\r\n\t\t\r\ncase_3\tx\t1\r\n",
        "case\tsite\tage\rcase_1\tm i\tn/a\rcase_2\t\t9\rcase_3\tx\t1\r",
    ],
    ids=["plain", "with the mark of UTF-8", "of Windows with empty lines", "of an old Mac"],
)
def test_lines_end_as_they_may_and_a_cell_of_which_nothing_is_known_is_left_out(tmp_path: Path, text: str) -> None:
    table(tmp_path, text)

    assert read_facts(tmp_path, CASES).by_case == {
        "case_1": facts(site="m i"),
        "case_2": facts(age="9"),
        "case_3": facts(site="x", age="1"),
    }


def test_without_either_file_nothing_is_known(tmp_path: Path) -> None:
    assert read_facts(tmp_path, CASES) == read_facts(tmp_path / "nowhere", CASES) == FactsTable()
    assert read_facts(tmp_path).patient("case_1") == "case_1"


def test_patients_json_is_the_column_patient(tmp_path: Path) -> None:
    (tmp_path / "patients.json").write_text('{"case_1": "Ann", "case_3": "Bob"}')
    alone = read_facts(tmp_path, CASES)
    beside = read_facts(table(tmp_path, "case\tsite\ncase_1\tmni\ncase_2\tmni\ncase_3\tunf\n"), CASES)
    (tmp_path / "patients.json").unlink()
    column = read_facts(table(tmp_path, "case\tpatient\ncase_1\tAnn\ncase_2\tn/a\ncase_3\tBob\n"), CASES)

    assert alone.by_case == {"case_1": facts(patient="Ann"), "case_3": facts(patient="Bob")}
    assert beside.by_case["case_1"] == facts(site="mni", patient="Ann")
    assert alone.patients == beside.patients == column.patients == {"case_1": "Ann", "case_3": "Bob"}
    assert alone.patients_file == beside.patients_file == tmp_path / "patients.json"
    assert column.patients_file == tmp_path / "metadata.tsv"
    assert [column.patient(case) for case in CASES] == ["Ann", "case_2", "Bob"]


def test_both_may_say_the_same_and_fill_each_other(tmp_path: Path) -> None:
    table(tmp_path, "case\tpatient\ncase_1\tAnn\ncase_2\tBob\ncase_3\t\n", {"case_1": "Ann", "case_3": "Cid"})

    assert read_facts(tmp_path, CASES).patients == {"case_1": "Ann", "case_2": "Bob", "case_3": "Cid"}


def test_cases_without_a_line_are_told_once_and_nothing_is_known_of_them(tmp_path: Path) -> None:
    found = read_facts(table(tmp_path, "case\tsite\ncase_2\tunf\n"), CASES)

    assert found.remarks == ("metadata.tsv: no line for 2 cases, so nothing is known of them: case_1, case_3",)
    assert found.of("case_1") == NOTHING
    assert not found.of("case_1")


def test_a_dataset_gives_each_case_its_facts(make_task: object, tmp_path: Path) -> None:
    raw = make_task(parent=tmp_path, cases=3, test_cases=1, shape=(4, 6, 6))  # type: ignore[operator]
    table(raw, "case\tsite\ncase_001\tunf\ntest_003\tmni\n", {"case_000": "Ann"})

    dataset = read_dataset(raw)

    assert [case.facts for case in dataset.training] == [facts(patient="Ann"), facts(site="unf"), NOTHING]
    assert [case.facts for case in dataset.test] == [facts(site="mni")]
    assert dataset.facts.remarks == (
        "metadata.tsv: no line for 2 cases, so nothing is known of them: case_000, case_002",
    )


def test_the_example_of_the_page_is_read_as_the_page_says(tmp_path: Path) -> None:
    page = (DOCUMENTATION / "data_format.md").read_text()
    (block,) = re.findall(r"^## metadata\.tsv\n.*?^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    found = read_facts(table(tmp_path, re.sub(" {2,}", "\t", block)))

    assert found.by_case == {
        "SCD0000101_ED": facts(patient="SCD0000101", site="Sunnybrook", age="61"),
        "SCD0000101_ES": facts(patient="SCD0000101", site="Sunnybrook", age="61"),
        "SCD0000201_ED": facts(patient="SCD0000201", site="Toronto General"),
    }
    assert found.patients_file == tmp_path / "metadata.tsv"


# ------------------------------------------------------------------------- what is refused

REFUSED: Mapping[str, tuple[str | bytes, str]] = {
    "nothing in it": (
        "",
        "metadata.tsv: is empty; write a line with the names of the columns and a line for each case",
    ),
    "blank lines only": (
        "\n\t\n \n",
        "metadata.tsv: is empty; write a line with the names of the columns and a line for each case",
    ),
    "names only": (
        "case\tsite\n",
        "metadata.tsv: has a line with names, but none of a case; add one for each, or take the file away",
    ),
    "commas": (
        "case,site\ncase_1,unf\n",
        "metadata.tsv: line 1: names a single column, 'case,site'; separate the columns by tabs, the first one names the case",
    ),
    "a column twice": (
        "\ncase\tsite\tage\tsite\ncase_1\ta\t1\tb\n",
        "metadata.tsv: line 2: names more than one column site; name each column differently",
    ),
    "a column without a name": (
        "case\tsite\t\ncase_1\ta\t\n",
        "metadata.tsv: line 1: column 3 has no name; give it one, or take the column out",
    ),
    "a blank before a column's name": (
        "case\t site\ncase_1\ta\n",
        "metadata.tsv: line 1: the name ' site' of column 2 begins or ends with a blank; take it out",
    ),
    "the column of patients in capitals": (
        "case\tPatient\ncase_1\ta\n",
        "metadata.tsv: line 1: column 'Patient' would be read as patient only in small letters; write it so",
    ),
    "too few cells": (
        "case\tsite\tage\ncase_1\ta\t1\ncase_2\ta\ncase_3\n",
        "metadata.tsv: line 3: 2 cells, where 3 columns are named; write every cell, n/a where nothing is known; "
        "1 more entry alike",
    ),
    "too many cells": (
        "case\tsite\ncase_1\ta\t7\n",
        "metadata.tsv: line 2: 3 cells, where 2 columns are named; take out what is too much, or name its column",
    ),
    "no case": (
        "case\tsite\ncase_1\ta\n\tb\n",
        "metadata.tsv: line 3: names no case; write its name into the first column",
    ),
    "a blank behind a case": (
        "case\tsite\ncase_1 \ta\n",
        "metadata.tsv: line 2: the cell 'case_1 ' in column case begins or ends with a blank; take it out",
    ),
    "a blank before a value": (
        "case\tsite\ncase_1\t a\ncase_2\t b\n",
        "metadata.tsv: line 2: the cell ' a' in column site begins or ends with a blank; take it out; 1 more entry alike",
    ),
    "quotation marks": (
        'case\tsite\ncase_1\t"Paris, Nord"\n',
        "metadata.tsv: line 2: the cell '\"Paris, Nord\"' in column site stands in quotation marks, which this kind of table "
        "does not have; take them out",
    ),
    "a character that nobody sees": (
        "case\tsite\ncase_1\tu\u200bnf\n",
        "metadata.tsv: line 2: the cell 'u\\u200bnf' in column site holds a character that cannot be shown; take it out, and "
        "save the table as UTF-8",
    ),
    "a case twice": (
        "case\tsite\ncase_1\ta\ncase_2\ta\n\ncase_1\tb\n",
        "metadata.tsv: line 5: case case_1 stands in line 2 already; keep one of the two",
    ),
    "a case that nobody knows": (
        "case\tsite\ncase_1\ta\ncase_7\tb\n",
        "metadata.tsv: names 1 case that the dataset does not have: case_7 (line 3); correct the name, or take the line out",
    ),
    "cases by their files": (
        "case\tsite\ncase_1.nii.gz\ta\ncase_2_0000.nii.gz\tb\n",
        "metadata.tsv: names 2 cases that the dataset does not have: case_1.nii.gz (line 2), case_2_0000.nii.gz (line 3); "
        "case_1.nii.gz seems to be case_1; correct the names, or take the lines out",
    ),
    "a spreadsheet's name": (
        "case\tsite\nCASE-001\ta\n",
        "metadata.tsv: names 1 case that the dataset does not have: CASE-001 (line 2); CASE-001 seems to be case_1; "
        "correct the name, or take the line out",
    ),
    "Latin 1": (
        b"case\tsite\ncase_1\tMontr\xe9al\n",
        "metadata.tsv: line 2: byte 22 of the file is no text in UTF-8; save the table as UTF-8",
    ),
    "UTF-16": (
        "case\tsite\ncase_1\ta\n".encode("utf-16"),
        "metadata.tsv: line 1: byte 0 of the file is no text in UTF-8; save the table as UTF-8",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_a_table_that_does_not_fit_is_refused_by_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    table(tmp_path, text)

    assert problem(tmp_path) == message
    assert inspect_facts(tmp_path, CASES).remarks == ()
    with pytest.raises(DatasetError) as caught:
        read_facts(tmp_path, CASES)
    assert str(caught.value) == f"{tmp_path}/{message}"


def test_utf_16_without_its_mark_is_refused_too(tmp_path: Path) -> None:
    table(tmp_path, "case\tsite\ncase_1\ta\n".encode("utf-16-le"))

    assert "holds a character that cannot be shown" in problem(tmp_path)


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.tsv").mkdir()

    assert problem(tmp_path).startswith("metadata.tsv: cannot be read: Is a directory")


def test_two_files_that_contradict_each_other_are_refused_by_name(tmp_path: Path) -> None:
    table(tmp_path, "case\tpatient\ncase_1\tAnn\ncase_2\tBob\ncase_3\tCid\n", {"case_1": "Ann", "case_2": "Bo"})

    assert problem(tmp_path) == (
        "patients.json: case_2 is of patient Bo, but of Bob in metadata.tsv, line 3; correct one of the two, or take "
        "patients.json away"
    )


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    table(tmp_path, "case\tsite\ncase_1\ta\tb\ncase_9\tb\n", ["Ann"])

    with pytest.raises(DatasetError) as caught:
        read_facts(tmp_path, CASES)

    assert str(caught.value) == (
        f"{tmp_path}: 3 problems in what is said of the cases\n"
        "  metadata.tsv: line 2: 3 cells, where 2 columns are named; take out what is too much, or name its column\n"
        '  patients.json: expected an object such as {"case_001": "patient_a"}; correct the file\n'
        "  metadata.tsv: names 1 case that the dataset does not have: case_9 (line 3); correct the name, or take the line "
        "out\n"
        "Put right and run again."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["a"]', 'patients.json: expected an object such as {"case_001": "patient_a"}; correct the file'),
        ('{"case_1": 1}', 'patients.json: expected an object such as {"case_001": "patient_a"}; correct the file'),
        (
            '{"case_1": "A',
            "patients.json: not valid JSON: Unterminated string starting at: line 1 column 12 (char 11); "
            "correct the file",
        ),
    ],
)
def test_patients_that_do_not_fit_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "patients.json").write_text(text)

    assert problem(tmp_path) == message
