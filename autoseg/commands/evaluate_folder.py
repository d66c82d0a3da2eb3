"""`autoseg_evaluate_folder`: score a folder of segmentations against another."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.arguments import TASK_HELP, add_overwrite, add_workers, folder, label_name
from autoseg.commands.running import Command, Parser, run_command, say_next
from autoseg.dataset import read_dataset
from autoseg.dataset.facts import NOTHING_KNOWN
from autoseg.dataset.target import Target
from autoseg.errors import WorkspaceError
from autoseg.files.layout import SUMMARY_FILE
from autoseg.jobs.next_steps import after_scoring
from autoseg.paths import Workspace
from autoseg.words import readable

if TYPE_CHECKING:
    from autoseg.evaluation.summary import Summary

log = logging.getLogger(__name__)

HAUSDORFF = "Hausdorff Distance 95"


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument("-t", dest="task", metavar="TASK", help=f"{TASK_HELP}; its labels are scored, by their names")
    parser.add_argument(
        "-ref", dest="references", metavar="DIR", type=folder, help="the true labels (default: those of the task)"
    )
    parser.add_argument("-pred", dest="predictions", metavar="DIR", type=folder, required=True, help="what to score")
    parser.add_argument(
        "-l",
        dest="labels",
        metavar="LABEL",
        type=label_name,
        nargs="+",
        help="labels to score, by number or by name in the task (default: all of the task)",
    )
    parser.add_argument("--common", action="store_true", help="score the cases that both folders hold, and no others")
    parser.add_argument(
        "--surface_distances", action="store_true", help="also the 95th percentile Hausdorff distance in mm (slower)"
    )
    add_overwrite(parser)
    add_workers(parser, what="score cases")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Score, write summary.json, print the means."""
    from autoseg.evaluation.folders import evaluate_folder

    references: Path | None = arguments.references
    target: Target | None = None
    facts = NOTHING_KNOWN
    task = None if arguments.task is None else workspace.find_task(arguments.task)
    if task is not None:
        raw = workspace.task(task).raw
        dataset = read_dataset(raw)
        target, facts = dataset.target, dataset.facts
        references = references or raw / "labelsTr"
    if references is None:
        raise WorkspaceError("what are the true labels? Name their folder (-ref), or the task that they belong to (-t)")
    summary = evaluate_folder(
        references,
        arguments.predictions,
        labels=label_numbers(arguments.labels, target),
        workers=arguments.workers,
        common=arguments.common,
        surface_distances=arguments.surface_distances,
        overwrite=arguments.overwrite_existing,
        facts=facts,
    )
    print(score_table(summary, target.outputs if target else ()))
    print(f"written: {arguments.predictions / SUMMARY_FILE}")
    if task is not None:
        say_next(*after_scoring(workspace.task(task), arguments.predictions), home=arguments.home)


def label_numbers(wanted: Sequence[int | str] | None, target: Target | None) -> list[int]:
    """The numbers of labels that are named by number or name.

    Args:
        wanted: None takes all that are scored.
        target: The task's; None where no task is known.

    Raises:
        WorkspaceError: A label that the task does not have, or names without a task.
    """
    if target is None:
        if unknown := [str(one) for one in wanted or () if isinstance(one, str)]:
            raise WorkspaceError(
                f"-l {unknown[0]}: names are known of a task only; name it (-t), or the label's number"
            )
        if wanted is None:
            raise WorkspaceError("which labels? Name their numbers (-l), or the task that they belong to (-t)")
        return [int(one) for one in wanted]
    return list(target.scored) if wanted is None else [_number(one, target.outputs) for one in wanted]


def _number(wanted: int | str, names: Sequence[str]) -> int:
    if isinstance(wanted, int) and wanted < len(names):
        return wanted
    alike = [number for number, name in enumerate(names) if name.casefold() == str(wanted).casefold()]
    exact = [number for number in alike if names[number] == wanted]
    if len(exact or alike) != 1:
        known = ", ".join(f"{number} {readable(name)}" for number, name in enumerate(names))
        raise WorkspaceError(f"-l {readable(wanted)}: the task has no such label; it has {known}")
    return (exact or alike)[0]


def score_table(summary: Summary, names: Sequence[str] = ()) -> str:
    """A line for each label: cases in which it has a Dice, its mean and deviation, its volumes, distances where measured.

    Args:
        names: Label names, the index is the value.
    """
    width = max([5, *(len(_name(label, names)) for label in summary.labels)])
    measured = HAUSDORFF in summary.foreground_mean
    distances = f"  {'HD95 mm':>7}  {'n':>5}" if measured else ""
    lines = [f"{'label':<{width}}  {'n':>5}  {'Dice':>7}  {'std':>7}{distances}  {'true ml':>9}  {'found ml':>9}"]
    for label in summary.labels:
        number, mean, std = summary.number[label], summary.mean[label], summary.std[label]
        line = f"{_name(label, names):<{width}}  {number['Dice']:>5}  {_score(mean['Dice'])}  {_score(std['Dice'])}"
        line += f"  {_rounded(mean[HAUSDORFF], 7, 2)}  {number[HAUSDORFF]:>5}" if measured else ""
        lines.append(
            line + "".join(f"  {_rounded(mean.get(f'Volume {image}'), 9, 3)}" for image in ("Reference", "Test"))
        )
    if len(summary.labels) > 1:
        mean = summary.foreground_mean
        distance = f"  {'':>7}  {_rounded(mean[HAUSDORFF], 7, 2)}" if measured else ""
        lines.append(f"{'mean':<{width}}  {'':>5}  {_score(mean.get('Dice'))}{distance}")
    return "\n".join(lines)


def _name(label: int, names: Sequence[str]) -> str:
    return f"{label} {names[label]}" if label < len(names) else str(label)


def _score(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.4f}':>7}"


def _rounded(value: float | None, width: int, digits: int) -> str:
    return f"{'-' if value is None else f'{value:.{digits}f}':>{width}}"


COMMAND = Command(
    name="autoseg_evaluate_folder",
    summary="score a folder of segmentations against the true labels",
    reads="two folders with label images of equal names (<case>.nii.gz); with -t the task's labels and dataset.json",
    writes="summary.json in the folder of predictions: every metric of every case and label, means, deviations, counts",
    example="autoseg_evaluate_folder -ref labels -pred predictions -l 1 2\n"
    "autoseg_evaluate_folder -t 4 -pred predictions --common -l Anterior",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
