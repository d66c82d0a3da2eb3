"""`--patients`: `patients.json` from the names of the cases, for whoever has several images of a patient."""

from __future__ import annotations

import argparse
import re

from autoseg.commands.running import Parser
from autoseg.dataset import read_dataset
from autoseg.dataset.patients import name_patients
from autoseg.dataset.splits import read_patients
from autoseg.errors import DatasetError
from autoseg.files.storage import write_json
from autoseg.paths import Workspace
from autoseg.words import counted, first_few


def add_patients(parser: Parser) -> None:
    """`--patients REGEX`."""
    parser.add_argument(
        "--patients",
        metavar="REGEX",
        type=pattern,
        help="write patients.json beside dataset.json, so that folds keep a patient's cases together: in each case's name, "
        "the patient is the first group of this regular expression, or all that it matches",
    )


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def write_patients(task: str, workspace: Workspace, found_by: re.Pattern[str]) -> None:
    """Write the task's `patients.json`; one that says the same is left alone, another one refused.

    Raises:
        DatasetError: A case's name does not match, or there is a file that says otherwise.
    """
    path = workspace.task(task).patients
    patients = name_patients([case.identifier for case in read_dataset(workspace.task(task).raw).training], found_by)
    counts = f"{counted(len(patients), 'case')} of {counted(len(set(patients.values())), 'patient')}"
    if path.exists():
        there = read_patients(path)
        other = sorted(case for case in {*patients, *there} if patients.get(case) != there.get(case))
        if other:
            raise DatasetError(
                f"{path}: is there already and says otherwise of {first_few(other)}; it is not overwritten, move it away to "
                "have it written anew, or leave --patients out"
            )
        print(f"{path}: {counts}, as it was")
        return
    write_json(path, patients)
    print(f"written: {path}: {counts}")
