"""What every folder and file of a task and of a trained model is called; nothing else spells these names or takes them apart.

raw_data/TaskXXX_Name/                                     the user's images and labels, dataset.json, metadata.tsv, patients.json
preprocessed/TaskXXX_Name/                                 fingerprint, folds, plans, prepared cases, references
results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/   a model: its plans, its postprocessing, a folder for each fold
results/selections/TaskXXX_Name/                           what was selected among the task's models, and by what
results/runs/TaskXXX_Name/                                 the journal and the logs of autoseg_run
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from autoseg.errors import WorkspaceError

SLICES, FULL, LOW, CASCADE = "2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"
PLANES, BOXES = "multiplanar", "multiplanar_3d"
USUAL_CONFIGURATIONS = (SLICES, FULL, LOW, CASCADE, PLANES, BOXES)
"""That our planners plan, in the order in which they are listed; a planner of the user's own may plan others."""

DEFAULT_CONFIGURATION = FULL
DEFAULT_TRAINER = "Trainer"
DEFAULT_PLANS = "autoseg"
"""The names that are meant where none is given."""

ALL = "all"
"""The fold whose network trains on every case."""

CHECKPOINTS = ("final", "best")
"""The weights that a training leaves: of its last epoch, and of the best by its running validation."""

DATASET_FILE = "dataset.json"
METADATA_FILE, PATIENTS_FILE = "metadata.tsv", "patients.json"
"""What is known of the cases beside their images."""

CONVERSION_FILE = "conversion.json"
"""What a task was made of."""

FINGERPRINT_FILE = "fingerprint.json"
"""What was measured on the training cases: of a task, and of a model that was installed."""

VIEWS_FILE, VIEWS_PICTURE_FILE = "views.json", "views.png"
"""The directions that a task's volumes are looked along, and what they look like."""

FINGERPRINT_SOURCE_FILE = "fingerprint_source.json"
SPLITS_FILE, SPLITS_RULE_FILE = "splits_final.json", "splits_rule.json"
"""The folds, and what they were made by where somebody asked for certain ones."""

REFERENCES_FOLDER = "gt_segmentations"

PLANS_FILE, PLANS_VIEW_FILE = "plans.pkl", "plans.json"
"""The plans of a trained model, and what they look like."""

POSTPROCESSING_FILE = "postprocessing.json"
"""The rules for finished segmentations: of a model, and of a pair of models."""

FUSION_FILE, FUSED_FOLDER = "fusion.json", "fused"
"""How much each view of a model, or each of several models, has to say."""

CARD_FILE, CARD_TEXT_FILE = "model_card.json", "model_card.md"
VALIDATION_FOLDER = "validation_raw"

SELECTION_FILE = "selection.json"
"""Which models predict together: of a task, and in a folder that they predicted."""

PREDICTION_FILE = "prediction.json"
"""With what a folder was predicted."""

ITKSNAP_LABELS, COLOUR_TABLE = "labels_itksnap.txt", "labels_slicer.csv"
"""Beside segmentations what their values are called, and in which colours two viewers show them."""

REPORT_FILE = "report.json"
"""How the images of a folder that was predicted compare with the training cases."""

SUMMARY_FILE, SUMMARY_TABLE_FILE = "summary.json", "summary.csv"
"""The scores of a folder of predictions, and a line for each of them."""

LOCK_FILE = "lock.json"

SELECTIONS_FOLDER, RUNS_FOLDER = "selections", "runs"
CANDIDATES_FILE, COMMANDS_FILE = SUMMARY_TABLE_FILE, "prediction_commands.txt"
"""What every candidate of a selection scored, and the command lines that predict with what was selected."""

JOURNAL_FILE, LOGS_FOLDER, SET_ASIDE_FOLDER = "journal.json", "logs", "replaced"
"""Of a run: which steps are done, what they said, and what another training took the place of."""

TRIED_FOLDER = "tried"
"""Of a run: a recipe file for each combination of values that was to be tried."""

TASK_NAME = re.compile(r"Task(\d{3,})_(.+)")
MODEL_NAME = re.compile(r"(?P<trainer>.+?)__(?P<plans>.+)")

