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
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoseg.errors import WorkspaceError

SLICES, FULL, LOW, CASCADE = "2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"
USUAL_CONFIGURATIONS = (SLICES, FULL, LOW, CASCADE)
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

FINGERPRINT_FILE = "fingerprint.json"
"""What was measured on the training cases: of a task, and of a model that was installed."""

FINGERPRINT_SOURCE_FILE = "fingerprint_source.json"
SPLITS_FILE = "splits_final.json"
REFERENCES_FOLDER = "gt_segmentations"

PLANS_FILE, PLANS_VIEW_FILE = "plans.pkl", "plans.json"
"""The plans of a trained model, and what they look like."""

POSTPROCESSING_FILE = "postprocessing.json"
"""The rules for finished segmentations: of a model, and of a pair of models."""

CARD_FILE, CARD_TEXT_FILE = "model_card.json", "model_card.md"
VALIDATION_FOLDER = "validation_raw"

SELECTION_FILE = "selection.json"
"""Which models predict together: of a task, and in a folder that they predicted."""

PREDICTION_FILE = "prediction.json"
"""With what a folder was predicted."""

REPORT_FILE = "report.json"
"""How the images of a folder that was predicted compare with the training cases."""

SUMMARY_FILE = "summary.json"
"""The scores of a folder of predictions."""

LOCK_FILE = "lock.json"

SELECTIONS_FOLDER, RUNS_FOLDER = "selections", "runs"
CANDIDATES_FILE, COMMANDS_FILE = "summary.csv", "prediction_commands.txt"
"""What every candidate of a selection scored, and the command lines that predict with what was selected."""

