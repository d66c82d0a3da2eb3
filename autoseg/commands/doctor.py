"""`autoseg_doctor`: what may be wrong with this computer, and what to do about it."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.running import Command, Parser, run_command, versions
from autoseg.commands.settings import typed
from autoseg.errors import AutosegError
from autoseg.paths import Workspace
from autoseg.words import counted

if TYPE_CHECKING:
    from autoseg.diagnosis.page import Check, Diagnosis


log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "--clean", action="store_true", help="remove what killed processes left half-written more than a day ago"
    )
    parser.add_argument(
        "--benchmark",
        action="store_true",
        help="also measure the device, the making of batches and the disks, and say what an epoch takes; a minute or two",
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Print the page."""
    from autoseg.diagnosis.page import examine, page

    checks = all_checks(workspace, os.environ, home=arguments.home, clean=arguments.clean)
    if arguments.benchmark:
        log.info("measuring, which takes a minute or two; other work on this computer makes it slower")
    diagnoses = examine(checks | (speed_checks(workspace) if arguments.benchmark else {}))
    print(f"{versions()}\n\n{typed(page(diagnoses))}\n")
    _end([diagnosis for found in diagnoses.values() for diagnosis in found])


def all_checks(
    workspace: Workspace, environment: Mapping[str, str], *, home: Path | None = None, clean: bool = False
) -> dict[str, Check]:
    """By heading. What a check needs is imported when it is made, so that one that cannot be is a line of the page."""
    folders = {name: getattr(workspace, name) for name in ("raw_data", "preprocessed", "results")}

    def check_folders() -> list[Diagnosis]:
        from autoseg.diagnosis.folders import check_folder, check_variables

        named = [check_folder(name, folder, needs_writing=name != "raw_data") for name, folder in folders.items()]
        return [*check_variables(environment, home=home), *named]

    def check_disks() -> list[Diagnosis]:
        from autoseg.diagnosis.folders import check_leftovers, check_room

        places = list(folders.values())
        return [*check_room(places), *check_leftovers(places, clean=clean)]

    def check_machine() -> list[Diagnosis]:
        from autoseg.diagnosis.resources import check_cores, check_memory, check_shared_memory

        return [*check_memory(), *check_cores(), *check_shared_memory()]

    def check_packages() -> list[Diagnosis]:
        from autoseg.diagnosis.software import check_installation

        return check_installation()

    def check_computing() -> list[Diagnosis]:
        from autoseg.diagnosis.computing import check_arithmetic, check_device, check_torch

        return [*check_torch(), *check_device(), *check_arithmetic()]

    def check_images() -> list[Diagnosis]:
        from autoseg.diagnosis import trying

        return trying.check_images()

    def check_processes() -> list[Diagnosis]:
        from autoseg.diagnosis import trying

        return [*trying.check_workers(), *trying.check_shared_batches()]

    return {
        "folders": check_folders,
        "disk": check_disks,
        "machine": check_machine,
        "packages": check_packages,
        "computing": check_computing,
        "images": check_images,
        "processes": check_processes,
    }


def speed_checks(workspace: Workspace) -> dict[str, Check]:
    """By heading: what is measured rather than looked at."""

    def check_training() -> list[Diagnosis]:
        from autoseg.diagnosis.speed import check_speed

        return check_speed()

    def check_storage() -> list[Diagnosis]:
        from autoseg.diagnosis.disk_speed import check_disk_speed

        return check_disk_speed([workspace.preprocessed, workspace.results])

    return {"speed": check_training, "storage": check_storage}


def _end(diagnoses: Sequence[Diagnosis]) -> None:
    faults, warnings = ([one for one in diagnoses if one.level == level] for level in ("fault", "warning"))
    summary = f"{counted(len(faults), 'fault')}, {counted(len(warnings), 'warning')}"
    if faults:
        raise AutosegError(f"{summary}; do what stands below each fault, and ask again")
    print(summary)


COMMAND = Command(
    name="autoseg_doctor",
    summary="check folders, disk, memory, cores, packages, device, images and workers, and say what to do",
    reads="the environment, the system, and the workspace's folders",
    writes="nothing that stays: it tries a small file in each folder. Exit code 1 when there is a fault",
    example="autoseg_doctor\nautoseg_doctor --home /data/autoseg --clean\nautoseg_doctor --benchmark",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
