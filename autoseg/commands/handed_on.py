"""Options that one command hands on to another: a run to its steps, a training to the next one."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from importlib import import_module
from typing import TYPE_CHECKING, Any

from autoseg.commands.running import Parser
from autoseg.commands.taking_in import CONVERSION
from autoseg.files.model_folder import FoldFolder

if TYPE_CHECKING:
    from autoseg.jobs.next_training import Options
    from autoseg.jobs.workflow import StepOptions

SET_BY_THE_RUN = {
    "plan_and_preprocess": {*"help tasks plans plan_only verify_dataset_integrity patients".split(), *CONVERSION},
    "train": set("help resume overwrite validate_only valbest find_lr npz plans own_settings pause_after".split()),
}
"""Options of the commands that a run gives itself; it takes all others from the user and passes them on."""

INCIDENTAL = frozenset("tl tf device precision num_workers no_compile checkpoint_minutes trackers histograms".split())
"""Options that may change without anything being done again: they decide how fast, or where, not what."""

OF_ONE_FOLD = frozenset(
    "help home verbose version plans resume overwrite own_settings validate_only find_lr pause_after".split()
)
"""What is not given again for the next fold, or is in any case."""


def passed_on(command: str) -> list[argparse.Action]:
    """The options of a step's command that a run has, too."""
    scratch = Parser(add_help=False)
    import_module(f"autoseg.commands.{command}").add_arguments(scratch)
    return [
        action for action in scratch._actions if action.option_strings and action.dest not in SET_BY_THE_RUN[command]
    ]


def words_of(command: str, arguments: argparse.Namespace) -> StepOptions:
    """The options given for a step's command, as they stand on its command line."""
    from autoseg.jobs.workflow import StepOptions

    decisive: list[str] = []
    incidental: list[str] = []
    for action in passed_on(command):
        words = incidental if action.dest in INCIDENTAL else decisive
        words += spelt(action, getattr(arguments, action.dest))
    return StepOptions(decisive=tuple(decisive), incidental=tuple(incidental))


def training_options(parser: Parser, arguments: argparse.Namespace, fold: FoldFolder | None = None) -> Options:
    """The options for another training like this one: those that were given, or with which it began where it goes on.

    Args:
        fold: Where it was trained.
    """
    goes_on = fold is not None and (arguments.resume or arguments.validate_only)
    then = _parsed(parser, _first_command(fold)) if fold is not None and goes_on else None
    options = {}
    for action in parser._actions:
        if action.option_strings and action.dest not in OF_ONE_FOLD:
            words = spelt(action, getattr(arguments, action.dest))
            if words or then is not None:
                options[action.dest] = tuple(words or spelt(action, getattr(then, action.dest)))
    return options


def spelt(action: argparse.Action, value: Any) -> list[str]:
    """An option and its value as they stand on a command line; nothing where the value is the default."""
    if value == action.default:
        return []
    values = value if isinstance(value, list) else [] if action.nargs == 0 else [value]
    return [action.option_strings[0], *map(str, values)]


def _first_command(fold: FoldFolder) -> Sequence[str]:
    """The words of the command that began a fold's training; none where it is not known."""
    from autoseg.training.fold.run_record import read_run_record

    record = read_run_record(fold)
    return record.sessions[0].command if record is not None and record.sessions else ()


def _parsed(parser: Parser, command: Sequence[str]) -> argparse.Namespace | None:
    """A command's arguments; None where they are not known, or no longer understood."""
    name = next((number for number, word in enumerate(command) if word in ("autoseg_train", "train")), None)
    if name is None:
        return None
    try:
        with redirect_stderr(io.StringIO()):
            parsed: argparse.Namespace = parser.parse_args(command[name + 1 :])
    except SystemExit:
        return None
    return parsed
