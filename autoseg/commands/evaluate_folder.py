"""`autoseg_evaluate_folder`: score a folder of segmentations against another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.arguments import add_workers, folder, not_negative
from autoseg.commands.running import Command, Parser, run_command
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.evaluation.summary import Summary

BYTES_PER_WORKER = 2 * 10**9
"""Two label images of 1000 slices of 512x512 in 32 bits."""


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument("-ref", dest="references", metavar="DIR", type=folder, required=True, help="the true labels")
    parser.add_argument("-pred", dest="predictions", metavar="DIR", type=folder, required=True, help="what to score")
    parser.add_argument(
        "-l", dest="labels", metavar="LABEL", type=not_negative, nargs="+", required=True, help="label values to score"
    )
    parser.add_argument(
        "--surface_distances", action="store_true", help="also the 95th percentile Hausdorff distance in mm (slower)"
    )
    add_workers(parser, what="score cases")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001 - no task folder is touched
    """Score, write summary.json, print the means."""
    summary = evaluate_folder(
        arguments.references,
        arguments.predictions,
        labels=arguments.labels,
        workers=arguments.workers,
        surface_distances=arguments.surface_distances,
    )
    print(score_table(summary))
    print(f"written: {arguments.predictions / 'summary.json'}")


def evaluate_folder(
    references: Path,
    predictions: Path,
    *,
    labels: Sequence[int],
    workers: int | None = None,
    surface_distances: bool = False,
) -> Summary:
    """Score all cases of two folders of equal names and write `predictions/summary.json`."""
    from autoseg.evaluation.summary import save_summary, score_folder
    from autoseg.parallel import fitting_workers

    summary = score_folder(
        predictions,
        references,
        sorted(set(labels)),
        workers=fitting_workers(workers, BYTES_PER_WORKER),
        surface_distances=surface_distances,
    )
    save_summary(summary, predictions / "summary.json")
    return summary


def score_table(summary: Summary, names: Sequence[str] = ()) -> str:
    """A line for each label: cases in which it has a Dice, its mean and standard deviation.

    Args:
        names: Label names, the index is the value.
    """
    width = max([5, *(len(_name(label, names)) for label in summary.labels)])
    lines = [f"{'label':<{width}}  {'n':>5}  {'Dice':>7}  {'std':>7}"]
    for label in summary.labels:
        number = summary.number[label]["Dice"]
        mean, std = summary.mean[label]["Dice"], summary.std[label]["Dice"]
        lines.append(f"{_name(label, names):<{width}}  {number:>5}  {_score(mean)}  {_score(std)}")
    if len(summary.labels) > 1:
        lines.append(f"{'mean':<{width}}  {'':>5}  {_score(summary.foreground_mean.get('Dice'))}")
    return "\n".join(lines)


def _name(label: int, names: Sequence[str]) -> str:
    return f"{label} {names[label]}" if label < len(names) else str(label)


def _score(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.4f}':>7}"


COMMAND = Command(
    name="autoseg_evaluate_folder",
    summary="score a folder of segmentations against the true labels",
    reads="two folders with label images of equal names (<case>.nii.gz)",
    writes="summary.json in the folder of predictions: every metric of every case and label, means, deviations, counts",
    example="autoseg_evaluate_folder -ref labels -pred predictions -l 1 2",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
main = partial(run_command, COMMAND)
