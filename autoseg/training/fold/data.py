"""What one fold is trained and scored on, and where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autoseg.dataset.folds import Split
from autoseg.errors import TrainingError
from autoseg.files.model_folder import FoldFolder
from autoseg.files.storage import content_hash
from autoseg.plans import ConfigurationPlan, Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.previous_stage import Gathered, PreviousStage


@dataclass(frozen=True, kw_only=True)
class FoldData:
    """What one fold is trained and scored on.

    Attributes:
        configuration: Which one of the plans.
        cases: Those that were prepared for it.
        output: The fold's folder; its parent is the model's.
        references: Label files as they were, `<case>.nii.gz`, for the scores of the final validation.
        previous: For a cascade, what the configuration before it predicted for every case.
    """

    plans: Plans
    configuration: str
    cases: PreparedCases
    split: Split
    output: Path
    references: Path
    previous: PreviousStage | None = None

    @property
    def plan(self) -> ConfigurationPlan:
        """Of the configuration."""
        return self.plans.configuration(self.configuration)

    @property
    def folder(self) -> FoldFolder:
        """The fold's, by its files."""
        return FoldFolder(folder=self.output)

    def gather_previous(self, identifiers: Sequence[str]) -> Gathered:
        """For a cascade, bring what the previous stage predicted for some cases onto its grid.

        Raises:
            TrainingError: Nothing, or not everything, of it is there.
        """
        if self.plan.previous is None:
            return Gathered()
        if self.previous is None:
            raise TrainingError(
                f"{self.plan.name}: learns from what {self.plan.previous} predicted; "
                "give the trainer those predictions (previous=)"
            )
        return self.previous.gather(identifiers, self.cases, target=self.plans.target)

    @cached_property
    def previous_stage(self) -> Gathered:
        """Of all cases of the split."""
        return self.gather_previous(sorted({*self.split.training, *self.split.validation}))

    @cached_property
    def signature(self) -> str:
        """Hash of all that the cases of the split were prepared from."""
        cases = sorted({*self.split.training, *self.split.validation})
        return content_hash({case: self.cases.signature(case) for case in cases})
