"""`autoseg_plot_activations`: what a layer of a trained model makes of a case, and what is predicted beside the truth."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import (
    CONFIGURATIONS,
    ONLY_TRAINED_TASK,
    TRAINERS,
    add_configuration,
    add_device,
    add_output,
    add_overwrite,
    add_plans_name,
    add_task,
    add_trainer,
)
from autoseg.commands.running import Command, Parser
from autoseg.commands.values import fold, positive
from autoseg.files.layout import DEFAULT_CONFIGURATION, DEFAULT_PLANS, DEFAULT_TRAINER
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_task(parser, ONLY_TRAINED_TASK, required=False)
    parser.add_argument("--case", metavar="NAME", required=True, help="a training case, as case_001")
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="the layer, as encoder.0; a wrong name lists all (default: the last before the scores)",
    )
    parser.add_argument(
        "--maps", metavar="N", type=positive, default=16, help="how many of its channels to draw (default: 16)"
    )
    add_output(parser, "where the pictures go", "DIR")
    add_configuration(parser, f"{CONFIGURATIONS} (default: {DEFAULT_CONFIGURATION}, else the only one that is trained)")
    add_trainer(parser, f"{TRAINERS} (default: {DEFAULT_TRAINER}, else the only one that trained)", default=None)
    add_plans_name(
        parser, f"name of the plans it was trained with (default: {DEFAULT_PLANS}, else the only ones)", default=None
    )
    parser.add_argument("-f", dest="fold", metavar="FOLD", type=fold, default="0", help="whose network (default: 0)")
    add_overwrite(parser)
    add_device(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Draw, and say where the pictures are."""
    from autoseg.inference.settings import PredictionSettings
    from autoseg.networks import limit_threads
    from autoseg.prediction.choice import ModelChoice, choose_model, open_model
    from autoseg.reporting.activations import Look, plot_activations

    limit_threads()
    task = workspace.find_task_with_models(arguments.task)
    choice = ModelChoice(
        task=arguments.task,
        configuration=arguments.configuration,
        trainer=arguments.trainer,
        plans=arguments.plans,
        folds=(arguments.fold,),
    )
    written = plot_activations(
        open_model(task, choose_model(task, choice, workspace), workspace),
        Look(case=arguments.case, layer=arguments.layer, channels=arguments.maps),
        arguments.output,
        workspace,
        PredictionSettings(
            overwrite=arguments.overwrite_existing, device=arguments.device, precision=arguments.precision
        ),
    )
    for picture in written:
        print(f"written: {picture}")


COMMAND = main = Command(
    name="autoseg_plot_activations",
    summary="draw what a layer of a trained model makes of a case, and its prediction beside the truth",
    reads="raw_data/TaskXXX_Name, and results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/ with the trained fold",
    writes="DIR/<case>_<layer>.png: the tile, and its slice, in which most is found, the mean of the layer's channels, and\n"
    "the first of them; DIR/<case>.png: the truth and what is predicted, as autoseg_plot_task draws them",
    example="autoseg_plot_activations -t 4 -m 2d --case hippocampus_001 -o pictures\n"
    "autoseg_plot_activations -t 4 -m 3d_fullres -f 1 --case hippocampus_001 --layer encoder.0 -o pictures",
    add_arguments=add_arguments,
    run=run,
)