CONFIGURATION_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}"
"""What a configuration may be called: it is a folder's name below the results, and stands on command lines."""

RECIPE_NAME = re.compile(r"\w(?:(?!__)[\w.-])*")
"""A recipe file's stem becomes a part of the model's folder, before two underscores."""

RECIPE_ENDING = ".json"

_FOLD = "fold_"
FOLD_PATTERN = rf"{_FOLD}\d{{1,3}}|{ALL}"
"""What a fold's folder is called."""


def is_recipe_file(reference: str) -> bool:
    """Whether a trainer is named by a recipe file, and not by a class or a name that ships."""
    return reference.endswith(RECIPE_ENDING)


def trainer_name(reference: str) -> str:
    """What models are called after, of a trainer as a user names it: a recipe file's stem, a class's name, or what ships.

    Raises:
        WorkspaceError: A recipe file has a name that no folder can have.
    """
    return recipe_name(Path(reference)) if is_recipe_file(reference) else reference.rpartition(":")[2]


def recipe_name(path: Path) -> str:
    """What a recipe file's models are called after.

    Raises:
        WorkspaceError: It cannot be part of a folder's name.
    """
    if not RECIPE_NAME.fullmatch(path.stem):
        raise WorkspaceError(
            f"{path}: a recipe file's name becomes part of a folder's: letters, digits, ., - and _, but no __, before "
            f"{RECIPE_ENDING}; give the file another name"
        )
    return path.stem


def parse_fold(folder: Path) -> str | None:
    """The fold that a folder's name says it holds: "0" and so on, or "all"; None where it says none."""
    is_fold = re.fullmatch(FOLD_PATTERN, folder.name)
    return folder.name.removeprefix(_FOLD) if is_fold else None


def is_configuration(name: str) -> bool:
    """Whether a configuration can have this name; it is no other folder's in the results."""
    return bool(re.fullmatch(CONFIGURATION_PATTERN, name)) and name not in (SELECTIONS_FOLDER, RUNS_FOLDER)


def in_usual_order(names: Iterable[str]) -> list[str]:
    """Each configuration once, ours first."""
    order = {name: number for number, name in enumerate(USUAL_CONFIGURATIONS)}
    return sorted(set(names), key=lambda name: (order.get(name, len(order)), name))


def configurations_in(results: Path) -> list[str]:
    """The configurations of which there may be models."""
    folders = results.iterdir() if results.is_dir() else ()
    return in_usual_order(path.name for path in folders if path.is_dir() and is_configuration(path.name))


def plans_in(folder: Path, dimensions: int, plans: str) -> Path:
    """The pickle of the plans of a name by the planner of slices, or of volumes, in a task's folder or any other."""
    return folder / f"{plans}_plans_{dimensions}D.pkl"


def parse_plans(file: Path) -> str:
    """The name under which a file of plans is filed; all of the file's name where that says none."""
    return re.sub(r"_plans_[23]D$", "", file.stem)


def has_plans(folder: Path) -> bool:
    """Whether anything is planned in a task's folder."""
    return any(folder.glob("*_plans_*.pkl"))


def predictions_folder(name: str) -> str:
    """Of one member of an ensemble, or of what a cascade refines, in the folder that is predicted into."""
    return f"{name}_predictions"


def is_task(name: str) -> bool:
    """Whether a folder's name is a task's."""
    return TASK_NAME.fullmatch(name) is not None


def task_number(name: str) -> int:
    """The number in `Task004_Name`.

    Raises:
        WorkspaceError: It is no task's name.
    """
    found = TASK_NAME.fullmatch(name)
    if found is None:
        raise WorkspaceError(f"{name}: a task folder is called TaskXXX_Name, for example Task004_Hippocampus")
    return int(found[1])


def fold_name(fold: str) -> str:
    """Of a fold's folder."""
    return fold if fold == ALL else f"{_FOLD}{fold}"


def weights_name(checkpoint: str) -> str:
    """Of a file of weights, "final" or "best"."""
    return f"weights_{checkpoint}.pt"
