"""The Dice of many cases under many sequences of rules, each case read once for all that is asked at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from autoseg.arrays import Float64Array, Mask
from autoseg.dataset.covering import touched
from autoseg.dataset.target import Target
from autoseg.geometry import inside
from autoseg.machine.pool import run_on_cases
from autoseg.postprocessing.rules import FILL_HOLES, Rule, apply_rules
from autoseg.postprocessing.truth import boxes_of, read_scored, with_rim

Rules: TypeAlias = tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationCase:
    """A case predicted by networks that were not trained on it.

    Attributes:
        fold: Whose networks predicted it.
        patient: Whose image it is; cases of one patient are never on both sides of a judgement.
        predictions: Its segmentation's files, one for each map of the target.
        references: On the same grid, for each of them the true labels: a file, one for each rater, or none where it was
            not drawn.
        undrawn: Numbers of outputs that nobody drew in the case.
    """

    identifier: str
    fold: str
    patient: str
    predictions: tuple[Path, ...]
    references: tuple[tuple[Path, ...], ...]
    undrawn: tuple[int, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All that its score is made from."""
        return (*self.predictions, *(path for paths in self.references for path in paths))


class DiceTable:
    """The Dice of every case and output under sequences of rules; a sequence is measured once."""

    def __init__(self, cases: Sequence[ValidationCase], target: Target, *, workers: int) -> None:
        self.cases = tuple(cases)
        self.target = target
        self.labels = tuple(target.scored)
        self.workers = workers
        self._known: dict[Rules, Float64Array] = {}
        self._volumes: list[dict[int, Float64Array]] = []

    def dice(self, rules: Rules) -> Float64Array:
        """`(cases, labels)`: the Dice after the rules; NaN where a label is in neither image."""
        if not self._known:
            self._measure_start()
        return self._known[rules]

    def true_volumes(self, chosen: Mask) -> dict[int, Float64Array]:
        """Volumes in mm3 of the components of each label in the references of the chosen cases."""
        if not self._known:
            self._measure_start()
        volumes = [case for case, is_chosen in zip(self._volumes, chosen, strict=True) if is_chosen]
        return {label: np.concatenate([np.empty(0), *(case[label] for case in volumes)]) for label in self.labels}

    def columns(self, rule: Rule) -> list[int]:
        """Those of the labels that a rule may change."""
        return [self.labels.index(label) for label in touched(self.target, rule.labels)]

    def measure(self, wanted: Iterable[tuple[Rules, Rule]]) -> None:
        """Measure what a further rule does after each of some sequences, in one pass over the cases."""
        groups: dict[Rules, list[Rule]] = {}
        for before, rule in dict.fromkeys(wanted):
            if (*before, rule) not in self._known:
                groups.setdefault(before, []).append(rule)
        if not groups:
            return
        measure = partial(_measure_rules, groups=groups, target=self.target)
        scores = run_on_cases(measure, self.cases, task="trying rules", workers=self.workers)
        for before, rules in groups.items():
            for rule in rules:
                after = self.dice(before).copy()
                after[:, self.columns(rule)] = [case[before, rule] for case in scores]
                sequence = (*before, rule)
                self._known[sequence] = after

    def join(self, before: Rules, rules: Rules) -> None:
        """Make known what rules that were measured singly do together; no two may change the same label."""
        together = self.dice(before).copy()
        for rule in rules:
            columns = self.columns(rule)
            together[:, columns] = self.dice((*before, rule))[:, columns]
        self._known[before + rules] = together

    def _measure_start(self) -> None:
        measure = partial(_measure_start, target=self.target)
        start = run_on_cases(measure, self.cases, task="scoring", workers=self.workers)
        self._known[()] = np.array([dice for dice, _ in start]).reshape(len(self.cases), len(self.labels))
        self._volumes = [volumes for _, volumes in start]


def _measure_start(case: ValidationCase, target: Target) -> tuple[list[float], dict[int, Float64Array]]:
    """The Dice of each label before any rule, and the volumes of its true components."""
    scored = read_scored(case.predictions, case.references, target)
    boxes = boxes_of(scored.target.maps_of(scored.prediction))
    dice = [scored.dice(scored.prediction, label, scored.around((label,), boxes)) for label in target.scored]
    return _unless_undrawn(case, target.scored, dice), {label: scored.volumes(label) for label in target.scored}


def _measure_rules(
    case: ValidationCase, groups: Mapping[Rules, Sequence[Rule]], target: Target
) -> dict[tuple[Rules, Rule], list[float]]:
    """The Dice of each label that a rule may change, when it follows each sequence."""
    scored = read_scored(case.predictions, case.references, target)
    scores = {}
    for before, rules in groups.items():
        processed = apply_rules(scored.prediction, scored.spacing, before, scored.target)
        boxes = boxes_of(scored.target.maps_of(processed))
        for rule in rules:
            part = inside(processed, with_rim(scored.around(rule.labels, boxes), scored.shape))
            kept = part.copy()
            part[...] = apply_rules(kept, scored.spacing, [rule], scored.target)
            grown = rule.labels if rule.kind == FILL_HOLES else ()
            labels = touched(target, rule.labels)
            dice = [scored.dice(processed, label, scored.around((label, *grown), boxes)) for label in labels]
            scores[before, rule] = _unless_undrawn(case, labels, dice)
            part[...] = kept
    return scores


def _unless_undrawn(case: ValidationCase, labels: Sequence[int], dice: list[float]) -> list[float]:
    return [np.nan if label in case.undrawn else one for label, one in zip(labels, dice, strict=True)]
