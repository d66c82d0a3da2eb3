"""`autoseg_plot_task`: overlay pictures of a task's cases, to look at before training and after."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from autoseg.commands.arguments import TASK_HELP, add_overwrite, add_workers, folder, not_negative
from autoseg.commands.running import Command, Parser, run_command, say_next
from autoseg.dataset import Case, Dataset, image_files, read_dataset
from autoseg.errors import WorkspaceError
from autoseg.files.layout import has_plans
from autoseg.paths import Workspace
from autoseg.words import counted

BYTES_PER_WORKER = 2 * 10**9
"""A large CT in single precision, its labels, and the picture."""


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument("-t", dest="task", metavar="TASK", required=True, help=TASK_HELP)
    parser.add_argument("-o", dest="output", metavar="DIR", type=folder, required=True, help="where the pictures go")
    parser.add_argument(
        "-pred",
        dest="predictions",
        metavar="DIR",
        type=folder,
        help="predictions <case>.nii.gz of training or test cases: only these cases, with a row for the prediction",
    )
    parser.add_argument(
        "-channel", metavar="N", type=not_negative, default=0, help="which channel of the images to show (default: 0)"
    )
    add_overwrite(parser)
    add_workers(parser, what="draw")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Draw, and say where the pictures are."""
    task = workspace.find_task(arguments.task)
    written = plot_task(
        task,
        workspace,
        arguments.output,
        predictions=arguments.predictions,
        channel=arguments.channel,
        overwrite=arguments.overwrite_existing,
        workers=arguments.workers,
    )
    print(f"written: {counted(len(written), 'picture')} in {arguments.output}")
    if arguments.predictions is None and not has_plans(workspace.task(task).preprocessed):
        say_next(("autoseg_plan_and_preprocess", "-t", task), home=arguments.home)


def plot_task(
    task: str,
    workspace: Workspace,
    output: Path,
    *,
    predictions: Path | None = None,
    channel: int = 0,
    overwrite: bool = False,
    workers: int | None = None,
) -> list[Path]:
    """Draw every training case, or the cases of a folder of predictions, and return the pictures' paths.

    Args:
        overwrite: Replace pictures that autoseg did not draw, too.

    Raises:
        WorkspaceError: The output is the folder of the predictions, or holds a task's own data; or the images have no such channel, or no case of the task is predicted in that folder.
        CasesFailed: Naming each case that cannot be drawn.
    """
    from autoseg.machine.pool import fitting_workers
    from autoseg.outputs import require_apart
    from autoseg.reporting.overlays import plot_cases

    dataset = read_dataset(workspace.task(task).raw)
    require_apart(
        [output], {"the folder of the predictions; name one of its own": [predictions] if predictions else []}
    )
    if channel >= len(dataset.channels):
        raise WorkspaceError(
            f"{task}: has channels 0 to {len(dataset.channels) - 1} ({', '.join(dataset.channels)}), not {channel}"
        )
    return plot_cases(
        dataset.training if predictions is None else _predicted(dataset, predictions),
        output,
        labels=dataset.target.outputs,
        predictions=predictions,
        channel=channel,
        overwrite=overwrite,
        workers=fitting_workers(workers, BYTES_PER_WORKER),
    )


def _predicted(dataset: Dataset, predictions: Path) -> Sequence[Case]:
    if not predictions.is_dir():
        raise WorkspaceError(f"{predictions}: no such folder; name one with predictions <case>.nii.gz")
    names = image_files(predictions)
    found = [case for case in (*dataset.training, *dataset.test) if case.identifier in names]
    if not found:
        raise WorkspaceError(f"{predictions}: holds no prediction <case>.nii.gz of any case of {dataset.name}")
    return found


COMMAND = Command(
    name="autoseg_plot_task",
    summary="draw overlay pictures of a task's images, labels and predictions",
    reads="raw_data/TaskXXX_Name, and the folder of predictions if one is named",
    writes="DIR/<case>.png: cuts through the slices with most foreground, labels outlined, a legend with their names\n"
    "and, beside a reference, each one's Dice; in radiological convention, whatever the order the image is stored in",
    example="autoseg_plot_task -t 4 -o pictures\nautoseg_plot_task -t 4 -o pictures -pred predictions",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
