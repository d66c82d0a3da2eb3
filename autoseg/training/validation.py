"""The final validation: a fold's own cases through the same code that predicts new ones, then scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from autoseg.evaluation.metrics import ABSOLUTE_ERROR, BETWEEN_RATERS, SOFT_DICE, Counted
from autoseg.evaluation.score_lines import save_score_lines
from autoseg.evaluation.summary import BYTES_PER_WORKER, Summary, save_summary, score_folder
from autoseg.files.layout import PREDICTION_FILE, SUMMARY_FILE, SUMMARY_TABLE_FILE
from autoseg.files.storage import content_hash, remove_file
from autoseg.inference.cases import Job, predict_jobs
from autoseg.inference.engines import prefers_openvino
from autoseg.inference.model import TrainedModel
from autoseg.inference.predictor import Predictor
from autoseg.inference.record import save_record
from autoseg.inference.settings import Filing
from autoseg.machine.pool import fitting_workers
from autoseg.preprocessing.previous import PreviousMaps, open_case
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.fold.data import FoldData
from autoseg.words import counted

log = logging.getLogger(__name__)

SAID = {SOFT_DICE: "soft Dice", ABSOLUTE_ERROR: "mean absolute error", BETWEEN_RATERS: "of raters among themselves"}
"""What the log calls them, where they are scored."""

LESS_TIME = "it can be stopped and done later where there is a GPU (`validate`), and a configuration of larger voxels (3d_lowres) takes less"


def validate_fold(
    predictor: Predictor, data: FoldData, *, folder: Path, probabilities: bool = False, views: Sequence[Path] = ()
) -> Summary:
    """Predict the validation cases of a fold into `folder` and score them against their label files.

    A case that was predicted with these very weights from the same prepared case is left alone.

    Args:
        folder: Gets `<case>.nii.gz`, `prediction.json` before them, and `summary.csv` and `summary.json` behind them.
        probabilities: Also keep the class probabilities, `<case>.npz`.
        views: Folders that get, for each direction of the model, the same of what is seen along it alone, with
            probabilities; the network answers once for all.

    Raises:
        TrainingError: For a cascade, what the previous stage predicted is not there.
        CasesFailed: Naming the cases that failed; the others are finished.
    """
    cases, identifiers = data.cases, data.split.validation
    previous = data.gather_previous(identifiers).maps
    jobs = [
        Job(
            identifier=case,
            prepare=partial(open_case, cases, previous, case),
            output=folder / f"{case}.nii.gz",
            inputs=partial(_signature, cases, previous, case),
            views=[view / f"{case}.nii.gz" for view in views],
        )
        for case in identifiers
    ]
    if prefers_openvino("auto", predictor.device):
        log.info(
            "validated by torch, as it was trained; autoseg_predict takes OpenVINO here where its answers agree with torch's"
        )
    folders = {folder: predictor} | {view: predictor.along(number) for number, view in enumerate(views)}
    for one, predicts in folders.items():
        remove_file(one / SUMMARY_FILE)
        save_record(one / PREDICTION_FILE, predicts, ())
    predict_jobs(predictor, jobs, Filing(save_npz=probabilities), remedy=LESS_TIME)
    summary, *_ = [_scored(one, data, predictor.model) for one in folders]
    for label, metrics in summary.mean.items():
        dice = metrics["Dice"]
        score = "absent" if dice is None else f"{dice:.4f}"
        more = [f", {said} {value:.4f}" for name, said in SAID.items() if (value := metrics.get(name)) is not None]
        number = counted(len(summary.cases), "case")
        log.info(
            "validation: Dice of %s %s%s (mean of %s)", data.plans.target.labels[label], score, "".join(more), number
        )
    return summary


def _scored(folder: Path, data: FoldData, model: TrainedModel) -> Summary:
    """Of what a model predicted into a folder, written there, too."""
    cases, identifiers = data.cases, data.split.validation
    workers = fitting_workers(None, BYTES_PER_WORKER)
    counted_outputs = Counted.of_target(model.target)
    scored = score_folder(folder, data.references, counted_outputs, workers=workers, cases=identifiers)
    undrawn, without_size = {}, []
    for case in identifiers:
        prepared = cases.load(case)
        undrawn[case] = model.target.undrawn(prepared.annotated)
        without_size += [case] if prepared.properties.geometry.in_pixels else []
    summary = replace(
        scored.without(undrawn).with_facts(cases.facts).counted_in_pixels(without_size),
        task=model.plans.dataset,
        name=f"{model.trainer} {model.configuration} fold {', '.join(model.folds)} {model.checkpoint}",
    )
    save_score_lines(summary, folder / SUMMARY_TABLE_FILE, model.target.labels)
    save_summary(summary, folder / SUMMARY_FILE)
    return summary


def _signature(cases: PreparedCases, previous: PreviousMaps | None, case: str) -> str:
    """Of all that a case, and for a cascade what it refines, was prepared from."""
    return content_hash([cases.signature(case), None if previous is None else previous.signature(case)])
