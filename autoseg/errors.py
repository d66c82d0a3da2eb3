"""The one family of errors that a user can put right.

A message says where, what is wrong, and what to do. Anything else that is raised is a bug of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from autoseg.words import counted, without_case

# A script that asks for nothing is told nothing. Not in the package's own module: `python -m autoseg` runs that before it
# leaves out the folder that it is started in, where a logging.py may lie.
logging.getLogger("autoseg").addHandler(logging.NullHandler())


class AutosegError(Exception):
    """Something the user can put right; commands print it and exit with 1."""


class DatasetError(AutosegError):
    """The raw data or its description is wrong."""


class PlanError(AutosegError):
    """Plans are missing, damaged, or do not fit what they are used for."""


class ModelError(AutosegError):
    """A trained model is missing, damaged, or made by an incompatible version."""


class ExtensionError(AutosegError):
    """A class named by the user cannot be found or does not fit."""


class StorageError(AutosegError):
    """A file of ours cannot be read or written."""


class DiskError(StorageError):
    """The disk is full or read-only, so that whatever else is tried fails alike."""


class LimitError(AutosegError):
    """A limit of this process or machine is met, whatever the file: nothing is wrong with the file itself."""


class WorkspaceError(AutosegError):
    """The folders, tasks or names given do not exist or contradict each other."""


class TrainingError(AutosegError):
    """Training cannot start or go on."""


class CasesFailed(AutosegError):  # noqa: N818 - reads as a statement where it is raised
    """Some cases failed; the others were finished."""

    def __init__(self, task: str, failures: Sequence[tuple[str, str]], total: int) -> None:
        self.failures = tuple(failures)
        lines = "\n".join(f"  {case}: {without_case(reason, case)}" for case, reason in failures)
        others = "; the others are finished" if len(failures) < total else ""
        super().__init__(f"{task}: {len(failures)} of {counted(total, 'case')} failed{others}\n{lines}")


class Interrupted(AutosegError):  # noqa: N818
    """A signal or a time limit stopped the work; the state is saved and it can be continued. Exit code 75."""
