"""From the files of a case to what a predictor is given: held in memory, or in slabs where it is too large for that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from autoseg.dataset import Case
from autoseg.dataset.raw_cases import RawCase, read_case
from autoseg.dataset.stored_cases import StoredCase, stored_case
from autoseg.inference.predictor import Predictor
from autoseg.inference.scorers.scorer import AnyCase
from autoseg.preprocessing.previous import read_previous
from autoseg.preprocessing.slabs import SurveyedCase, survey_case
from autoseg.words import in_bytes, readable

log = logging.getLogger(__name__)

Guard: TypeAlias = Callable[[RawCase | SurveyedCase], None]
"""Looks at each case that is read, in a thread; what it raises makes the case fail."""


def read_and_prepare(
    case: Case, predictor: Predictor, guard: Guard, *, previous: Path | None, workplace: Path, most_held: int
) -> AnyCase:
    """Read a case and bring it onto the model's grid.

    Args:
        previous: The segmentation that a cascade refines.
        workplace: A folder on a disk for what is too large to be held.
        most_held: Bytes of an image in single precision; a larger one is prepared in slabs where its format and the model
            allow, with the same result.

    Raises:
        DatasetError: As `read_case`, `prepare_case` and the guard.
    """
    stored = stored_case(case)
    if stored is not None and stored.size > most_held and _can_be_in_slabs(stored, predictor, most_held):
        surveyed = survey_case(stored)
        guard(surveyed)
        workplace.mkdir(parents=True, exist_ok=True)
        return predictor.prepare_slabs(surveyed, workplace)
    raw = read_case(case)
    guard(raw)  # before preparing: a wrong voxel size would fill the memory
    shape = raw.data.shape[1:]
    labels = None if previous is None else read_previous(previous, raw.geometry, shape, predictor.target)
    return predictor.prepare(raw, labels)


def _can_be_in_slabs(case: StoredCase, predictor: Predictor, most_held: int) -> bool:
    reason = predictor.why_held(case.geometry)
    way = (
        f"it is held whole, as {reason}"
        if reason
        else "it is read, predicted and written slab by slab, to the same result"
    )
    log.info(
        "case %s: %s in single precision, more than %s, so %s",
        readable(case.identifier),
        in_bytes(case.size),
        in_bytes(most_held),
        way,
    )
    return not reason
