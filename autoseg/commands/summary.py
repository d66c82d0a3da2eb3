"""`autoseg_summary`: the Dice of every label, of a folder of predictions or of a model's cross-validation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.arguments import CONFIGURATIONS, ONLY_TRAINED_TASK, add_configurations, add_task
from autoseg.commands.running import Command, Parser
from autoseg.commands.values import folder
from autoseg.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER, SELECTION_FILE
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.evaluation.overview import Line


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=folder,
        help="predictions that were scored, a model's folder, or a selection's (default: every trained model of the task)",
    )
    add_task(parser, ONLY_TRAINED_TASK, required=False)
    add_configurations(parser, f"any of {CONFIGURATIONS} (default: every one that is trained)")
    parser.add_argument(
        "-tr", dest="trainers", metavar="TRAINER", nargs="+", default=[DEFAULT_TRAINER], help="their trainers"
    )
    parser.add_argument("-p", dest="plans", metavar="NAME", nargs="+", default=[DEFAULT_PLANS], help="their plans")
    parser.add_argument("--csv", metavar="FILE", type=folder, help="also write the table there")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Read, print, write."""
    from dataclasses import replace

    from autoseg.ensembling.fused_overview import overview_with_fusion
    from autoseg.ensembling.validation import choose_models
    from autoseg.evaluation.overview import save_overview
    from autoseg.reporting.overview import overview_table

    if arguments.folder is not None:
        lines = _of_any(arguments.folder)
        print(overview_table(lines))
    else:
        task = workspace.find_task_with_models(arguments.task)
        models = choose_models(task, workspace, arguments.configurations, arguments.trainers, arguments.plans)
        found = {model.name: overview_with_fusion(workspace.model(model)) for model in models}
        print("\n\n".join(f"{name}\n{overview_table(one)}" for name, one in found.items()))
        lines = tuple(replace(line, part=f"{name} {line.part}".strip()) for name, one in found.items() for line in one)
    if arguments.csv:
        save_overview(lines, arguments.csv)
        print(f"written: {arguments.csv}")


def _of_any(folder: Path) -> tuple[Line, ...]:
    """Of a model, of a selection, or of predictions that were scored."""
    from autoseg.ensembling.fused_overview import overview_with_fusion
    from autoseg.evaluation.overview import overview_of_folder, overview_of_selection
    from autoseg.files.model_folder import parse_model

    model = parse_model(folder.resolve())
    if model is not None and model.plans_file.is_file():
        return overview_with_fusion(model)
    return overview_of_selection(folder) if (folder / SELECTION_FILE).is_file() else overview_of_folder(folder)


COMMAND = main = Command(
    name="autoseg_summary",
    summary="say mean, deviation and range of every label's Dice, of predictions, a cross-validation or a selection",
    reads="FOLDER/summary.json (autoseg_evaluate_folder), or of a model fold_*/validation_raw/summary.json and, once\n"
    "autoseg_train_fusion ran, fold_*/validation_views/*/summary.json and fusion.json; of a selection its summary.csv",
    writes="nothing; with --csv the table",
    example="autoseg_summary -t 4 -m multiplanar\nautoseg_summary predictions --csv scores.csv",
    add_arguments=add_arguments,
    run=run,
)
