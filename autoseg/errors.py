"""The one family of errors that a user can put right.

A message says where, what is wrong, and what to do. Anything else that is raised is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Sequence


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


def counted(number: int | str, noun: str, nouns: str = "") -> str:
    """`1 case`, `2 cases`.

    Args:
        number: As it is shown.
        nouns: The plural, where it is irregular or a verb follows: `"case is", "cases are"`.
    """
    return f"{number} {agreeing(number, noun, nouns)}"


def agreeing(number: int | str, one: str, many: str = "") -> str:
    """The word that agrees with a number that stands elsewhere: `fold` or `folds`, `is` or `are`."""
    return one if str(number) == "1" else many or f"{one}s"


def without_case(reason: str, case: str) -> str:
    """What is wrong with a case, for where the case is named already."""
    return reason.removeprefix(f"case {case}: ")


def in_bytes(count: int) -> str:
    """`12.3 GB`, `45 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def readable(name: object) -> str:
    """A path or name on one line that any terminal can show: verbatim, or quoted where it holds line breaks or no text."""
    text = str(name)
    return text if text.isprintable() else ascii(text)
