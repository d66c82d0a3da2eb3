"""Metrics of one segmentation against its reference, all labels counted in one pass.

A metric that is undefined (division by zero: a label absent where the metric needs it) is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.arrays import Array, Float32Array, Float64Array, IndexArray, LabelArray, Mask
from autoseg.dataset.covering import has
from autoseg.dataset.overlapping import THRESHOLD
from autoseg.dataset.target import BACKGROUND, Target, names_in_files

Metrics = dict[str, float | None]
Counts = npt.NDArray[np.int64]

HAUSDORFF_PERCENTILE = 95
"""Percentile of all surface distances of both directions; the maximum itself hangs on single voxels."""

ML_PER_MM3 = 1e-3

MOST_PAIRED = 256
"""Kinds whose pairs are counted at once, which is fastest; the table of more grows with their square."""

UNKNOWN = 2
"""In what is known of one number, beside 0 and 1."""

HAUSDORFF = "Hausdorff Distance 95"
SOFT_DICE, ABSOLUTE_ERROR = "Soft Dice", "Mean Absolute Error"
BETWEEN_RATERS = "Dice Between Raters"
LEFT_OUT = "Voxels Left Out"

LARGEST_TABLE = 2**16
"""Label numbers up to it are looked up in a table, which is fastest; larger ones are searched for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What is counted in label images.

    Attributes:
        members: For each number the values that it covers, which may be others' too.
        ignore: The value in the reference where nobody knows, whose voxels are left out; None where there is none.
        soft: Whether files hold fractions.
        target: Whose files they are; None where each case has one.
    """

    members: Mapping[int, tuple[int, ...]]
    ignore: int | None = None
    soft: bool = False
    target: Target | None = field(default=None, compare=False)

    @classmethod
    def of(cls, labels: Sequence[int]) -> Counted:
        """Each value for itself."""
        return cls(members={label: (label,) for label in labels})

    @classmethod
    def of_target(cls, target: Target, numbers: Sequence[int] | None = None) -> Counted:
        """What is scored of a target in maps; of some of its outputs where their numbers are given."""
        numbers = target.scored if numbers is None else numbers
        scored = {number: target.members_of(number) if number in target.scored else (number,) for number in numbers}
        return cls(members=scored, ignore=target.ignore, soft=target.soft, target=target)

    def files(self, case: str) -> tuple[tuple[str, Counted], ...]:
        """Names, endings and raters left out, of the files of a case, each with what is counted in it."""
        names = (case,) if self.target is None else self.target.files_of(case)
        if self.target is None or len(names) == 1:
            return ((names[0], self),)
        return tuple(
            (name, replace(self, members={number: self.members[number]}))
            for number, name in zip(self.target.scored, names, strict=True)
            if number in self.members
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What values of a file that holds all labels are called, the index is the value; empty where that is not known."""
        return () if self.target is None else names_in_files(self.target)[0]

    def share_of(self, values: Array, number: int) -> Float32Array:
        """How much of each voxel is a number's by a file's values, or its fractions; NaN where nobody knows."""
        if self.soft:
            return values if number != BACKGROUND else 1 - values
        shares = np.isin(values, self.members[number]).astype(np.float32)
        if self.ignore is not None:
            shares[values == self.ignore] = np.nan
        return shares

    @property
    def values(self) -> tuple[int, ...]:
        """All that any number covers, ascending."""
        return tuple(sorted({value for values in self.members.values() for value in values}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What is measured of every number of every case beside what follows from counted voxels.

    Attributes:
        surface_distances: The 95th percentile Hausdorff distance.
        soft: How near fractions are.
        raters: The agreement between raters, of whom some case has several.
        left_out: Voxels of which nobody knows.
    """

    surface_distances: bool = False
    soft: bool = False
    raters: bool = False
    left_out: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics."""
        wanted = {
            HAUSDORFF: self.surface_distances,
            SOFT_DICE: self.soft,
            ABSOLUTE_ERROR: self.soft,
            BETWEEN_RATERS: self.raters,
            LEFT_OUT: self.left_out,
        }
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)


NO_EXTRAS = Extras()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How many voxels of one label are found, invented, missed, and rightly left out."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


def score_arrays(
    prediction: LabelArray,
    reference: LabelArray,
    counted: Counted,
    *,
    spacing: Sequence[float] | None = None,
) -> dict[int, Metrics]:
    """Score every label of a predicted segmentation.

    Args:
        prediction: `(Z, Y, X)` label values; values that no number covers count as something else.
        reference: The same shape.
        spacing: Voxel size in mm; when given, the 95th percentile Hausdorff distance (mm) is added, which is slower.

    Returns:
        For each number its metrics by name, names sorted.
    """
    scores = {number: confusion_metrics(counts) for number, counts in count(prediction, reference, counted).items()}
    if spacing is not None:
        known = None if counted.ignore is None else reference != counted.ignore
        for number, metrics in scores.items():
            masks = [np.isin(image, counted.members[number]) for image in (prediction, reference)]
            ours, theirs = masks if known is None else [mask & known for mask in masks]
            metrics[HAUSDORFF] = hausdorff_distance_95(ours, theirs, spacing)
    return {label: dict(sorted(metrics.items())) for label, metrics in scores.items()}


def count(prediction: LabelArray, reference: LabelArray, counted: Counted) -> dict[int, Confusion]:
    """Count the confusions of all numbers in one pass over the two arrays, slice by slice."""
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} must have one shape")
    values = counted.values
    kinds = len(values) + 1  # the last is none of the values
    sets = np.array([np.isin(values, members) for members in counted.members.values()]).reshape(-1, len(values))
    add = _add_pairs if kinds <= MOST_PAIRED else _add_sets
    tally = np.zeros((kinds, kinds) if kinds <= MOST_PAIRED else (3, len(sets)), dtype=np.int64)
    voxels = 0
    for predicted, true in zip(prediction, reference, strict=True):
        known = slice(None) if counted.ignore is None else true != counted.ignore
        ours, theirs = (_positions(image[known], values).ravel() for image in (predicted, true))
        add(tally, ours, theirs, sets)
        voxels += theirs.size
    counts = _counts_of_pairs(tally, sets) if kinds <= MOST_PAIRED else tally
    return {
        number: _confusion(*one, voxels=voxels) for number, one in zip(counted.members, counts.T.tolist(), strict=True)
    }


