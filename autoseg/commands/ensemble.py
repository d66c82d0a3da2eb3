"""`autoseg_ensemble`: the mean of several models' probabilities."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from autoseg.commands.arguments import add_overwrite, add_workers, folder
from autoseg.commands.running import Command, Parser, run_command, say_next
from autoseg.files.layout import PREDICTION_FILE
from autoseg.files.storage import read_json
from autoseg.jobs.next_steps import after_prediction
from autoseg.paths import Workspace
from autoseg.words import counted

BYTES_PER_WORKER = 2 * 10**9
"""The packed probabilities of two models for a large CT, a slab of their mean, and the labels."""


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-f",
        dest="folders",
        metavar="FOLDER",
        type=folder,
        nargs="+",
        required=True,
        help="folders that autoseg_predict --save_npz has written, with the same cases",
    )
    parser.add_argument("-o", dest="output", metavar="OUT", type=folder, required=True, help="where the results go")
    parser.add_argument(
        "-pp", dest="rules", metavar="FILE", type=folder, help="a postprocessing.json to apply to the labels"
    )
    parser.add_argument("--npz", action="store_true", help="also write the mean probabilities")
    add_overwrite(parser)
    add_workers(parser, what="average cases")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Average, and say where the results are."""
    from autoseg.ensembling.averaging import ensemble_folders
    from autoseg.machine.pool import fitting_workers
    from autoseg.outputs import AVERAGING, copy_beside, require_room_for_copy
    from autoseg.postprocessing.rules import load_rules

    if arguments.rules and not arguments.overwrite_existing:
        require_room_for_copy(arguments.rules, arguments.output, AVERAGING)
    written = ensemble_folders(
        arguments.folders,
        arguments.output,
        rules=load_rules(arguments.rules) if arguments.rules else (),
        probabilities=arguments.npz,
        overwrite=arguments.overwrite_existing,
        workers=fitting_workers(arguments.workers, BYTES_PER_WORKER),
    )
    if arguments.rules:
        copy_beside(arguments.rules, arguments.output)
    print(f"written: {counted(len(written), 'segmentation')} in {arguments.output}")
    task = _predicted_task(arguments.folders[0])
    if task is not None and workspace.task(task).dataset.is_file():
        say_next(*after_prediction(workspace.task(task), arguments.output), home=arguments.home)


def _predicted_task(folder: Path) -> str | None:
    """Whose models predicted there, where that is recorded."""
    record = folder / PREDICTION_FILE
    content = read_json(record) if record.is_file() else None
    task = content.get("dataset") if isinstance(content, dict) else None
    return task if isinstance(task, str) else None


COMMAND = Command(
    name="autoseg_ensemble",
    summary="average the predictions of several models",
    reads="<case>.npz in each FOLDER, as autoseg_predict --save_npz writes them",
    writes="OUT/<case>.nii.gz, the labels of the mean probabilities (with --npz also these, <case>.npz), and a copy of\n"
    "the rules that were applied. What is there and was made from the same is kept, and so is what somebody else made.",
    example="autoseg_ensemble -f by_2d by_3d -o predictions\n"
    "autoseg_ensemble -f by_2d by_3d -o predictions -pp postprocessing.json",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
main = partial(run_command, COMMAND)
