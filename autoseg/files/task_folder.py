"""Where everything of one task lies, in all three folders of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.files.layout import (
    CANDIDATES_FILE,
    COMMANDS_FILE,
    DATASET_FILE,
    DEFAULT_PLANS,
    FINGERPRINT_FILE,
    FINGERPRINT_SOURCE_FILE,
    FUSED_FOLDER,
    FUSION_FILE,
    PATIENTS_FILE,
    REFERENCES_FOLDER,
    RUNS_FOLDER,
    SELECTION_FILE,
    SELECTIONS_FOLDER,
    SET_ASIDE_FOLDER,
    SPLITS_FILE,
    SPLITS_RULE_FILE,
    TRIED_FOLDER,
    VIEWS_FILE,
    VIEWS_PICTURE_FILE,
)
from autoseg.files.model_folder import ModelKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFolder:
    """A task, where it lies.

    Attributes:
        name: `TaskXXX_Name`.
        raw: `raw_data/TaskXXX_Name`, the user's own.
        preprocessed: `preprocessed/TaskXXX_Name`.
        results: `results`, where a task's folders lie below those of the configurations.
    """

    name: str
    raw: Path
    preprocessed: Path
    results: Path

    @property
    def dataset(self) -> Path:
        """What the task's author says of it."""
        return self.raw / DATASET_FILE

    @property
    def patients(self) -> Path:
        """`{case: patient}`, the user's own."""
        return self.raw / PATIENTS_FILE

    @property
    def fingerprint(self) -> Path:
        """What was measured on the training cases."""
        return self.preprocessed / FINGERPRINT_FILE

    @property
    def fingerprint_source(self) -> Path:
        """What it was measured on."""
        return self.preprocessed / FINGERPRINT_SOURCE_FILE

    @property
    def views(self) -> Path:
        """The directions that volumes are looked along; drawn once, and kept."""
        return self.preprocessed / VIEWS_FILE

    @property
    def views_picture(self) -> Path:
        """What they look like."""
        return self.preprocessed / VIEWS_PICTURE_FILE

    @property
    def splits(self) -> Path:
        """The folds; an edited file is honoured."""
        return self.preprocessed / SPLITS_FILE

    @property
    def splits_rule(self) -> Path:
        """What the folds were made by, where somebody asked for certain ones."""
        return self.preprocessed / SPLITS_RULE_FILE

    @property
    def references(self) -> Path:
        """The folder of copies of the training label files, for scoring."""
        return self.preprocessed / REFERENCES_FOLDER

    def prepared(self, prepared_name: str, plans: str = DEFAULT_PLANS) -> Path:
        """The folder of the prepared cases of one configuration (`ConfigurationPlan.prepared_as`)."""
        return self.preprocessed / f"{plans}_{prepared_name}"

    @property
    def selection_folder(self) -> Path:
        """The selection with what it was made from: scores of every candidate, ensembles, commands."""
        return self.results / SELECTIONS_FOLDER / self.name

    @property
    def selection(self) -> Path:
        """What `autoseg_find_best_configuration` chose."""
        return self.selection_folder / SELECTION_FILE

    @property
    def candidates(self) -> Path:
        """What every candidate scored."""
        return self.selection_folder / CANDIDATES_FILE

    @property
    def commands(self) -> Path:
        """The command lines that predict with what was selected."""
        return self.selection_folder / COMMANDS_FILE

    def pair(self, first: ModelKey, second: ModelKey) -> Path:
        """The folder of what two models predicted together in cross-validation."""
        return self.selection_folder / f"{first.name}--{second.name}"

    def fusion_folder(self, models: Sequence[ModelKey]) -> Path:
        """The folder of what several models say together in cross-validation, each with weights of its own."""
        return self.selection_folder / FUSED_FOLDER / "--".join(model.name for model in models)

    def fusion_folders(self) -> tuple[Path, ...]:
        """Those that hold a fusion."""
        return tuple(sorted(path.parent for path in (self.selection_folder / FUSED_FOLDER).glob(f"*/{FUSION_FILE}")))

    @property
    def run_folder(self) -> Path:
        """What `autoseg_run` keeps of its runs: the journal, the logs, the archive."""
        return self.results / RUNS_FOLDER / self.name

    @property
    def set_aside(self) -> Path:
        """The folder of models that a run trains anew."""
        return self.run_folder / SET_ASIDE_FOLDER

    @property
    def tried(self) -> Path:
        """The folder of recipe files, one for each combination of values that was to be tried."""
        return self.run_folder / TRIED_FOLDER
