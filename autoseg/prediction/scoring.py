"""What was predicted, scored at once against true labels: a folder against a folder, one case's file against a file."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from autoseg.dataset.target import Target
from autoseg.errors import WorkspaceError
from autoseg.evaluation.case_files import CaseFiles, Pair
from autoseg.evaluation.folders import ScoringSettings, evaluate_folder
from autoseg.evaluation.metrics import Counted
from autoseg.evaluation.summary import Summary, score_case
from autoseg.images import split_ending


def require_labels(labels: Path, output: Path) -> None:
    """Refuse, before anything is predicted, true labels that are not there or do not fit what is predicted into.

    Raises:
        WorkspaceError: Naming them.
    """
    if not labels.exists():
        raise WorkspaceError(
            f"{labels}: no such file or folder; name the true labels that predictions are scored against"
        )
    into_file = bool(split_ending(output.name)[1])
    if into_file and labels.is_dir():
        raise WorkspaceError(
            f"{labels}: a folder, but one case is predicted into a file; name the file of its true labels"
        )
    if not into_file and not labels.is_dir():
        raise WorkspaceError(
            f"{labels}: a file, but a folder is predicted; name the folder of true labels <case>.nii.gz"
        )


def score_prediction(output: Path, labels: Path, target: Target) -> Summary:
    """Score what was predicted; of a folder `summary.json` and `summary.csv` are written into it.

    Args:
        output: The folder, or the file of one case, that was predicted.
        labels: A folder, of which the cases that were predicted are scored; or the file of the case.
        target: What was predicted.

    Raises:
        WorkspaceError: Labels do not fit the output, or one case's masks lie in several files.
        DatasetError: No case is in both folders.
        CasesFailed: Naming each case whose files cannot be compared.
    """
    require_labels(labels, output)
    counted = Counted.of_target(target)
    if labels.is_dir():
        return evaluate_folder(labels, output, ScoringSettings(counted=counted, common=True, names=target.labels))
    case = split_ending(output.name)[0]
    if len(counted.files(case)) > 1:
        raise WorkspaceError(f"{labels}: this model predicts a file of each mask; score folders of them instead")
    ((_, part),) = counted.files(case)
    pair = Pair(prediction=output, references=(labels,), counted=part)
    files = CaseFiles(identifier=case, prediction=output, reference=labels, pairs=(pair,))
    numbers = tuple(counted.members)
    return Summary(
        name=case,
        task="",
        timestamp=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        labels=numbers,
        cases=(score_case(files, numbers=numbers),),
    )
