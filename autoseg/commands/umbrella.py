"""`autoseg <command>`: every command under one name."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module

from autoseg.commands.running import DONE, USAGE, Command, run_command
from autoseg.terminal.streams import say, with_streams
from autoseg.versions import versions

GROUPS = {
    "start here": ("doctor", "demo", "run"),
    "data": ("get_example", "convert_dataset", "convert_decathlon_task", "verify_dataset", "plot_task", "make_splits"),
    "plans": ("plan_and_preprocess", "plan_from_fingerprint", "plan_from_json"),
    "models": (
        "list_networks",
        "make_recipe",
        "plot_augmentation",
        "train",
        "run_folds",
        "predict",
        "evaluate_folder",
        "plot_activations",
        "summary",
        "write_bids",
    ),
    "the best of several": (
        "compare_recipes",
        "find_best_configuration",
        "train_fusion",
        "determine_postprocessing",
        "apply_postprocessing",
        "ensemble",
    ),
    "sharing": ("export_model", "install_model", "list_models", "model_info"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """`autoseg train ...` is `autoseg_train ...`."""
    return with_streams(partial(_main, list(sys.argv[1:] if argv is None else argv)))


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return DONE if words else USAGE
    if words[0] == "--version":
        print(versions())
        return DONE
    name = words[0].replace("-", "_").removeprefix("autoseg_")
    known = [name for names in GROUPS.values() for name in names]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        say(f"{overview()}\n\nautoseg: there is no command {words[0]!r}{hint}")
        return USAGE
    return run_command(find_command(name), words[1:], program=f"autoseg {name}")


def find_command(name: str) -> Command:
    """The command of a name without the prefix `autoseg_`."""
    command: Command = import_module(f"autoseg.commands.{name}").COMMAND
    return command


def overview() -> str:
    """All commands with a line each, in the order in which they are used."""
    width = max(len(name) for names in GROUPS.values() for name in names)
    lines = ["usage: autoseg COMMAND ...        (autoseg COMMAND --help tells all about one)"]
    for group, names in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:<{width}}  {find_command(name).summary}" for name in names]
    return "\n".join(lines)
