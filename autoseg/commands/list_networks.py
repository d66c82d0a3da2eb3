"""`autoseg_list_networks`: the networks that a recipe may name, and what each takes with a plan."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_configuration, add_plans_name, add_task
from autoseg.commands.running import Command, Parser
from autoseg.files.layout import DEFAULT_PLANS, FULL
from autoseg.files.model_folder import ModelKey
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_task(parser, " (default: papers alone, without a plan)", required=False)
    add_configuration(parser, f"whose patch (default: {FULL})", default=FULL)
    add_plans_name(parser, f"name of the plans (default: {DEFAULT_PLANS})")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Print a line for each network."""
    from autoseg.planning.planned import load_planned
    from autoseg.reporting.networks import networks_table

    if arguments.task is None:
        print(networks_table())
        return
    task = workspace.find_task(arguments.task)
    key = ModelKey(task=task, configuration=arguments.configuration, plans=arguments.plans)
    print(networks_table(load_planned(key, workspace), arguments.configuration))


COMMAND = main = Command(
    name="autoseg_list_networks",
    summary="list the networks that a recipe may name, and what each takes with a plan",
    reads="the task's plans in preprocessed/, or nothing",
    writes="nothing; prints a line for each network: its paper, or parameters, multiplications, memory and how far it sees",
    example="autoseg_list_networks\nautoseg_list_networks -t 4 -m 3d_fullres",
    add_arguments=add_arguments,
    run=run,
)
