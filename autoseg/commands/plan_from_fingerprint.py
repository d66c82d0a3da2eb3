"""`autoseg_plan_from_fingerprint`: plans from what was measured, without any image."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from autoseg.commands.arguments import add_planners, add_plans_name, folder
from autoseg.commands.planning import PlannerChoice, make_plans
from autoseg.commands.running import Command, Parser, run_command
from autoseg.errors import AutosegError, CasesFailed, WorkspaceError
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-i", dest="files", metavar="FILE", nargs="+", type=Path, required=True, help="one fingerprint.json or several"
    )
    parser.add_argument(
        "-o", dest="output", metavar="FOLDER", type=folder, required=True, help="where a subfolder for each is made"
    )
    add_planners(parser)
    add_plans_name(
        parser, "file the plans under this name (default: autoseg, or the class's name for your own planner)"
    )
    parser.set_defaults(plans=None)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001 - no task folder is touched
    """Plan from each file; a bad one is named and the others are done."""
    plan_from_fingerprints(
        arguments.files, arguments.output, planners=PlannerChoice.of(arguments), plans_name=arguments.plans
    )


def plan_from_fingerprints(
    files: Sequence[Path], output: Path, *, planners: PlannerChoice, plans_name: str | None = None
) -> None:
    """Write the plans of each fingerprint to `output/<file's name without .json>/`.

    Raises:
        WorkspaceError: Two files have the same name.
        CasesFailed: Naming each file that cannot be read or planned from; the others are done.
    """
    from autoseg.planning.fingerprint import load_fingerprint

    names = [path.name.removesuffix(".json") for path in files]
    if double := [name for name, times in Counter(names).items() if times > 1]:
        raise WorkspaceError(f"{', '.join(double)}: given twice, and each file gets one folder; rename one")
    failures = []
    for path, name in zip(files, names, strict=True):
        try:
            make_plans(
                load_fingerprint(path), dataset=name, folder=output / name, planners=planners, plans_name=plans_name
            )
        except AutosegError as error:
            failures.append((str(path), str(error)))
    if failures:
        raise CasesFailed("planning", failures, len(files))


COMMAND = Command(
    name="autoseg_plan_from_fingerprint",
    summary="plan from fingerprint.json files alone, without any image",
    reads="fingerprint.json files, as autoseg_plan_and_preprocess leaves them in preprocessed/TaskXXX_Name",
    writes="FOLDER/<name of the file without .json>/<plans>_plans_3D.pkl and _2D.pkl, each with a .json view beside it",
    example="autoseg_plan_from_fingerprint -i hippocampus.json liver.json -o plans -gpu_memory_target 11",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
main = partial(run_command, COMMAND)
