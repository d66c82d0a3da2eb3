"""The Dice of many cases under many sequences of rules, each case read once for all that is asked at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from autoseg.arrays import Float64Array, LabelArray, Mask
from autoseg.dataset import BACKGROUND
from autoseg.evaluation.summary import read_pair
from autoseg.geometry import Spacing
from autoseg.machine.pool import run_on_cases
from autoseg.postprocessing.components import components
from autoseg.postprocessing.rules import Rule, apply_rules

Rules: TypeAlias = tuple[Rule, ...]
Slices: TypeAlias = tuple[slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationCase:
    """A case predicted by networks that were not trained on it.

    Attributes:
        fold: Whose networks predicted it.
        patient: Whose image it is; cases of one patient are never on both sides of a judgement.
        prediction, reference: Label files on one grid.
        ignore: The value in references where nobody knows; None where there is none.
        undrawn: Labels that nobody drew in the case.
    """

    identifier: str
    fold: str
    patient: str
    prediction: Path
    reference: Path
    ignore: int | None = None
    undrawn: tuple[int, ...] = ()


class DiceTable:
    """The Dice of every case and label under sequences of rules; a sequence is measured once."""

    def __init__(self, cases: Sequence[ValidationCase], labels: Sequence[int], *, workers: int) -> None:
        self.cases = tuple(cases)
        self.labels = tuple(labels)
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

    def measure(self, wanted: Iterable[tuple[Rules, Rule]]) -> None:
        """Measure what a further rule does after each of some sequences, in one pass over the cases."""
        groups: dict[Rules, list[Rule]] = {}
        for before, rule in dict.fromkeys(wanted):
            if (*before, rule) not in self._known:
                groups.setdefault(before, []).append(rule)
        if not groups:
            return
        measure = partial(_measure_rules, groups=groups, labels=self.labels)
        scores = run_on_cases(measure, self.cases, task="trying rules", workers=self.workers)
        for before, rules in groups.items():
            for rule in rules:
                after = self.dice(before).copy()
                columns = [self.labels.index(label) for label in rule.labels]
                after[:, columns] = [case[before, rule] for case in scores]
                sequence = (*before, rule)
                self._known[sequence] = after

    def join(self, before: Rules, rules: Rules) -> None:
        """Make known what rules that were measured singly do together; no two may touch the same label."""
        together = self.dice(before).copy()
        for rule in rules:
            columns = [self.labels.index(label) for label in rule.labels]
            together[:, columns] = self.dice((*before, rule))[:, columns]
        self._known[before + rules] = together

    def _measure_start(self) -> None:
        start = run_on_cases(
            partial(_measure_start, labels=self.labels), self.cases, task="scoring", workers=self.workers
        )
        self._known[()] = np.array([dice for dice, _ in start]).reshape(len(self.cases), len(self.labels))
        self._volumes = [volumes for _, volumes in start]


def _measure_start(case: ValidationCase, labels: Sequence[int]) -> tuple[list[float], dict[int, Float64Array]]:
    """The Dice of each label before any rule, and the volumes of the true components."""
    prediction, reference, spacing = _read_cropped(case)
    sizes = _sizes(reference, labels)
    known = _known(prediction, reference, case.ignore)
    return _unless_undrawn(case, labels, _dice(known, reference, labels, sizes)), _component_volumes(
        reference, labels, spacing
    )


def _measure_rules(
    case: ValidationCase, groups: Mapping[Rules, Sequence[Rule]], labels: Sequence[int]
) -> dict[tuple[Rules, Rule], list[float]]:
    """The Dice of each rule's own labels when it follows each sequence; no other label is changed by it."""
    prediction, reference, spacing = _read_cropped(case)
    sizes = _sizes(reference, labels)
    scores = {}
    for before, rules in groups.items():
        processed = apply_rules(prediction, spacing, before)
        boxes = _boxes(processed)
        for rule in rules:
            around = _around(boxes, rule.labels, processed.shape)
            changed = apply_rules(processed[around], spacing, [rule])
            known = _known(changed, reference[around], case.ignore)
            dice = _dice(known, reference[around], rule.labels, sizes)
            scores[before, rule] = _unless_undrawn(case, rule.labels, dice)
    return scores


def _read_cropped(case: ValidationCase) -> tuple[LabelArray, LabelArray, Spacing]:
    """Both images, cropped to where either holds a label: no rule and no Dice depends on the rest."""
    prediction, reference, spacing = read_pair((case.prediction, case.reference))
    used = (prediction != BACKGROUND) | (reference != BACKGROUND)
    around = _around(_boxes(used.astype(np.uint8)), (1,), used.shape)
    return prediction[around], reference[around], spacing


def _unless_undrawn(case: ValidationCase, labels: Sequence[int], dice: list[float]) -> list[float]:
    return [np.nan if label in case.undrawn else one for label, one in zip(labels, dice, strict=True)]


def _known(prediction: LabelArray, reference: LabelArray, ignore: int | None) -> LabelArray:
    """What was predicted where anybody knows what is there; background elsewhere."""
    return prediction if ignore is None else np.where(reference == ignore, BACKGROUND, prediction)


def _dice(
    prediction: LabelArray, reference: LabelArray, labels: Sequence[int], sizes: Mapping[int, int]
) -> list[float]:
    """Dice of each label, NaN where it is in neither image; `sizes` counts its voxels in the whole reference.

    Each label is counted in its own box, which for small organs in large images is most of the time saved.
    """
    boxes = _boxes(prediction)
    scores = []
    for label in labels:
        if label in boxes:
            inside = prediction[boxes[label]] == label
            found = np.count_nonzero(inside & (reference[boxes[label]] == label))
            both = np.count_nonzero(inside) + sizes[label]
            scores.append(2 * found / both)
        else:
            scores.append(0.0 if sizes[label] else np.nan)
    return scores


def _sizes(reference: LabelArray, labels: Sequence[int]) -> dict[int, int]:
    boxes = _boxes(reference)
    return {label: int((reference[boxes[label]] == label).sum()) if label in boxes else 0 for label in labels}


def _component_volumes(reference: LabelArray, labels: Sequence[int], spacing: Spacing) -> dict[int, Float64Array]:
    boxes = _boxes(reference)
    return {
        label: components(reference[boxes[label]] == label, spacing)[1] if label in boxes else np.empty(0)
        for label in labels
    }


def _boxes(segmentation: LabelArray) -> dict[int, Slices]:
    """The bounding box of each label that is there."""
    return {label: box for label, box in enumerate(ndimage.find_objects(segmentation), 1) if box is not None}


def _around(boxes: Mapping[int, Slices], labels: Sequence[int], shape: Sequence[int]) -> Slices:
    """The bounding box of several labels with a voxel's rim, so that the background around them stays connected."""
    found = [boxes[label] for label in labels if label in boxes]
    if not found:
        return tuple(slice(0, 1) for _ in shape)
    return tuple(
        slice(max(0, min(side.start for side in sides) - 1), min(size, max(side.stop for side in sides) + 1))
        for sides, size in zip(zip(*found, strict=True), shape, strict=True)
    )
