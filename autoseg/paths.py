"""The three folders a user works in, and the tasks and models that lie in them; what these are called, `files.layout` says."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import WorkspaceError
from autoseg.files.layout import configurations_in, is_task, task_number, weights_name
from autoseg.files.model_folder import ModelFolder, ModelKey, parse_model
from autoseg.files.task_folder import TaskFolder
from autoseg.words import counted

log = logging.getLogger(__name__)

DEFAULT_HOME = "autoseg_data"
FOLDERS = ("raw_data", "preprocessed", "results")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The three folders a user works in.

    Attributes:
        unnamed: Which of them nothing names, so that they lie in ./autoseg_data; worth a word to the user.
    """

    raw_data: Path
    preprocessed: Path
    results: Path
    unnamed: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], home: Path | None = None) -> Workspace:
        """`home` wins; then a variable of its own for each folder; then AUTOSEG_HOME; then ./autoseg_data."""
        if home is not None:
            environment = {"AUTOSEG_HOME": str(home)}
        root = _named_folder(environment, "AUTOSEG_HOME")
        own = {folder: _named_folder(environment, f"AUTOSEG_{folder.upper()}") for folder in FOLDERS}
        folders = {folder: path or (root or Path(DEFAULT_HOME)) / folder for folder, path in own.items()}
        for path in (root, *folders.values()):
            if path is not None and path.exists() and not path.is_dir():
                raise WorkspaceError(
                    f"{path}: is no folder; name a folder with `home` or AUTOSEG_HOME, or move the file"
                )
        return cls(
            raw_data=folders["raw_data"],
            preprocessed=folders["preprocessed"],
            results=folders["results"],
            unnamed=tuple(folder for folder, path in own.items() if path is None and root is None),
        )

    # ------------------------------------------------------------------ tasks

    def find_task(self, task: str) -> str:
        """The full folder name of a task given as `4`, `Task004` or `Task004_Hippocampus`.

        Raises:
            WorkspaceError: No folder or several folders fit; it lists where was searched and what is there.
        """
        known = self.tasks()
        if task.isdecimal():
            matches = [name for name in known if task_number(name) == int(task)]
        elif re.fullmatch(r"Task\d{3,}", task):
            matches = [name for name in known if name.startswith(f"{task}_")]
        else:
            matches = [name for name in known if name == task]
        if len(matches) != 1:
            listing = ", ".join(known) or "none"
            found = "no task" if not matches else f"{counted(len(matches), 'task')} ({', '.join(matches)})"
            raise WorkspaceError(
                f"{task!r}: {found} of that name in {self.raw_data}, {self.preprocessed} or {self.results}; known: {listing}. "
                "Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or `home`."
            )
        return matches[0]

    def find_task_with_models(self, task: str | None) -> str:
        """The task named, or the only one that has a trained model.

        Raises:
            WorkspaceError: None has, or several have; they are listed.
        """
        if task is not None:
            return self.find_task(task)
        known = self.tasks_with_models()
        if len(known) == 1:
            log.info("%s: the only task with a trained model", known[0])
            return known[0]
        if not known:
            raise WorkspaceError(f"{self.results}: no trained model here; train one with autoseg_train, or set `home`")
        raise WorkspaceError(f"{self.results}: several tasks have models; choose one with `task`: {', '.join(known)}")

    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks found in any of the three folders, sorted."""
        roots = [self.raw_data, self.preprocessed, *(self.results / name for name in configurations_in(self.results))]
        return tuple(
            sorted(
                {
                    path.name
                    for root in roots
                    if root.is_dir()
                    for path in root.iterdir()
                    if path.is_dir() and is_task(path.name)
                }
            )
        )

    def task(self, name: str) -> TaskFolder:
        """Where a task lies, by its full name."""
        return TaskFolder(
            name=name, raw=self.raw_data / name, preprocessed=self.preprocessed / name, results=self.results
        )

    # ----------------------------------------------------------------- models

    def model(self, key: ModelKey) -> ModelFolder:
        """Where a model is trained."""
        return ModelFolder.below(self.results, key)

    def tasks_with_models(self) -> tuple[str, ...]:
        """Names of the tasks in results that hold a fold's weights, sorted."""
        return tuple(
            sorted(
                {
                    path.name
                    for name in configurations_in(self.results)
                    for path in (self.results / name).iterdir()
                    if path.is_dir() and is_task(path.name) and any(path.glob(f"*/*/{weights_name('*')}"))
                }
            )
        )


def find_models(results: Path, task: str | None = None) -> tuple[ModelFolder, ...]:
    """All folders of trained models, in the order of configurations; of one task where it is named."""
    return tuple(
        model
        for configuration in configurations_in(results)
        for folder in sorted((results / configuration).glob(f"{task or '*'}/*"))
        if folder.is_dir() and is_task(folder.parent.name)
        if (model := parse_model(folder)) is not None
    )


def _named_folder(environment: Mapping[str, str], variable: str) -> Path | None:
    """The folder a variable names; quotation marks around it, as some shells leave them, are dropped."""
    value = environment.get(variable, "").strip().strip("\"'")
    return Path(value).expanduser() if value else None
