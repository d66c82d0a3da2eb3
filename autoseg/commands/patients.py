"""`--patients`: `patients.json` from the names of the cases, for whoever has several images of a patient."""

from __future__ import annotations

import argparse
import re

from autoseg.commands.running import Parser
from autoseg.dataset import read_dataset
from autoseg.dataset.patients import name_patients
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
    """Write the task's `patients.json`, unless that or metadata.tsv says the same.

    Raises:
        DatasetError: A case's name does not match, or one of the two says otherwise.
    """
    path, dataset = workspace.task(task).patients, read_dataset(workspace.task(task).raw)
    patients = name_patients([case.identifier for case in dataset.training], found_by)
    counts = f"{counted(len(patients), 'case')} of {counted(len(set(patients.values())), 'patient')}"
    there, source = dataset.facts.patients, dataset.facts.patients_file
    if source is not None:
        named = {*patients, *there} if source == path else patients.keys()  # a table may hold test cases, too
        if other := sorted(case for case in named if patients.get(case) != there.get(case)):
            raise DatasetError(
                f"{source}: is there already and says otherwise of {first_few(other)}; it is not overwritten, move it "
                "away to have it written anew, or leave --patients out"
            )
        print(f"{source}: {counts}, as it was")
        return
    write_json(path, patients)
    print(f"written: {path}: {counts}")
