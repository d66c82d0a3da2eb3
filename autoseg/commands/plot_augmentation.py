"""`autoseg_plot_augmentation`: real training patches before and after each step of a recipe's augmentation."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import TRAINERS, add_configuration, add_output, add_plans_name, add_task
from autoseg.commands.running import Command, Parser
from autoseg.commands.values import fold, not_negative, positive
from autoseg.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER, FULL
from autoseg.files.model_folder import ModelKey
from autoseg.paths import Workspace
from autoseg.words import counted


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_task(parser)
    add_configuration(parser, f"whose patches (default: {FULL})", default=FULL)
    parser.add_argument(
        "-tr",
        dest="trainer",
        metavar="TRAINER",
        default=DEFAULT_TRAINER,
        help=f"{TRAINERS} (default: {DEFAULT_TRAINER})",
    )
    add_plans_name(parser, f"name of the plans (default: {DEFAULT_PLANS})")
    add_output(parser, "the picture, a PNG", "FILE")
    parser.add_argument(
        "-f", dest="fold", metavar="FOLD", type=fold, default="0", help="whose training cases (default: 0)"
    )
    parser.add_argument("--samples", metavar="N", type=positive, default=3, help="how many patches (default: 3)")
    parser.add_argument("--seed", metavar="N", type=not_negative, default=0, help="decides which, and how (default: 0)")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Draw, and say what."""
    from autoseg.reporting.augmentation import plot_augmentation
    from autoseg.training import TrainingSettings, build_trainer

    task = workspace.find_task(arguments.task)
    key = ModelKey.named(task, arguments.configuration, arguments.trainer, arguments.plans)
    trainer = build_trainer(key, arguments.fold, workspace, settings=TrainingSettings(workers=0), device="cpu")
    steps = plot_augmentation(trainer, arguments.output, samples=arguments.samples, seed=arguments.seed)
    print(f"written: {arguments.output}, with {counted(len(steps), 'step')}: {'; '.join(steps)}")


COMMAND = main = Command(
    name="autoseg_plot_augmentation",
    summary="draw training patches before and after each step of a recipe's augmentation",
    reads="preprocessed/TaskXXX_Name: plans, prepared cases, splits_final.json; and the recipe file",
    writes="FILE, a PNG: a row for each step, as it is wherever it is drawn; labels outlined",
    example="autoseg_plot_augmentation -t 4 -m 3d_fullres -o default.png\n"
    "autoseg_plot_augmentation -t 4 -m 2d -tr my_recipe.json -o mine.png --samples 5",
    add_arguments=add_arguments,
    run=run,
)
