"""Fitting a fusion to what sources said in cross-validation, and what it is worth on cases that it was not fitted to.

A case is predicted by networks that were not trained on it; for its score, weights are fitted to the cases of the other
folds, or where there is one fold only, to those of other patients. So neither networks nor weights ever know a case that
they are judged by.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import autoseg
from autoseg.arrays import Array, Float64Array
from autoseg.dataset.target import Target
from autoseg.ensembling.averaging import sources_of
from autoseg.ensembling.pairs import Key, case_probabilities, ensemble_validation, hash_probabilities
from autoseg.errors import ModelError
from autoseg.evaluation.metrics import defined_mean
from autoseg.geometry import box_slices
from autoseg.images import read_image
from autoseg.inference.fusion import Voxels, fit
from autoseg.inference.fusion_record import FUSED, MEAN, FusionRecord
from autoseg.inference.probabilities import load_packed
from autoseg.machine.pool import run_on_cases
from autoseg.networks.activations import activation_of
from autoseg.postprocessing.scoring import DiceTable, ValidationCase
from autoseg.words import counted

log = logging.getLogger(__name__)

MOST_VOXELS = 2**18
"""That a fusion is fitted to, of all cases together; its few numbers need no more."""

SEED = 0

PARTS = 5
"""Of a fold that is alone: of each the cases are judged by weights that were fitted to the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One that has a say: a view of a network, or a model.

    Attributes:
        cases: What it predicted of cases that it was not trained on, with probabilities beside.
    """

    name: str
    cases: tuple[ValidationCase, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A fusion with its worth, and the cases as it says them without having been fitted to them."""

    record: FusionRecord
    cases: tuple[ValidationCase, ...]


def train_fusion(sources: Sequence[Source], target: Target, folder: Path, *, workers: int) -> Fused:
    """Fit a fusion of sources, and judge it beside their plain mean and each of them.

    Args:
        folder: Gets the labels that are judged, `fused/fold_k/<case>.nii.gz` and `mean/...`.

    Raises:
        ModelError: There are fewer than two sources or patients, or no case that all sources predicted.
        CasesFailed: Naming the cases that cannot be read.
    """
    if len(sources) < 2:
        raise ModelError(f"a fusion needs two sources or more, found {counted(len(sources), 'source')}")
    cases = _of_all(sources)
    parts = _parts([by_source[0] for by_source in cases.values()])
    voxels = _voxels(cases, target, workers=workers)
    names, activation = [source.name for source in sources], activation_of(target)
    others = {part: [some for key, some in voxels.items() if parts[key] != part] for part in set(parts.values())}
    by_part = {part: fit(Voxels.together(some), names, activation) for part, some in others.items()}
    fusions = {key: by_part[part] for key, part in parts.items()}
    hashes = {
        path: digest for source in sources for path, digest in hash_probabilities(source.cases, workers=workers).items()
    }
    common = [tuple(by_source[number] for by_source in cases.values()) for number in range(len(sources))]
    fused = ensemble_validation(common, folder / FUSED, hashes, target, workers=workers, fusions=fusions)
    mean = ensemble_validation(common, folder / MEAN, hashes, target, workers=workers)
    scored = {FUSED: fused, MEAN: mean, **dict(zip(names, common, strict=True))}
    dice = {name: _dice(some, target, workers=workers) for name, some in scored.items()}
    record = FusionRecord(
        version=autoseg.__version__,
        fusion=fit(Voxels.together(list(voxels.values())), names, activation),
        folds=tuple(dict.fromkeys(fold for fold, _ in cases)),
        cases=len(cases),
        outputs=tuple(target.labels[number] for number in target.scored),
        dice={name: tuple(None if np.isnan(one) else float(one) for one in some) for name, some in dice.items()},
        used=holds_up(dice[FUSED], dice[MEAN]),
    )
    return Fused(record=record, cases=fused)


