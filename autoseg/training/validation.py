"""The final validation: a fold's own cases through the same code that predicts new ones, then scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from autoseg.errors import counted
from autoseg.evaluation.summary import Summary, save_summary, score_folder
from autoseg.inference.cases import Job, predict_jobs
from autoseg.inference.predictor import Predictor
from autoseg.machine import available_cores
from autoseg.preprocessing.previous import PreviousMaps, open_case
from autoseg.preprocessing.store import PreparedCases

log = logging.getLogger(__name__)


def validate_fold(
    predictor: Predictor,
    cases: PreparedCases,
    identifiers: Sequence[str],
    *,
    folder: Path,
    references: Path,
    previous: PreviousMaps | None = None,
    probabilities: bool = False,
) -> Summary:
    """Predict prepared cases into `folder` and score them against their label files.

    Args:
        folder: Gets `<case>.nii.gz` and `summary.json`.
        references: Label files on the original grids, `<case>.nii.gz`.
        previous: For a cascade, what the previous stage predicted for every case.
        probabilities: Also keep the class probabilities, `<case>.npz`.

    Raises:
        CasesFailed: Naming the cases that failed; the others are finished.
    """
    jobs = [
        Job(identifier=case, prepare=partial(open_case, cases, previous, case), output=folder / f"{case}.nii.gz")
        for case in identifiers
    ]
    predict_jobs(predictor, jobs, probabilities=probabilities, overwrite=True)
    model = predictor.model
    summary = score_folder(
        folder,
        references,
        model.plans.label_set.foreground,
        workers=available_cores(),
        task=model.plans.dataset,
        name=f"{model.trainer} {model.configuration} fold {', '.join(model.folds)} {model.checkpoint}",
        cases=identifiers,
    )
    save_summary(summary, folder / "summary.json")
    for label, metrics in summary.mean.items():
        dice = metrics["Dice"]
        score = "absent" if dice is None else f"{dice:.4f}"
        number = counted(len(summary.cases), "case")
        log.info("validation: Dice of %s %s (mean of %s)", model.plans.labels[label], score, number)
    return summary