def confusion_metrics(counts: Confusion) -> Metrics:
    """The thirteen metrics that follow from the confusion counts; None where one is undefined."""
    tp, fp = counts.true_positives, counts.false_positives
    fn, tn = counts.false_negatives, counts.true_negatives
    return {
        "Accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "Dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "False Discovery Rate": _ratio(fp, tp + fp),
        "False Negative Rate": _ratio(fn, tp + fn),
        "False Omission Rate": _ratio(fn, fn + tn),
        "False Positive Rate": _ratio(fp, tn + fp),
        "Jaccard": _ratio(tp, tp + fp + fn),
        "Negative Predictive Value": _ratio(tn, fn + tn),
        "Precision": _ratio(tp, tp + fp),
        "Recall": _ratio(tp, tp + fn),
        "Total Positives Reference": float(tp + fn),
        "Total Positives Test": float(tp + fp),
        "True Negative Rate": _ratio(tn, tn + fp),
    }


def undefined_metrics(extras: Extras) -> Metrics:
    """Those of what nobody drew: by the same names, all None."""
    metrics = confusion_metrics(_confusion(0, 0, 0, voxels=0))
    return dict.fromkeys((*metrics, *volumes(metrics, (1, 1, 1)), *extras.names))


def mean_of_raters(references: Sequence[LabelArray], members: Sequence[int], ignore: int | None) -> LabelArray:
    """What more than half of those who say it hold for one of the values, `(Z, Y, X)`: 1, else 0; `UNKNOWN` where nobody says.

    Of one rater, what that one says.
    """
    if len(references) == 1:
        mean = has(references[0], members).astype(np.uint8)
        if ignore is not None:
            mean[references[0] == ignore] = UNKNOWN
        return mean
    known = np.zeros(references[0].shape, dtype=np.int32)
    held = np.zeros_like(known)
    for reference in references:
        says = np.ones(known.shape, dtype=bool) if ignore is None else reference != ignore
        known += says
        held += says & np.isin(reference, members)
    return np.where(known == 0, np.uint8(UNKNOWN), (held > THRESHOLD * known).astype(np.uint8))


def volumes(metrics: Metrics, spacing: Sequence[float]) -> Metrics:
    """The volumes in ml that a label takes in both images, from its voxels in `metrics` and their size in mm."""
    voxel = math.prod(spacing) * ML_PER_MM3
    return {
        f"Volume {image}": None if (voxels := metrics[f"Total Positives {image}"]) is None else voxels * voxel
        for image in ("Reference", "Test")
    }