def holds_up(fused: Float64Array, mean: Float64Array) -> bool:
    """Whether the mean Dice over outputs is above that of the plain mean."""
    return bool(defined_mean(fused, axis=0) > defined_mean(mean, axis=0))


def _of_all(sources: Sequence[Source]) -> dict[Key, tuple[ValidationCase, ...]]:
    """What each source predicted of the cases that all of them predicted in the same fold, in order."""
    by_key = [{(case.fold, case.identifier): case for case in source.cases} for source in sources]
    common = sorted(set.intersection(*map(set, by_key)))
    if not common:
        raise ModelError("no case was predicted by all sources in the same fold; validate the same folds of all")
    return {key: tuple(cases[key] for cases in by_key) for key in common}


def _parts(cases: Sequence[ValidationCase]) -> dict[Key, str]:
    """Which cases are judged together, by weights that were fitted to all others: folds, or parts of one fold's patients."""
    if len({case.fold for case in cases}) > 1:
        return {(case.fold, case.identifier): case.fold for case in cases}
    patients = sorted({case.patient for case in cases})
    if len(patients) < 2:
        raise ModelError(
            "a fusion is fitted to some patients and judged on others, found 1 patient; train and validate more folds"
        )
    return {(case.fold, case.identifier): f"part {patients.index(case.patient) % PARTS}" for case in cases}


def _voxels(cases: Mapping[Key, tuple[ValidationCase, ...]], target: Target, *, workers: int) -> dict[Key, Voxels]:
    each = max(1, MOST_VOXELS // len(cases))
    items = [_Item(by_source[0].identifier, by_source) for by_source in cases.values()]
    drawn = run_on_cases(partial(_drawn, target=target, number=each), items, task="reading", workers=workers)
    return dict(zip(cases, drawn, strict=True))


@dataclass(frozen=True, slots=True)
class _Item:
    identifier: str
    cases: tuple[ValidationCase, ...]


def _drawn(item: _Item, *, target: Target, number: int) -> Voxels:
    """So many voxels of a case, from where any source is in doubt, and what is true of them."""
    members = [load_packed(case_probabilities(case)) for case in item.cases]
    truth = _truth(item.cases[0])
    known = ~(truth == target.ignore).any(axis=0) if target.ignore is not None else None
    said, true = [], []
    for slab, probabilities in sources_of(members):
        inside = (slice(None), *box_slices(slab))
        rows = np.moveaxis(probabilities.reshape(*probabilities.shape[:2], -1), -1, 0)
        kept = slice(None) if known is None else known[inside[1:]].reshape(-1)
        said.append(rows[kept])
        true.append(truth[inside].reshape(len(truth), -1).T[kept])
    found = Voxels(
        np.concatenate(said) if said else np.zeros((0, len(members), members[0].classes), np.float32),
        np.concatenate(true).astype(np.float32) if true else np.zeros((0, len(truth)), np.float32),
    )
    random = np.random.default_rng(SEED)
    chosen = np.sort(random.permutation(len(found.truth))[:number])
    is_map = len(truth) < members[0].classes
    true_of = found.truth[chosen]
    return Voxels(found.probabilities[chosen], true_of[:, 0] if is_map else true_of)


def _truth(case: ValidationCase) -> Array:
    """`(files, Z, Y, X)`; of several raters the first."""
    return np.stack([read_image(raters[0]).data for raters in case.references])


def _dice(cases: Sequence[ValidationCase], target: Target, *, workers: int) -> Float64Array:
    """Mean over cases, of each output."""
    return defined_mean(DiceTable(cases, target, workers=workers).dice(()), axis=0)


def as_source(name: str, cases: Sequence[ValidationCase], folder_of: Mapping[str, Path]) -> Source:
    """Cases as a source predicted them into a folder for each fold."""
    return Source(
        name=name,
        cases=tuple(
            replace(case, predictions=tuple(folder_of[case.fold] / path.name for path in case.predictions))
            for case in cases
            if case.fold in folder_of
        ),
    )
