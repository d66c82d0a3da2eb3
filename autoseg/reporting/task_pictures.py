"""Pictures of a task's cases, or of those that a folder of predictions holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset import Case, Dataset, image_files, read_dataset
from autoseg.errors import WorkspaceError
from autoseg.evaluation.case_files import cases_in
from autoseg.files.task_folder import TaskFolder
from autoseg.machine.pool import fitting_workers
from autoseg.outputs import require_apart
from autoseg.reporting.overlays import Shown, plot_cases

BYTES_PER_WORKER = 2 * 10**9
"""A large CT in single precision, its labels, and the picture."""


def plot_task(
    task: TaskFolder,
    output: Path,
    *,
    predictions: Path | None = None,
    channel: int = 0,
    overwrite: bool = False,
    workers: int | None = None,
) -> list[Path]:
    """Draw every training case, or the cases of a folder of predictions, and return the pictures' paths.

    Args:
        output: Folder of the pictures, `<case>.png`.
        predictions: Folder of `<case>.nii.gz`, or a file of each mask, drawn in a row of their own.
        channel: Which channel of the images.
        overwrite: Replace pictures that autoseg did not draw, too.
        workers: Processes; None lets the machine decide.

    Raises:
        WorkspaceError: The output is the folder of the predictions, or holds a task's own data; or the images have no
            such channel, or no case of the task is predicted in that folder.
        CasesFailed: Naming each case that cannot be drawn.
    """
    dataset = read_dataset(task.raw)
    require_apart(
        [output], {"the folder of the predictions; name one of its own": [predictions] if predictions else []}
    )
    if channel >= len(dataset.channels):
        raise WorkspaceError(
            f"{task.name}: has channels 0 to {len(dataset.channels) - 1} ({', '.join(dataset.channels)}), not {channel}"
        )
    return plot_cases(
        dataset.training if predictions is None else _predicted(dataset, predictions),
        output,
        Shown(target=dataset.target, predictions=predictions, channel=channel),
        overwrite=overwrite,
        workers=fitting_workers(workers, BYTES_PER_WORKER),
    )


def _predicted(dataset: Dataset, predictions: Path) -> Sequence[Case]:
    if not predictions.is_dir():
        raise WorkspaceError(f"{predictions}: no such folder; name one with predictions <case>.nii.gz")
    names = cases_in(image_files(predictions), dataset.target)
    found = [case for case in (*dataset.training, *dataset.test) if case.identifier in names]
    if not found:
        raise WorkspaceError(f"{predictions}: holds no prediction <case>.nii.gz of any case of {dataset.name}")
    return found