JOURNAL_FILE, LOGS_FOLDER, SET_ASIDE_FOLDER = "journal.json", "logs", "replaced"
"""Of a run: which steps are done, what they said, and what another training took the place of."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKey:
    """Which trained model: one configuration of a task, trained by a class with the plans of a name.

    Attributes:
        task: `TaskXXX_Name`.
        trainer: The name of the recipe or class.
        plans: Their name.
        reference: How the user names the trainer, `my_recipe.json` or `my_file.py:MyTrainer`; the same model whatever stands here.
    """

    task: str
    configuration: str
    trainer: str = DEFAULT_TRAINER
    plans: str = DEFAULT_PLANS
    reference: str = field(default="", compare=False)

    @classmethod
    def named(cls, task: str, configuration: str, trainer: str, plans: str = DEFAULT_PLANS) -> ModelKey:
        """The model of a trainer as a user names it: `Trainer`, or `my_recipe.json`, or `my_file.py:MyTrainer`.

        Raises:
            WorkspaceError: A recipe file has a name that no folder can have.
        """
        return cls(
            task=task, configuration=configuration, trainer=trainer_name(trainer), plans=plans, reference=trainer
        )

    @property
    def named_trainer(self) -> str:
        """The trainer as it is named on a command line."""
        return self.reference or self.trainer

    @property
    def name(self) -> str:
        """What tells it from every other model of the task; it can be a folder's name."""
        return f"{self.configuration}__{self.folder_name}"

    @property
    def folder_name(self) -> str:
        """Of the model's own folder."""
        return f"{self.trainer}__{self.plans}"

    @property
    def place(self) -> str:
        """Of the model's folder below the results, with forward slashes."""
        return f"{self.configuration}/{self.task}/{self.folder_name}"

    def of(self, configuration: str) -> ModelKey:
        """Another configuration that the same trainer trained with the same plans."""
        return replace(self, configuration=configuration)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A trained model, where it lies."""

    key: ModelKey
    folder: Path

    @classmethod
    def below(cls, results: Path, key: ModelKey) -> ModelFolder:
        """Where a model lies in a folder of results."""
        return cls(key=key, folder=results / key.configuration / key.task / key.folder_name)

    @property
    def plans_file(self) -> Path:
        """The plans that it was trained with."""
        return self.folder / PLANS_FILE

    @property
    def plans_view_file(self) -> Path:
        """The same to be read."""
        return self.folder / PLANS_VIEW_FILE

    @property
    def postprocessing(self) -> Path:
        """The rules that are applied to what it predicts."""
        return self.folder / POSTPROCESSING_FILE

    @property
    def fingerprint(self) -> Path:
        """What was measured on its training cases, where it was installed."""
        return self.folder / FINGERPRINT_FILE

    @property
    def card(self) -> Path:
        """What its maker says of it, where it was installed."""
        return self.folder / CARD_FILE

    @property
    def previous_stage(self) -> Path:
        """What the configuration before a cascade predicted for the training cases, on its grid; all folds share it."""
        return self.folder / "previous_stage"

    def fold(self, fold: str) -> FoldFolder:
        """Where a fold lies: "0" and so on, or "all"."""
        return FoldFolder(folder=self.folder / fold_name(fold))

    def folds(self, checkpoint: str = "final") -> tuple[str, ...]:
        """The folds that hold weights: "0", "1", ..., then "all"."""
        found = [parse_fold(path.parent) for path in self.folder.glob(f"*/{weights_name(checkpoint)}")]
        return tuple(sorted((fold for fold in found if fold is not None), key=lambda fold: (len(fold), fold)))

    def fold_folders(self) -> tuple[FoldFolder, ...]:
        """Every folder that may be a fold's, in the order of their names."""
        return _fold_folders(self.folder)

    def validated_cases(self) -> tuple[Path, ...]:
        """What the numbered folds predicted for their validation cases."""
        folds = [FoldFolder(folder=path) for path in sorted(self.folder.glob(f"{_FOLD}*"))]
        return tuple(path for fold in folds for path in fold.validated_cases())

    def all_weights(self) -> tuple[Path, ...]:
        """Every file of weights."""
        return tuple(sorted(self.folder.glob(f"*/{weights_name('*')}")))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldFolder:
    """Where one fold of a model is trained, and what its training leaves there."""

    folder: Path

    @property
    def fold(self) -> str:
        """The fold's name; for a folder that is none of a model's, as a script may choose one, the folder's."""
        return parse_fold(self.folder) or self.folder.name

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.folder.parent

    @property
    def model_plans(self) -> Path:
        """The plans that all folds of the model share."""
        return self.model / PLANS_FILE

    @property
    def model_plans_view(self) -> Path:
        """The same to be read."""
        return self.model / PLANS_VIEW_FILE

    def weights(self, checkpoint: str = "final") -> Path:
        """The weights "final" or "best"."""
        return self.folder / weights_name(checkpoint)

    @property
    def checkpoint(self) -> Path:
        """The state that a training goes on from."""
        return self.folder / "checkpoint.pt"

    @property
    def record(self) -> Path:
        """What it was trained on, with which program and where."""
        return self.folder / "run.json"

    @property
    def log(self) -> Path:
        """What the training said."""
        return self.folder / "training.log"

    @property
    def history(self) -> Path:
        """The numbers of every epoch."""
        return self.folder / "history.json"

    @property
    def history_table(self) -> Path:
        """The same as a table."""
        return self.folder / "history.csv"

    @property
    def progress(self) -> Path:
        """The same as a picture."""
        return self.folder / "progress.png"

    @property
    def debug(self) -> Path:
        """Every setting of the training."""
        return self.folder / "debug.json"

    @property
    def architecture(self) -> Path:
        """The network in words."""
        return self.folder / "architecture.txt"

    @property
    def architecture_picture(self) -> Path:
        """The network as a picture."""
        return self.folder / "architecture.png"

    @property
    def learning_rates(self) -> Path:
        """The loss at every learning rate that was tried, as a picture."""
        return self.folder / "lr_finder.png"

    @property
    def tensorboard(self) -> Path:
        """The folder of what tensorboard shows."""
        return self.folder / "tensorboard"

    @property
    def lock(self) -> Path:
        """Held by the process that trains or validates."""
        return self.folder / LOCK_FILE

    @property
    def moving(self) -> FoldFolder:
        """What is on its way out of, or back into, the fold's folder while another training begins."""
        return FoldFolder(folder=self.folder / ".setting_aside")

    @property
    def replaced(self) -> FoldFolder:
        """What waits until the training that replaces it has saved its state."""
        return FoldFolder(folder=self.folder / ".replaced")

    @property
    def discarded(self) -> FoldFolder:
        """What is being removed."""
        return FoldFolder(folder=self.folder / ".discarded")

    def validation(self, checkpoint: str = "final") -> Path:
        """The folder of the predictions for the validation cases."""
        return self.folder / (VALIDATION_FOLDER if checkpoint == "final" else f"{VALIDATION_FOLDER}_{checkpoint}")

    def summary(self, checkpoint: str = "final") -> Path:
        """The scores of these predictions."""
        return self.validation(checkpoint) / SUMMARY_FILE

    def validated_cases(self, checkpoint: str = "final") -> tuple[Path, ...]:
        """What was predicted for the validation cases, `<case>.nii.gz`, sorted."""
        paths = sorted(self.validation(checkpoint).glob("*.nii.gz"))
        return tuple(path for path in paths if not path.name.startswith("."))

    @property
    def training_files(self) -> tuple[Path, ...]:
        """What belongs to one training and goes with it; the checkpoint first, so that a removal that is interrupted
        leaves nothing that could go on."""
        return (
            self.checkpoint,
            *map(self.weights, CHECKPOINTS),
            self.history,
            self.history_table,
            self.progress,
            self.log,
            self.record,
            self.debug,
            self.architecture,
            self.architecture_picture,
        )

    @property
    def training_folders(self) -> tuple[Path, ...]:
        """The folders that belong to one training."""
        return (*map(self.validation, CHECKPOINTS), self.tensorboard)

    @property
    def is_started(self) -> bool:
        """Whether a training began here, or is done."""
        return any(path.is_file() for path in (self.weights(), self.checkpoint, self.record))

    def neighbours(self) -> tuple[FoldFolder, ...]:
        """Every folder of the model that may be a fold's, this one among them, in the order of their names."""
        return _fold_folders(self.model)


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


def parse_model(folder: Path) -> ModelFolder | None:
    """The model that a folder's place says it holds; None where its name is no model's."""
    found = MODEL_NAME.fullmatch(folder.name)
    if found is None:
        return None
    task, configuration = folder.parent.name, folder.parent.parent.name
    key = ModelKey(task=task, configuration=configuration, trainer=found["trainer"], plans=found["plans"])
    return ModelFolder(key=key, folder=folder)


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


def _fold_folders(model: Path) -> tuple[FoldFolder, ...]:
    """Also of other names than a fold's, as a script may choose them."""
    folders = sorted(model.iterdir()) if model.is_dir() else ()
    return tuple(FoldFolder(folder=path) for path in folders if path.is_dir())


def fold_name(fold: str) -> str:
    """Of a fold's folder."""
    return fold if fold == ALL else f"{_FOLD}{fold}"


def weights_name(checkpoint: str) -> str:
    """Of a file of weights, "final" or "best"."""
    return f"weights_{checkpoint}.pt"
