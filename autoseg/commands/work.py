"""The work of `autoseg_run`, with every path in it: what is asked for, and what the plans make of that."""

from __future__ import annotations

import argparse
from importlib import import_module

from autoseg.commands.arguments import spelt
from autoseg.commands.running import Parser
from autoseg.jobs.asked import Wanted, prepare_work
from autoseg.jobs.workflow import Words, Work
from autoseg.paths import Workspace

SET_BY_THE_RUN = {
    "plan_and_preprocess": {"help", "tasks", "plans", "plan_only", "verify_dataset_integrity", "patients"},
    "train": {
        "help",
        "resume",
        "overwrite",
        "validate_only",
        "valbest",
        "find_lr",
        "npz",
        "plans",
        "own_settings",
    },
}
"""Options of the commands that a run gives itself; it takes all others from the user and passes them on."""

INCIDENTAL = {"tl", "tf", "device", "precision", "num_workers", "no_compile", "checkpoint_minutes"}
"""Options that may change without anything being done again: they decide how fast, or where, not what."""


def make_work(arguments: argparse.Namespace, workspace: Workspace) -> Work:
    """What is asked for, as far as it can be said without plans.

    Raises:
        WorkspaceError: There is no such task, or the archive's name does not end in .zip or is another file's.
        ExtensionError: There is no such planner.
    """
    return prepare_work(
        workspace,
        Wanted(
            task=workspace.find_task(arguments.task),
            trainer=arguments.trainer,
            plans=arguments.plans,
            planners=(arguments.planner_3d, arguments.planner_2d),
            plans_from=arguments.plans_from,
            folds=tuple(arguments.folds or ()),
            archive=arguments.archive,
            everywhere=("--home", str(arguments.home)) if arguments.home else (),
            planning=words_of("plan_and_preprocess", arguments),
            training=words_of("train", arguments),
        ),
    )


def passed_on(command: str) -> list[argparse.Action]:
    """The options of a step's command that a run has, too."""
    scratch = Parser(add_help=False)
    import_module(f"autoseg.commands.{command}").add_arguments(scratch)
    return [
        action for action in scratch._actions if action.option_strings and action.dest not in SET_BY_THE_RUN[command]
    ]


def words_of(command: str, arguments: argparse.Namespace) -> Words:
    """The options given for a step's command, as they stand on its command line."""
    decisive: list[str] = []
    incidental: list[str] = []
    for action in passed_on(command):
        words = incidental if action.dest in INCIDENTAL else decisive
        words += spelt(action, getattr(arguments, action.dest))
    return Words(decisive=tuple(decisive), incidental=tuple(incidental))
