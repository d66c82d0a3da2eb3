"""Options that several commands share, so that each means the same everywhere."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from autoseg.commands.values import (
    configuration_name,
    device,
    fold,
    fold_number,
    folder,
    not_negative,
    number_or_file,
    pattern,
    plans_name,
    positive,
    positive_number,
)
from autoseg.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER, USUAL_CONFIGURATIONS
from autoseg.machine.resources import PRECISIONS

if TYPE_CHECKING:
    from autoseg.planning.making import PlannerChoice

TASK_HELP = "task: its number, or its folder's name, whole or up to the number (4, Task004, Task004_Hippocampus)"
ONLY_TRAINED_TASK = " (default: the only task with a trained model)"

CONFIGURATIONS = ", ".join(USUAL_CONFIGURATIONS)
TRAINERS = "Trainer, my_recipe.json, or my_file.py:MyTrainer"

Group = argparse._ActionsContainer
"""A parser, or a group of its options."""


def add_task(options: Group, remark: str = "", *, required: bool = True) -> None:
    """`-t TASK`."""
    options.add_argument("-t", dest="task", metavar="TASK", required=required, help=TASK_HELP + remark)


def add_tasks(options: Group, *, required: bool = True) -> None:
    """`-t TASK [TASK ...]`."""
    options.add_argument("-t", dest="tasks", metavar="TASK", nargs="+", required=required, help=TASK_HELP)


def add_models(options: Group) -> None:
    """`-t`, `-m`, `-tr`, `-p` and `-f`: models and their folds."""
    add_task(options, ONLY_TRAINED_TASK, required=False)
    add_configurations(options, f"any of {CONFIGURATIONS} (default: every one that is trained)")
    options.add_argument(
        "-tr",
        dest="trainers",
        metavar="TRAINER",
        nargs="+",
        default=[DEFAULT_TRAINER],
        help=f"{TRAINERS} (default: {DEFAULT_TRAINER})",
    )
    options.add_argument(
        "-p",
        dest="plans",
        metavar="NAME",
        nargs="+",
        default=[DEFAULT_PLANS],
        help=f"name of the plans they were trained with (default: {DEFAULT_PLANS})",
    )
    options.add_argument(
        "-f",
        dest="folds",
        metavar="FOLD",
        nargs="+",
        type=fold_number,
        help="folds of the cross-validation (default: all that splits_final.json has)",
    )


def add_configuration(options: Group, meaning: str, default: str | None = None) -> None:
    """`-m CONFIGURATION`."""
    options.add_argument(
        "-m", dest="configuration", metavar="CONFIGURATION", type=configuration_name, default=default, help=meaning
    )


def add_configurations(options: Group, meaning: str) -> None:
    """`-m CONFIGURATION [CONFIGURATION ...]`."""
    options.add_argument(
        "-m", dest="configurations", metavar="CONFIGURATION", nargs="+", type=configuration_name, help=meaning
    )


def add_trainer(options: Group, meaning: str, default: str | None = DEFAULT_TRAINER) -> None:
    """`-tr TRAINER`."""
    options.add_argument("-tr", dest="trainer", metavar="TRAINER", default=default, help=meaning)


def add_plans_name(options: Group, meaning: str, default: str | None = DEFAULT_PLANS) -> None:
    """`-p NAME`."""
    options.add_argument("-p", dest="plans", metavar="NAME", type=plans_name, default=default, help=meaning)


def add_folds(options: Group, meaning: str) -> None:
    """`-f FOLD [FOLD ...]`."""
    options.add_argument("-f", dest="folds", metavar="FOLD", nargs="+", type=fold, help=meaning)


def add_output(options: Group, meaning: str, metavar: str = "OUT") -> None:
    """`-o OUT`."""
    options.add_argument("-o", dest="output", metavar=metavar, type=folder, required=True, help=meaning)


def add_rules(options: Group, meaning: str, *, required: bool = False) -> None:
    """`-pp FILE`."""
    options.add_argument("-pp", dest="rules", metavar="FILE", type=folder, required=required, help=meaning)


def add_source(options: Group, meaning: str, *, required: bool = True) -> None:
    """`-i FOLDER`: a dataset to convert."""
    options.add_argument("-i", dest="source", metavar="FOLDER", type=folder, required=required, help=meaning)


def add_task_number(options: Group, default: str) -> None:
    """`-output_task_id N`."""
    options.add_argument(
        "-output_task_id",
        dest="task_number",
        metavar="N",
        type=not_negative,
        help=f"number of the new task (default: {default})",
    )


def add_planners(options: Group) -> None:
    """`-pl3d`, `-pl2d`, `-gpu_memory_target`, `--force_lowres`, and what multiplanar is planned by."""
    for dimensions in ("3", "2"):
        options.add_argument(
            f"-pl{dimensions}d",
            dest=f"planner_{dimensions}d",
            metavar="NAME",
            default=f"Planner{dimensions}D",
            help=f"planner of the {dimensions}D configurations: a shipped one, my_file.py:MyPlanner, "
            f"or None to plan none (default: Planner{dimensions}D)",
        )
    options.add_argument(
        "-gpu_memory_target",
        dest="gpu_memory_target",
        metavar="GB",
        type=positive_number,
        help="memory that training may take; patches and batches follow from it (default: the planner's own, 8)",
    )
    options.add_argument(
        "--force_lowres",
        action="store_true",
        help="plan 3d_lowres and the cascade even where a patch of 3d_fullres shows enough of a case",
    )
    options.add_argument(
        "--multiplanar",
        action="store_true",
        help="plan multiplanar, too: a 2D network that looks at planes across several directions of the scanner",
    )
    options.add_argument(
        "--multiplanar_3d", action="store_true", help="plan multiplanar_3d, too: the same with boxes in place of planes"
    )
    options.add_argument(
        "--views",
        metavar="N",
        type=number_or_file,
        help="how many directions multiplanar looks along, drawn once and kept in views.json; or a JSON file that lists "
        "vectors [z, y, x], such as [[1,0,0], [0,1,0], [0,0,1]] (default: those that are there, or 6)",
    )


def chosen_planners(arguments: argparse.Namespace, plans_from: str | None = None) -> PlannerChoice:
    """As given by `add_planners` and `add_plans_name`."""
    from autoseg.planning.making import PlannerChoice

    return PlannerChoice(
        planner_3d=arguments.planner_3d,
        planner_2d=arguments.planner_2d,
        gpu_memory_target=arguments.gpu_memory_target,
        force_lowres=arguments.force_lowres,
        plans=arguments.plans,
        plans_from=plans_from,
        multiplanar=arguments.multiplanar,
        multiplanar_3d=arguments.multiplanar_3d,
        views=arguments.views,
    )


def add_patients(options: Group) -> None:
    """`--patients REGEX`."""
    options.add_argument(
        "--patients",
        metavar="REGEX",
        type=pattern,
        help="write patients.json beside dataset.json, so that folds keep a patient's cases together: in each case's name, "
        "the patient is the first group of this regular expression, or all that it matches",
    )


def add_where(options: Group, meaning: str) -> None:
    """`--where CONDITION`."""
    options.add_argument(
        "--where", metavar="CONDITION", help=f"{meaning}: a condition such as 'contrast in T1w,T2w and age < 60'"
    )


def add_index(options: Group) -> None:
    """`--index FILE|URL`."""
    options.add_argument(
        "--index",
        metavar="FILE|URL",
        help="an index in JSON of more that is to be had (default: AUTOSEG_INDEX, if that is set)",
    )


def add_device(options: Group) -> None:
    """`-device` and `--precision`."""
    options.add_argument(
        "-device",
        metavar="cpu|cuda|mps",
        type=device,
        help="where the network runs; cuda:1 is the second GPU (default: a GPU if there is one)",
    )
    options.add_argument(
        "--precision",
        metavar="|".join(PRECISIONS),
        choices=PRECISIONS,
        default="auto",
        help="of the network's arithmetic; auto takes what the device is fast in, and says so (default: auto)",
    )


def add_workers(options: Group, *, what: str) -> None:
    """`--workers N`."""
    options.add_argument(
        "--workers", metavar="N", type=positive, help=f"processes that {what} (default: one a core, as memory allows)"
    )


def add_overwrite(options: Group) -> None:
    """`--overwrite_existing`."""
    options.add_argument(
        "--overwrite_existing", action="store_true", help="replace what is there, whoever made it (default: keep it)"
    )
