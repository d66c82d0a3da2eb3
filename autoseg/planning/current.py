"""The fingerprint of a task as its images are now: read where they are those that it was measured on, else measured."""

from __future__ import annotations

import logging

import autoseg
from autoseg.dataset import Case, Dataset
from autoseg.files.storage import content_hash, read_json, write_json
from autoseg.images import AS_FILES_SAY, image_hash
from autoseg.machine.pool import run_on_cases
from autoseg.paths import Workspace
from autoseg.planning.fingerprint import DatasetFingerprint, extract_fingerprint, load_fingerprint, save_fingerprint

log = logging.getLogger(__name__)


def current_fingerprint(dataset: Dataset, workspace: Workspace, *, workers: int) -> DatasetFingerprint:
    """The task's fingerprint: read if the images and labels are those it was measured on, else measured."""
    path, marker = workspace.task(dataset.name).fingerprint, workspace.task(dataset.name).fingerprint_source
    source = {"format": 1, "hash": _source_hash(dataset, workers)}
    if path.is_file() and marker.is_file() and read_json(marker) == source:
        known = load_fingerprint(path)
        if known.intensity_ranges and known.likenesses:  # an earlier version did not measure them
            log.info("%s: the fingerprint is current", dataset.name)
            return known
    fingerprint = extract_fingerprint(dataset, workers=workers)
    save_fingerprint(fingerprint, path)
    write_json(marker, source)
    return fingerprint


def _source_hash(dataset: Dataset, workers: int) -> str:
    """Of all that the fingerprint is made from; a newer version may measure differently."""
    files = run_on_cases(_case_hash, dataset.measured, task="looking for changes", workers=workers)
    said = [dataset.normalisation] if dataset.normalisation else []
    return content_hash(autoseg.__version__, dataset.channels, dataset.target, files, *said)


def _case_hash(case: Case) -> tuple[str, ...]:
    parts = [str(image.part) for image in case.images if image.part is not None]
    said = [str(case.reading)] if case.reading != AS_FILES_SAY else []
    return (case.identifier, *map(image_hash, case.paths), *parts, *said)
