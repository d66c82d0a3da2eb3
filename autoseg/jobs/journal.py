"""The journal of a run: one small file that says, for every step, how far it came and under which conditions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoseg.errors import StorageError
from autoseg.files.records import RecordFormat, decode_record, write_record
from autoseg.files.storage import read_json
from autoseg.machine.processes import ProcessIdentity

FORMAT = RecordFormat(number=1)
RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The last attempt at one step.

    Attributes:
        state: "running", "done", "failed" or "interrupted". A killed run leaves "running".
        settings: `Step.settings_hash` of the attempt.
        inputs: Hash of each input as it was at the start; of those that were not there then, at the end.
        started, finished: ISO times of this attempt; None for what has not happened.
        seconds: Spent on this step in all attempts with these settings.
        code: Exit code, negative for a signal.
        process: That did the work.
        products: Absolute paths that `Step.find_products` found when the step was done.
    """

    state: str
    argv: tuple[str, ...]
    settings: str
    inputs: Mapping[str, str | None]
    started: str
    finished: str | None = None
    seconds: float = 0.0
    code: int | None = None
    process: ProcessIdentity | None = None
    products: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    steps: Mapping[str, Record] = field(default_factory=dict)


class Journal:
    """The records of a run, kept in a file that is whole at every moment."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Record]:
        """Records by step name; none where there is no file yet.

        Raises:
            StorageError: The file is damaged, or of a newer version.
        """
        if not self.path.is_file():
            return {}
        try:
            steps = decode_record(read_json(self.path), _Content, FORMAT, self.path, where=self.path.name).steps
        except StorageError as error:
            raise StorageError(
                f"{self.path}: not a journal that this version reads ({error}); delete it, and what is finished is found "
                "again by the steps themselves"
            ) from error
        return {name: self._with_products(record, self._absolute) for name, record in steps.items()}

    def write(self, name: str, record: Record) -> None:
        """Set the record of one step.

        Raises:
            StorageError: The file cannot be written.
        """
        records = {**self.read(), name: record}
        steps = {name: self._with_products(record, self._relative) for name, record in records.items()}
        write_record(self.path, _Content(steps=steps), FORMAT)

    def _with_products(self, record: Record, change: Callable[[str], str]) -> Record:
        return replace(record, products=tuple(map(change, record.products)))

    def _relative(self, path: str) -> str:
        """In the file, so that all folders can be moved together."""
        return os.path.relpath(path, self.path.parent)

    def _absolute(self, path: str) -> str:
        return os.path.abspath(self.path.parent / path)  # noqa: PTH100 - resolve() would follow links
