"""A dataset anywhere on the disk as a task of the workspace: the one that was made of it before, or a new one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.conversion.layouts import Conversion, plan_conversion, read_conversion, write_conversion
from autoseg.conversion.recognition import DECATHLON
from autoseg.conversion.settings import ConversionSettings
from autoseg.errors import StorageError
from autoseg.files.layout import is_task
from autoseg.paths import Workspace
from autoseg.words import readable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """A dataset's task.

    Attributes:
        name: The task's, `TaskXXX_Name`.
        is_there: Whether it is; else it was only looked at.
    """

    name: str
    is_there: bool = True


def take_in(
    source: Path,
    workspace: Workspace,
    settings: ConversionSettings,
    told: Callable[[Conversion], None],
    *,
    look_only: bool = False,
) -> TakenIn:
    """The task that a dataset is, was made into with the same settings, or is made into now, by links where that goes.

    Args:
        told: Is told what was understood, before anything is written.
        look_only: Write nothing.

    Raises:
        DatasetError, WorkspaceError, StorageError: As for `convert_dataset`.
    """
    if is_task(source.name) and source.parent.resolve() == workspace.raw_data.resolve():
        return TakenIn(name=source.name)
    for name in workspace.tasks():
        known = read_conversion(workspace.task(name).raw)
        if known is not None and known.is_of(source, settings):
            log.info("%s: was made of %s before", name, readable(source))
            return TakenIn(name=name)
    planned = plan_conversion(source, workspace.raw_data, settings, tasks=workspace.tasks(), workers=None)
    told(planned)
    if look_only:
        return TakenIn(name=planned.folder.name, is_there=False)
    linking = replace(settings, link=planned.understood.layout != DECATHLON)
    try:
        write_conversion(planned, linking, workers=None)
    except StorageError as error:
        if not linking.link or planned.folder.exists():
            raise
        log.info("%s; the files are copied", error)
        write_conversion(planned, settings, workers=None)
    return TakenIn(name=planned.folder.name)
