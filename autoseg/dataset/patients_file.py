"""`patients.json` from the names of the cases, for whoever has several images of a patient."""

from __future__ import annotations

import logging
import re

from autoseg.dataset.description import read_dataset
from autoseg.dataset.patients import name_patients
from autoseg.errors import DatasetError
from autoseg.files.storage import write_json
from autoseg.files.task_folder import TaskFolder
from autoseg.words import RESULT, counted, first_few

log = logging.getLogger(__name__)


def write_patients(task: TaskFolder, found_by: re.Pattern[str]) -> None:
    """Write the task's `patients.json`, unless that or metadata.tsv says the same; either way it is said.

    Args:
        found_by: The patient is its first group, or all that it matches, in each case's name.

    Raises:
        DatasetError: A case's name does not match, or one of the two files says otherwise.
    """
    dataset = read_dataset(task.raw)
    patients = name_patients([case.identifier for case in dataset.training], found_by)
    counts = f"{counted(len(patients), 'case')} of {counted(len(set(patients.values())), 'patient')}"
    there, source = dataset.facts.patients, dataset.facts.patients_file
    if source is None:
        write_json(task.patients, patients)
        log.info("written: %s: %s", task.patients, counts, extra=RESULT)
        return
    named = {*patients, *there} if source == task.patients else patients.keys()  # a table may hold test cases, too
    if other := sorted(case for case in named if patients.get(case) != there.get(case)):
        raise DatasetError(
            f"{source}: is there already and says otherwise of {first_few(other)}; it is not overwritten, move it "
            "away to have it written anew, or leave `patients` out"
        )
    log.info("%s: %s, as it was", source, counts, extra=RESULT)