def hausdorff_distance_95(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float | None:
    """The 95th percentile, in mm, of the distances from each surface voxel to the other surface, both ways.

    None where a mask is empty or fills the image, since it has no surface then.
    """
    for mask in (prediction, reference):
        if not mask.any() or mask.all():
            return None
    (box,) = ndimage.find_objects((prediction | reference).astype(np.uint8))
    # A rim of background makes voxels at the image's border count as surface.
    surfaces = [_surface(np.pad(mask[box], 1)) for mask in (prediction, reference)]
    ours, theirs = (ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces)
    distances = np.concatenate([theirs[surfaces[0]], ours[surfaces[1]]])
    return float(np.percentile(distances, HAUSDORFF_PERCENTILE))


def foreground_mean(mean: Mapping[int, Metrics]) -> Metrics:
    """The mean of each metric over the labels above background for which it is defined."""
    foreground = [metrics for label, metrics in mean.items() if label > 0]
    names = foreground[0] if foreground else {}
    return {name: mean_of([metrics[name] for metrics in foreground]) for name in names}


def defined_mean(values: Float64Array, axis: int) -> Float64Array:
    """The mean along an axis over what is defined; NaN where nothing is."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Float64Array = np.where(defined, values, 0).sum(axis=axis) / defined.sum(axis=axis)
    return mean


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are defined; None when none is."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _positions(values: LabelArray, labels: Sequence[int]) -> IndexArray:
    """Index into `labels` of every voxel; `len(labels)` for a value that is not among them."""
    highest = max(labels, default=0)
    if highest > LARGEST_TABLE:
        return _searched_positions(values, labels)
    table = np.full(highest + 3, len(labels), dtype=np.intp)  # one entry below zero, one above the highest
    for index, label in enumerate(labels):
        table[label + 1] = index
    return table[np.clip(values.astype(np.intp), -1, highest + 1) + 1]


def _searched_positions(values: LabelArray, labels: Sequence[int]) -> IndexArray:
    """The same for numbers of any size, compared in the array's own type, which holds each exactly."""
    limits = np.iinfo(values.dtype)
    index = {label: place for place, label in enumerate(labels) if limits.min <= label <= limits.max}
    known = np.array(sorted(index), values.dtype)
    places = np.array([*(index[label] for label in sorted(index)), len(labels)], np.intp)
    found = np.searchsorted(known, values)
    found[np.append(known, np.zeros(1, known.dtype))[found] != values] = len(known)
    return places[found]


def _add_pairs(pairs: Counts, ours: IndexArray, theirs: IndexArray, _: Mask) -> None:
    """How often each kind of the reference, in rows, meets each of the prediction."""
    kinds = len(pairs)
    pairs += np.bincount(theirs * kinds + ours, minlength=kinds * kinds).reshape(kinds, kinds)


def _counts_of_pairs(pairs: Counts, sets: Mask) -> Counts:
    """`(3, sets)`: voxels of each set of kinds in both, in the reference, in the prediction."""
    of_set = np.pad(sets, ((0, 0), (0, 1))).astype(np.int64)
    in_reference = of_set @ pairs
    return np.stack([(in_reference * of_set).sum(1), in_reference.sum(1), (of_set @ pairs.T).sum(1)])


def _add_sets(tally: Counts, ours: IndexArray, theirs: IndexArray, sets: Mask) -> None:
    """The same counts, where there are too many kinds for all pairs."""
    kinds = sets.shape[1]
    if (sets.sum(1) == 1).all() and (sets.sum(0) == 1).all():
        parts = [np.bincount(part, minlength=kinds + 1)[:kinds] for part in (theirs[ours == theirs], theirs, ours)]
        tally += np.stack(parts)[:, np.nonzero(sets)[1]]
        return
    for column, one in zip(tally.T, np.pad(sets, ((0, 0), (0, 1))), strict=True):
        found, there = one[ours], one[theirs]
        column += (np.count_nonzero(found & there), np.count_nonzero(there), np.count_nonzero(found))


def _confusion(found: int, in_reference: int, in_prediction: int, *, voxels: int) -> Confusion:
    return Confusion(
        true_positives=found,
        false_positives=in_prediction - found,
        false_negatives=in_reference - found,
        true_negatives=voxels - in_reference - in_prediction + found,
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _surface(mask: Mask) -> Mask:
    inside: Mask = ndimage.binary_erosion(mask)
    return mask & ~inside
