"""Metrics of one segmentation against its reference, all labels counted in one pass.

A metric that is undefined (division by zero: a label absent where the metric needs it) is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.arrays import Float64Array, IndexArray, LabelArray, Mask

Metrics = dict[str, float | None]

HAUSDORFF_PERCENTILE = 95
"""Percentile of all surface distances of both directions; the maximum itself hangs on single voxels."""

ML_PER_MM3 = 1e-3

MOST_PAIRED = 256
"""Kinds whose pairs are counted at once, which is fastest; the table of more grows with their square."""

LARGEST_TABLE = 2**16
"""Label numbers up to it are looked up in a table, which is fastest; larger ones are searched for."""


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
    labels: Sequence[int],
    *,
    spacing: Sequence[float] | None = None,
) -> dict[int, Metrics]:
    """Score every label of a predicted segmentation.

    Args:
        prediction: `(Z, Y, X)` label values; values that are not in `labels` count as something else.
        reference: The same shape.
        spacing: Voxel size in mm; when given, the 95th percentile Hausdorff distance (mm) is added, which is slower.

    Returns:
        For each label its metrics by name, names sorted.
    """
    scores = {label: confusion_metrics(counts) for label, counts in count(prediction, reference, labels).items()}
    if spacing is not None:
        for label, metrics in scores.items():
            metrics["Hausdorff Distance 95"] = hausdorff_distance_95(prediction == label, reference == label, spacing)
    return {label: dict(sorted(metrics.items())) for label, metrics in scores.items()}


def count(prediction: LabelArray, reference: LabelArray, labels: Sequence[int]) -> dict[int, Confusion]:
    """Count the confusions of all labels in one pass over the two arrays, slice by slice."""
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} must have one shape")
    kinds = len(labels) + 1
    tally = np.zeros((3, kinds), dtype=np.int64)
    for predicted, true in zip(prediction, reference, strict=True):
        tally += _tally(_positions(predicted, labels).ravel(), _positions(true, labels).ravel(), kinds)
    numbers = zip(labels, tally.T.tolist(), strict=False)  # the last kind is none of the labels
    return {label: _confusion(*counts, voxels=reference.size) for label, counts in numbers}


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


def _tally(ours: IndexArray, theirs: IndexArray, kinds: int) -> npt.NDArray[np.int64]:
    """`(3, kinds)`: voxels of each kind in both, in the reference, in the prediction."""
    if kinds <= MOST_PAIRED:
        pairs = np.bincount(theirs * kinds + ours, minlength=kinds * kinds).reshape(kinds, kinds)
        return np.stack([pairs.diagonal(), pairs.sum(axis=1), pairs.sum(axis=0)])
    return np.stack([np.bincount(part, minlength=kinds) for part in (theirs[ours == theirs], theirs, ours)])


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
