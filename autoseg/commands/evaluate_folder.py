"""`autoseg_evaluate_folder`: score a folder of segmentations against another."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.arguments import add_overwrite, add_task, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.values import folder, label_name
from autoseg.errors import WorkspaceError
from autoseg.files.layout import SUMMARY_FILE
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_task(parser, "; its labels are scored, by their names", required=False)
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
    parser.add_argument(
        "--by",
        metavar="COLUMN",
        help="a second table: the Dice of each value of this column of the task's metadata.tsv",
    )
    parser.add_argument("--common", action="store_true", help="score the cases that both folders hold, and no others")
    parser.add_argument(
        "--surface_distances", action="store_true", help="also the 95th percentile Hausdorff distance in mm (slower)"
    )
    add_overwrite(parser)
    add_workers(parser, what="score cases")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Score, write summary.json, print the means."""
    from autoseg.dataset import Target, read_dataset
    from autoseg.dataset.conditions import require_columns
    from autoseg.dataset.facts import NOTHING_KNOWN
    from autoseg.evaluation.folders import ScoringSettings, evaluate_folder
    from autoseg.evaluation.labels import label_numbers
    from autoseg.evaluation.metrics import Counted
    from autoseg.jobs.next_steps import after_scoring
    from autoseg.reporting.scores import score_table, table_by

    references: Path | None = arguments.references
    target: Target | None = None
    facts = NOTHING_KNOWN
    undrawn: dict[str, tuple[int, ...]] = {}
    task = None if arguments.task is None else workspace.find_task(arguments.task)
    if task is not None:
        raw = workspace.task(task).raw
        dataset = read_dataset(raw)
        target, facts = dataset.target, dataset.facts
        undrawn = {case.identifier: dataset.target.undrawn(case.annotated) for case in dataset.training}
        references = references or raw / "labelsTr"
    if references is None:
        raise WorkspaceError("what are the true labels? Name their folder (-ref), or the task that they belong to (-t)")
    if arguments.by is not None:
        require_columns([arguments.by], facts.by_case)
    numbers = sorted(set(label_numbers(arguments.labels, target)))
    scoring = ScoringSettings(
        counted=Counted.of(numbers) if target is None else Counted.of_target(target, numbers),
        common=arguments.common,
        surface_distances=arguments.surface_distances,
        undrawn=undrawn,
        facts=facts,
        names=target.labels if target else (),
    )
    summary = evaluate_folder(
        references,
        arguments.predictions,
        scoring,
        workers=arguments.workers,
        overwrite=arguments.overwrite_existing,
    )
    print(score_table(summary, target.labels if target else ()))
    if arguments.by is not None:
        print(f"\n{table_by(summary, arguments.by, target.labels if target else ())}\n")
    print(f"written: {arguments.predictions / SUMMARY_FILE}")
    if task is not None:
        say_next(*after_scoring(workspace.task(task), arguments.predictions), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_evaluate_folder",
    summary="score a folder of segmentations against the true labels",
    reads="two folders with label images of equal names (<case>.nii.gz; the true ones also as DICOM segmentations or structure\n"
    "sets, <case>.dcm); with -t the task's labels and dataset.json",
    writes="summary.json in the folder of predictions: every metric of every case and label, means, deviations,\n"
    "counts; and summary.csv with a line for each case and label, and all that metadata.tsv says of the case",
    example="autoseg_evaluate_folder -ref labels -pred predictions -l 1 2\n"
    "autoseg_evaluate_folder -t 4 -pred predictions --common -l Anterior",
    add_arguments=add_arguments,
    run=run,
)
