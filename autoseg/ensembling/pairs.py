"""The ensembles of two cross-validations: their mean labels of every case that both predicted.

What is there already is trusted only while it was made from the same probabilities and has not been changed since.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.ensembling.averaging import ENDING, EnsembleJob, ensemble_case
from autoseg.errors import StorageError
from autoseg.parallel import run_on_cases
from autoseg.postprocessing.scoring import ValidationCase
from autoseg.storage import content_hash, file_hash, read_json, write_json

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever averaging the same probabilities gives other labels."""

Key = tuple[str, str]
"""Fold and case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    job: EnsembleJob
    sources: str

    @property
    def marker(self) -> Path:
        """What the labels were made from; written after them."""
        return self.job.output.with_name(f"{self.job.identifier}.json")


def ensemble_validation(
    members: Sequence[Sequence[ValidationCase]], folder: Path, hashes: Mapping[Path, str], *, workers: int
) -> tuple[ValidationCase, ...]:
    """Average the probabilities that two or more models left in validation.

    Args:
        members: The cases each of them predicted.
        folder: Gets `fold_k/<case>.nii.gz`; what is current there is left as it is.
        hashes: Of the probability files, as `hash_probabilities` gives them.

    Returns:
        The cases that all of them predicted in the same fold, with the mean labels as prediction.

    Raises:
        CasesFailed: Naming the cases whose files are damaged or lie on different grids.
    """
    by_key = [{_key(case): case for case in cases} for cases in members]
    common = sorted(set.intersection(*(set(cases) for cases in by_key)))
    work = [_work([cases[key] for cases in by_key], folder, hashes) for key in common]
    waiting = [one for one in work if not _is_current(one)]
    if work and len(waiting) < len(work):
        log.info("%s: %d of %d cases are current", folder.name, len(work) - len(waiting), len(work))
    run_on_cases(_ensemble, waiting, task="ensembling", workers=workers, name=lambda one: one.job.identifier)
    return tuple(replace(by_key[0][key], prediction=one.job.output) for key, one in zip(common, work, strict=True))


def hash_probabilities(cases: Sequence[ValidationCase], *, workers: int) -> dict[Path, str]:
    """The hashes of the probability files beside the cases' predictions."""
    paths = [probabilities_file(case) for case in cases]
    return dict(zip(paths, run_on_cases(file_hash, paths, task="looking for changes", workers=workers), strict=True))


def probabilities_file(case: ValidationCase) -> Path:
    """`<case>.npz` beside `<case>.nii.gz`."""
    return case.prediction.with_name(f"{case.identifier}{ENDING}")


def _work(cases: Sequence[ValidationCase], folder: Path, hashes: Mapping[Path, str]) -> _Work:
    fold, identifier = _key(cases[0])
    paths = tuple(probabilities_file(case) for case in cases)
    output = folder / f"fold_{fold}" / f"{identifier}.nii.gz"
    return _Work(
        job=EnsembleJob(identifier=identifier, members=paths, output=output),
        sources=content_hash(FORMAT, [hashes[path] for path in paths]),
    )


def _ensemble(work: _Work) -> None:
    ensemble_case(work.job)
    write_json(work.marker, {"format": FORMAT, "sources": work.sources, "labels": file_hash(work.job.output)})


def _is_current(work: _Work) -> bool:
    if not (work.marker.is_file() and work.job.output.is_file()):
        return False
    try:
        found = read_json(work.marker)
    except StorageError:
        return False
    return bool(found == {"format": FORMAT, "sources": work.sources, "labels": file_hash(work.job.output)})


def _key(case: ValidationCase) -> Key:
    return case.fold, case.identifier
