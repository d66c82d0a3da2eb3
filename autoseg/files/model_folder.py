"""Which trained model, where it lies, and what each of its folds keeps there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from autoseg.files.layout import (
    CARD_FILE,
    CHECKPOINTS,
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    FINGERPRINT_FILE,
    FUSION_FILE,
    LOCK_FILE,
    MODEL_NAME,
    PLANS_FILE,
    PLANS_VIEW_FILE,
    POSTPROCESSING_FILE,
    SUMMARY_FILE,
    VALIDATION_FOLDER,
    fold_name,
    parse_fold,
    trainer_name,
    weights_name,
)


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
    def choice(self) -> str:
        """For messages: the settings that choose it among a task's models."""
        return f"`configuration={self.configuration}, trainer={self.trainer}, plans={self.plans}`"

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
    def fusion(self) -> Path:
        """How much each of its views has to say."""
        return self.folder / FUSION_FILE

    @property
    def fused_validation(self) -> Path:
        """What all its views say together of the cases that neither networks nor weights were fitted to."""
        return self.folder / "validation_fused"

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
        folds = [FoldFolder(folder=path) for path in sorted(self.folder.glob(fold_name("*")))]
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
    def views(self) -> Path:
        """The folder of what the network says along each direction alone of its validation cases."""
        return self.folder / "validation_views"

    def view(self, number: int) -> Path:
        """What it says along one of them."""
        return self.views / f"view_{number}"

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
    def patch_picture(self) -> Path:
        """A validation patch, and what the network last found in it."""
        return self.folder / "patch.png"

    @property
    def patch_film(self) -> Path:
        """How that came over the epochs."""
        return self.folder / "patch.gif"

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
            self.patch_picture,
            self.patch_film,
            self.log,
            self.record,
            self.debug,
            self.architecture,
            self.architecture_picture,
        )

    @property
    def training_folders(self) -> tuple[Path, ...]:
        """The folders that belong to one training."""
        return (*map(self.validation, CHECKPOINTS), self.views, self.tensorboard)

    @property
    def is_started(self) -> bool:
        """Whether a training began here, or is done."""
        return any(path.is_file() for path in (self.weights(), self.checkpoint, self.record))

    def neighbours(self) -> tuple[FoldFolder, ...]:
        """Every folder of the model that may be a fold's, this one among them, in the order of their names."""
        return _fold_folders(self.model)


def parse_model(folder: Path) -> ModelFolder | None:
    """The model that a folder's place says it holds; None where its name is no model's."""
    found = MODEL_NAME.fullmatch(folder.name)
    if found is None:
        return None
    task, configuration = folder.parent.name, folder.parent.parent.name
    key = ModelKey(task=task, configuration=configuration, trainer=found["trainer"], plans=found["plans"])
    return ModelFolder(key=key, folder=folder)


def _fold_folders(model: Path) -> tuple[FoldFolder, ...]:
    """Also of other names than a fold's, as a script may choose them."""
    folders = sorted(model.iterdir()) if model.is_dir() else ()
    return tuple(FoldFolder(folder=path) for path in folders if path.is_dir())
