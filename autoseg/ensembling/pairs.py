"""The ensembles of two cross-validations: their mean labels of every case that both predicted.

What is there already is trusted only while its file says that it was made from the same probabilities.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from autoseg.dataset.target import Target
from autoseg.ensembling.averaging import ENDING, EnsembleJob, averaging_hash, ensemble_case
from autoseg.files.layout import fold_name
from autoseg.files.storage import content_hash, file_hash
from autoseg.inference.fusion import Fusion
from autoseg.machine.pool import run_on_cases
from autoseg.outputs import label_files
from autoseg.postprocessing.scoring import ValidationCase
from autoseg.words import counted

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Fold and case."""


def ensemble_validation(
    members: Sequence[Sequence[ValidationCase]],
    folder: Path,
    hashes: Mapping[Path, str],
    target: Target,
    *,
    workers: int,
    fusions: Mapping[Key, Fusion] | None = None,
) -> tuple[ValidationCase, ...]:
    """Average the probabilities that two or more models left in validation.

    Args:
        members: The cases each of them predicted.
        folder: Gets `fold_k/<case>.nii.gz`, or of each mask its file; what is current there is left as it is.
        hashes: Of the probability files, as `hash_probabilities` gives them.
        target: What all of them predict.
        fusions: For each case, how much each of them has to say, and its probabilities are kept, too; None: all alike.

    Returns:
        The cases that all of them predicted in the same fold, with the mean labels as prediction.

    Raises:
        CasesFailed: Naming the cases whose files are damaged or lie on different grids.
    """
    by_key = [{_key(case): case for case in cases} for cases in members]
    common = sorted(set.intersection(*(set(cases) for cases in by_key)))
    fused = fusions or {}
    jobs = [_job([cases[key] for cases in by_key], folder, hashes, fused.get(key)) for key in common]
    keep = fusions is not None
    waiting = [job for job in jobs if not job.is_finished(probabilities=keep)]
    if len(waiting) < len(jobs):
        log.info("%s: %d of %s current", folder.name, len(jobs) - len(waiting), counted(len(jobs), "case"))
    run_on_cases(partial(ensemble_case, probabilities=keep), waiting, task="ensembling", workers=workers)
    return tuple(
        replace(by_key[0][key], predictions=label_files(job.output, target))
        for key, job in zip(common, jobs, strict=True)
    )


def hash_probabilities(cases: Sequence[ValidationCase], *, workers: int) -> dict[Path, str]:
    """The hashes of the probability files beside the cases' predictions."""
    paths = [case_probabilities(case) for case in cases]
    return dict(zip(paths, run_on_cases(file_hash, paths, task="looking for changes", workers=workers), strict=True))


def case_probabilities(case: ValidationCase) -> Path:
    """`<case>.npz` beside its segmentation's files."""
    return case.predictions[0].with_name(f"{case.identifier}{ENDING}")


def _job(
    cases: Sequence[ValidationCase], folder: Path, hashes: Mapping[Path, str], fusion: Fusion | None
) -> EnsembleJob:
    fold, identifier = _key(cases[0])
    paths = tuple(case_probabilities(case) for case in cases)
    return EnsembleJob(
        identifier=identifier,
        members=paths,
        output=folder / fold_name(fold) / f"{identifier}.nii.gz",
        model=averaging_hash((), fusion=fusion),
        fusion=fusion,
        inputs=partial(str, content_hash([hashes[path] for path in paths])),
    )


def _key(case: ValidationCase) -> Key:
    return case.fold, case.identifier
