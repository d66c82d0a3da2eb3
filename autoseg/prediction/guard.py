"""The input guard of a prediction: with what the model's training cases looked like, found where it was trained or installed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset import Case
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.inference.guard import InputGuard, load_report
from autoseg.paths import Workspace
from autoseg.planning.fingerprint import DatasetFingerprint, load_fingerprint
from autoseg.planning.input_warnings import LIKENESS_NOT_COMPARED, NOT_COMPARED
from autoseg.prediction.choice import ChosenModel

log = logging.getLogger(__name__)


def open_guard(
    task: str,
    members: Sequence[ChosenModel],
    workspace: Workspace,
    *,
    report: Path | None,
    strict: bool,
) -> InputGuard:
    """The guard of what the members predict together; what it cannot compare is said here, once.

    Args:
        members: Models of one task.
        report: Where to write down what is found; None nowhere.
        strict: Refuse cases that are far from the training cases.

    Raises:
        WorkspaceError: `strict`, and neither grid and intensities can be compared, nor all of both.
        ModelError: The report that is there already is none of ours.
    """
    if report is not None and report.is_file():
        load_report(report)
    fingerprint, remark = _find_fingerprint(task, members, workspace)
    if remark is not None and strict and (fingerprint is None or not fingerprint.intensity_ranges):
        raise WorkspaceError(f"--strict_inputs: {remark}")
    if remark is not None:
        log.warning("%s", remark)
    return InputGuard(fingerprint, remark=remark, strict=strict, report=report)


def _find_fingerprint(
    task: str, members: Sequence[ChosenModel], workspace: Workspace
) -> tuple[DatasetFingerprint | None, str | None]:
    """What was measured on the training cases, and a remark where something of it is missing."""
    own = workspace.task(task).fingerprint
    models = [workspace.model(member.choice.key(task)) for member in members]
    path = next((path for path in (*(model.fingerprint for model in models), own) if path.is_file()), None)
    nothing = "images are not compared with the training cases"
    if path is None:
        return None, (
            f"{models[0].folder}: {nothing}: there is no {own.name} here, nor {own}; copy it here from where this was trained"
        )
    try:
        fingerprint = load_fingerprint(path)
    except DatasetError as error:
        return None, f"{nothing}: {error}"
    channels = members[0].trained.plans.channels
    if fingerprint.channels != channels:
        return None, (
            f"{path}: {nothing}: it is of the channels {', '.join(fingerprint.channels)}, but the model's are "
            f"{', '.join(channels)}; copy the file that it was planned with to {models[0].folder}"
        )
    if fingerprint.intensity_ranges and fingerprint.likenesses:
        return fingerprint, None
    return fingerprint, f"{path}: {LIKENESS_NOT_COMPARED if fingerprint.intensity_ranges else NOT_COMPARED}"


def refused_now(guard: InputGuard, cases: Sequence[Case]) -> list[tuple[str, str]]:
    """Where inputs are strict: cases that an earlier run, which was not, has warned of and predicted."""
    return guard.warned_earlier([case.identifier for case in cases]) if guard.strict else []
