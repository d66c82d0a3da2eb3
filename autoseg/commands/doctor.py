"""`autoseg_doctor`: what may be wrong with this computer, and what to do about it."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoseg.commands.running import Command, Parser
from autoseg.commands.settings import typed
from autoseg.errors import AutosegError
from autoseg.paths import Workspace
from autoseg.versions import versions
from autoseg.words import counted

if TYPE_CHECKING:
    from autoseg.diagnosis.page import Diagnosis


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
    from autoseg.diagnosis.checks import all_checks, speed_checks
    from autoseg.diagnosis.page import examine, page

    checks = all_checks(workspace, os.environ, home=arguments.home, clean=arguments.clean)
    if arguments.benchmark:
        log.info("measuring, which takes a minute or two; other work on this computer makes it slower")
    diagnoses = examine(checks | (speed_checks(workspace) if arguments.benchmark else {}))
    print(f"{versions()}\n\n{typed(page(diagnoses))}\n")
    _end([diagnosis for found in diagnoses.values() for diagnosis in found])


def _end(diagnoses: Sequence[Diagnosis]) -> None:
    faults, warnings = ([one for one in diagnoses if one.level == level] for level in ("fault", "warning"))
    summary = f"{counted(len(faults), 'fault')}, {counted(len(warnings), 'warning')}"
    if faults:
        raise AutosegError(f"{summary}; do what stands below each fault, and ask again")
    print(summary)


COMMAND = main = Command(
    name="autoseg_doctor",
    summary="check folders, disk, memory, cores, packages, device, images and workers, and say what to do",
    reads="the environment, the system, and the workspace's folders",
    writes="nothing that stays: it tries a small file in each folder. Exit code 1 when there is a fault",
    example="autoseg_doctor\nautoseg_doctor --home /data/autoseg --clean\nautoseg_doctor --benchmark",
    add_arguments=add_arguments,
    run=run,
)
