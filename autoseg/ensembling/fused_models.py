"""A fusion of several models of a task."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.ensembling.fusing import Fused, Source, train_fusion
from autoseg.ensembling.validation import CrossValidation, require_cases, require_one_target
from autoseg.files.layout import FUSION_FILE
from autoseg.files.task_folder import TaskFolder
from autoseg.inference.fusion_record import save_fusion


def fuse_models(validations: Sequence[CrossValidation], task: TaskFolder, *, workers: int) -> Fused:
    """Fit and judge how much each of several models has to say, and write `fusion.json` among the task's selections.

    Raises:
        ModelError: Models differ in their labels, or have too few patients in common.
        WorkspaceError: Nothing was validated, or probabilities are missing.
    """
    target = require_one_target(validations)
    for validation in validations:
        require_cases(validation)
    folder = task.fusion_folder([one.model.key for one in validations])
    sources = [Source(name=one.model.key.name, cases=one.cases) for one in validations]
    fused = train_fusion(sources, target, folder, workers=workers)
    save_fusion(fused.record, folder / FUSION_FILE)
    return fused
