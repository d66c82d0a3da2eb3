"""Arguments that several commands share, so that each means the same everywhere."""

from __future__ import annotations

import argparse
import math
import re
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.running import Parser
from autoseg.files.layout import (
    DEFAULT_PLANS,
    USUAL_CONFIGURATIONS,
    is_configuration,
)
from autoseg.machine.resources import PRECISIONS

if TYPE_CHECKING:
    from autoseg.planning.making import PlannerChoice

DEVICE_PATTERN = re.compile(r"cpu|cuda(:\d+)?|mps")
PLANS_NAME = re.compile(r"\w[\w.-]*")
NUMBER = re.compile(r"[+-]?[\d.]+")
"""What is meant for a number."""

MOST_DIGITS = 18
"""What every library takes as a whole number."""

TASK_HELP = "task: its number, or its folder's name, whole or up to the number (4, Task004, Task004_Hippocampus)"


def positive(text: str) -> int:
    """A whole number from 1."""
    return _number_from(text, 1)


def not_negative(text: str) -> int:
    """A whole number from 0."""
    return _number_from(text, 0)


def label_name(text: str) -> int | str:
    """A label by its number or its name."""
    return not_negative(text) if NUMBER.fullmatch(text) else text


def positive_number(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def share(text: str) -> float:
    """A number above 0, at most 1."""
    value = positive_number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and at most 1, found {text!r}")
    return value


def add_tasks(parser: Parser) -> None:
    """`-t TASK [TASK ...]`."""
    parser.add_argument("-t", dest="tasks", metavar="TASK", nargs="+", required=True, help=TASK_HELP)


def add_models(parser: Parser) -> None:
    """`-t`, `-m`, `-tr`, `-p` and `-f`: models and their folds."""
    parser.add_argument(
        "-t", dest="task", metavar="TASK", help=f"{TASK_HELP} (default: the only task with a trained model)"
    )
    parser.add_argument(
        "-m",
        dest="configurations",
        metavar="CONFIGURATION",
        nargs="+",
        type=configuration_name,
        help=f"any of {', '.join(USUAL_CONFIGURATIONS)} (default: every one that is trained)",
    )
    parser.add_argument(
        "-tr",
        dest="trainers",
        metavar="TRAINER",
        nargs="+",
        default=["Trainer"],
        help="Trainer, my_recipe.json, or my_file.py:MyTrainer (default: Trainer)",
    )
    parser.add_argument(
        "-p",
        dest="plans",
        metavar="NAME",
        nargs="+",
        default=[DEFAULT_PLANS],
        help=f"name of the plans they were trained with (default: {DEFAULT_PLANS})",
    )
    parser.add_argument(
        "-f",
        dest="folds",
        metavar="FOLD",
        nargs="+",
        type=not_negative,
        help="folds of the cross-validation (default: all that splits_final.json has)",
    )


def add_configuration(parser: Parser) -> None:
    """The positional CONFIGURATION."""
    parser.add_argument(
        "configuration", metavar="CONFIGURATION", type=configuration_name, help=", ".join(USUAL_CONFIGURATIONS)
    )


def add_plans_name(parser: argparse._ActionsContainer, meaning: str) -> None:
    """`-p NAME`."""
    parser.add_argument("-p", dest="plans", metavar="NAME", type=plans_name, default=DEFAULT_PLANS, help=meaning)


def add_planners(parser: Parser) -> None:
    """`-pl3d`, `-pl2d`, `-gpu_memory_target` and `--force_lowres`."""
    for dimensions in ("3", "2"):
        parser.add_argument(
            f"-pl{dimensions}d",
            dest=f"planner_{dimensions}d",
            metavar="NAME",
            default=f"Planner{dimensions}D",
            help=f"planner of the {dimensions}D configurations: a shipped one, my_file.py:MyPlanner, "
            f"or None to plan none (default: Planner{dimensions}D)",
        )
    parser.add_argument(
        "-gpu_memory_target",
        dest="gpu_memory_target",
        metavar="GB",
        type=positive_number,
        help="memory that training may take; patches and batches follow from it (default: the planner's own, 8)",
    )
    parser.add_argument(
        "--force_lowres",
        action="store_true",
        help="plan 3d_lowres and the cascade even where a patch of 3d_fullres shows enough of a case",
    )


def chosen_planners(arguments: argparse.Namespace) -> PlannerChoice:
    """As given by `add_planners`."""
    from autoseg.planning.making import PlannerChoice

    return PlannerChoice(
        planner_3d=arguments.planner_3d,
        planner_2d=arguments.planner_2d,
        gpu_memory_target=arguments.gpu_memory_target,
        force_lowres=arguments.force_lowres,
    )


def add_device(parser: Parser) -> None:
    """`-device` and `--precision`."""
    parser.add_argument(
        "-device",
        metavar="cpu|cuda|mps",
        type=device,
        help="where the network runs; cuda:1 is the second GPU (default: a GPU if there is one)",
    )
    parser.add_argument(
        "--precision",
        metavar="|".join(PRECISIONS),
        choices=PRECISIONS,
        default="auto",
        help="of the network's arithmetic; auto takes what the device is fast in, and says so (default: auto)",
    )


def add_workers(parser: Parser, *, what: str) -> None:
    """`--workers N`."""
    parser.add_argument(
        "--workers", metavar="N", type=positive, help=f"processes that {what} (default: one a core, as memory allows)"
    )


def add_overwrite(parser: Parser) -> None:
    """`--overwrite_existing`."""
    parser.add_argument(
        "--overwrite_existing", action="store_true", help="replace what is there, whoever made it (default: keep it)"
    )


def configuration_name(text: str) -> str:
    """The name of a configuration; whether it is planned, the plans say."""
    if not is_configuration(text):
        raise argparse.ArgumentTypeError(
            f"expected a name of letters, digits, ., - and _, such as {USUAL_CONFIGURATIONS[1]}, found {text!r}"
        )
    return text


def plans_name(text: str) -> str:
    """The name of plans, which becomes part of file names."""
    if not PLANS_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected a name of letters, digits, ., - and _, found {text!r}")
    return text


def device(text: str) -> str:
    """A device's name, as torch has it."""
    if not DEVICE_PATTERN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected cpu, cuda, cuda:1 or mps, found {text!r}")
    return text


def fold(text: str) -> str:
    """A fold's number, or `all`. How many there are, the splits say: five, or as many as the user made."""
    if text != "all" and not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected 0 to 4, or all, found {text!r}")
    return text if text == "all" else fold_number(text)


def fold_number(text: str) -> str:
    """A fold's number."""
    return str(not_negative(text))


def folder(text: str) -> Path:
    """A folder's path, `~` expanded."""
    return Path(text).expanduser()


def _number_from(text: str, least: int) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, found {reprlib.repr(text)}")
    return int(text)
