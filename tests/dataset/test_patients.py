"""Patients in the names of cases: by the user's pattern, and as a suspicion that keeps quiet where there is none."""

from __future__ import annotations

import re

import pytest

from autoseg.dataset.patients import name_patients, suspect_patients
from autoseg.errors import DatasetError

ALONE = {
    "numbered": [f"hippocampus_{number:03d}" for number in range(1, 200)],
    "few": ["hippocampus_001", "hippocampus_003", "hippocampus_004"],
    "letters and numbers": [f"BraTS2021_{number:05d}" for number in range(30)],
    "two words": [f"BraTS20_Training_{number:03d}" for number in range(30)],
    "hyphens": [f"volume-{number}" for number in range(131)],
    "sites": [f"site{site}_{number:03d}" for site in (1, 2, 3) for number in range(1, 21)],
    "hospital codes": ["TCGA-02-0003", "TCGA-02-0006", "TCGA-02-0009", "TCGA-06-0011", "TCGA-08-0027"],
    "one image a patient": [f"sub-{number:02d}_T1w" for number in range(1, 20)],
    "one scan a patient": [f"lesion_{number:03d}_01" for number in range(1, 20)],
    "numbers": [str(number) for number in range(100, 120)],
    "hashes": ["0b0d577159f0", "0b2e702f90ae", "1a2b77c01d44", "1a2b90ffe012"],
}

TOGETHER = [
    (["SCD01_ED", "SCD01_ES", "SCD02_ED", "SCD02_ES"], "SCD01 (SCD01_ED, SCD01_ES), SCD02 (SCD02_ED, SCD02_ES)"),
    (["patient007_scan1", "patient007_scan2", "patient8_scan1"], "patient007 (patient007_scan1, patient007_scan2)"),
    (["sub-01_ses-1_run-1", "sub-01_ses-2_run-1", "sub-02_ses-1"], "sub-01 (sub-01_ses-1_run-1, sub-01_ses-2_run-1)"),
    (["P3_left", "P3_right", "P4", "P5"], "P3 (P3_left, P3_right)"),
    (["P3L", "P3R", "P4L", "P4R"], "P3 (P3L, P3R), P4 (P4L, P4R)"),
    (["p01_20200101", "p01_20210304", "p02_20190506"], "p01 (p01_20200101, p01_20210304)"),
    (["p03_1", "p03_2", "p01_1", "p02_1"], "p03 (p03_1, p03_2)"),
    (["smith_pre", "smith_post", "lee_pre"], "smith (smith_pre, smith_post)"),
    (["BraTS-GLI-02-000", "BraTS-GLI-02-001", "BraTS-GLI-05-000"], "BraTS-GLI-02 (BraTS-GLI-02-000, BraTS-GLI-02-001)"),
    (["P1 left", "P1 right", "P2 left"], "P1 (P1 left, P1 right)"),
]


@pytest.mark.parametrize("cases", ALONE.values(), ids=ALONE)
def test_names_that_are_numbered_raise_no_suspicion(cases: list[str]) -> None:
    assert suspect_patients(cases) is None


@pytest.mark.parametrize(("cases", "example"), TOGETHER)
def test_names_of_scans_do_and_the_pattern_names_these_patients(cases: list[str], example: str) -> None:
    suspicion = suspect_patients(cases)

    assert suspicion is not None
    assert suspicion.example == example
    patients = name_patients(cases, re.compile(suspicion.pattern))
    assert patients.keys() == set(cases)
    assert patients[cases[0]] == patients[cases[1]] != patients[cases[-1]]


def test_many_patients_are_shown_by_three() -> None:
    suspicion = suspect_patients([f"P{number}_{side}" for number in range(1, 6) for side in ("left", "right")])

    assert suspicion is not None
    assert suspicion.example.endswith("P3 (P3_left, P3_right) and 2 more")


def test_the_patient_is_the_first_group_or_all_that_matches() -> None:
    cases = ["a_P01_x", "b_P02_y"]

    assert name_patients(cases, re.compile("P[0-9]+")) == {"a_P01_x": "P01", "b_P02_y": "P02"}
    assert name_patients(cases, re.compile("P([0-9]+)_(.)")) == {"a_P01_x": "01", "b_P02_y": "02"}


@pytest.mark.parametrize("pattern", ["P01", "P01()?", "(x)?P0[12]"])
def test_a_case_without_a_patient_is_named(pattern: str) -> None:
    with pytest.raises(DatasetError) as caught:
        name_patients(["a_P01_x", "b_P02_y"], re.compile(pattern))

    assert str(caught.value).startswith(f"the pattern {pattern!r} finds no patient in ")
    assert str(caught.value).endswith("b_P02_y; extend it, every case needs one")
