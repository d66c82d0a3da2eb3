"""One case's prediction beside what is true of it, cropped to what matters: the Dice of each output, counted in its box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from autoseg.arrays import Float32Array, Float64Array, LabelArray
from autoseg.dataset import BACKGROUND
from autoseg.dataset.coding import beyond_half
from autoseg.dataset.covering import covers, held
from autoseg.dataset.target import Target, hardened
from autoseg.evaluation.metrics import UNKNOWN, mean_of_raters
from autoseg.evaluation.segmentation_files import read_maps
from autoseg.evaluation.shares import more_than_half
from autoseg.evaluation.summary import read_labels, read_shares, require_one_grid
from autoseg.geometry import Box, Shape, Spacing, bounding_box, inside
from autoseg.images import Image
from autoseg.postprocessing.components import components

Boxes: TypeAlias = Sequence[Mapping[int, Box]]
"""For each map of a segmentation the bounding box of each value that is there."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A case's files, cropped to where any of them holds anything: no rule and no Dice depends on the rest.

    Attributes:
        prediction: `(Z, Y, X)`, or `(outputs, Z, Y, X)` of masks that may overlap.
        truth: For each map what each rater says, `(Z, Y, X)`; empty where it was not drawn.
        spacing: Voxel size in mm.
    """

    target: Target
    prediction: LabelArray
    truth: Sequence[Sequence[LabelArray]]
    spacing: Spacing

    @property
    def shape(self) -> Shape:
        """Voxels of every map."""
        return self.target.maps_of(self.prediction)[0].shape

    def around(self, labels: Sequence[int], boxes: Boxes) -> Box | None:
        """The bounding box of some outputs; None where none of them is there."""
        covered = [(boxes[cover.map], value) for cover in covers(self.target, tuple(labels)) for value in cover.values]
        found = [there[value] for there, value in covered if value in there]
        return _hull(found) if found else None

    def dice(self, prediction: LabelArray, label: int, box: Box | None) -> float:
        """Of one output where anybody knows; NaN where it is in neither image, or was not drawn.

        Args:
            box: Holds all of it in the prediction. Small organs in large images are counted there alone, which is most
                of the time saved.
        """
        if not self.truth[self.target.map_of(label)]:
            return np.nan
        if box is None:
            return 0.0 if self._sizes[label] else np.nan
        true = self._true(label, box)
        predicted = held(inside(prediction, box), self.target, (label,)) & (true != UNKNOWN)
        both = np.count_nonzero(predicted) + self._sizes[label]
        return 2 * np.count_nonzero(predicted & (true == 1)) / both if both else np.nan

    def volumes(self, label: int) -> Float64Array:
        """In mm3, of the components of an output in the truth."""
        box = self.around((label,), self._true_boxes)
        return np.empty(0) if box is None else components(self._true(label, box) == 1, self.spacing)[1]

    @cached_property
    def _sizes(self) -> Mapping[int, int]:
        """Voxels of each output in the truth."""
        boxes = {label: self.around((label,), self._true_boxes) for label in self.target.scored}
        return {
            label: 0 if box is None else int(np.count_nonzero(self._true(label, box) == 1))
            for label, box in boxes.items()
        }

    @cached_property
    def _true_boxes(self) -> Boxes:
        """Of what any rater says."""
        return [_joined(boxes_of(raters)) for raters in self.truth]

    def _true(self, label: int, box: Box) -> LabelArray:
        """1 where an output is in most raters' eyes, else 0; `UNKNOWN` where nobody knows."""
        raters = [inside(rater, box) for rater in self.truth[self.target.map_of(label)]]
        return mean_of_raters(raters, self.target.members_of(label), self.target.ignore)


def read_scored(predictions: Sequence[Path], references: Sequence[Sequence[Path]], target: Target) -> Scored:
    """Read a case's files.

    Args:
        predictions: One for each map of the target.
        references: For each map the raters' files.

    Raises:
        DatasetError: One cannot be read, holds other than whole numbers, or than fractions, or lies on another grid.
    """
    maps = read_maps(predictions, target)
    images = [[_read_rater(path, target) for path in paths] for paths in references]
    for prediction, file, paths, raters in zip(maps, predictions, references, images, strict=True):
        for path, rater in zip(paths, raters, strict=True):
            require_one_grid((file, path), prediction, rater)
    predicted, true = [one.data for one in maps], [[rater.data for rater in raters] for raters in images]
    if target.soft:
        predicted = [beyond_half(plane).astype(np.uint8) for plane in predicted]
        true = [[_most(raters, target.ignore)] if raters else [] for raters in true]
    used = [labels != BACKGROUND for labels in (*predicted, *(one for raters in true for one in raters))]
    box = with_rim(bounding_box(np.logical_or.reduce(used)), used[0].shape)
    geometry = next((rater.geometry for raters in images for rater in raters), maps[0].geometry)
    return Scored(
        target=hardened(target),
        prediction=np.array(target.joined([inside(one, box) for one in predicted])),
        truth=[[inside(rater, box) for rater in raters] for raters in true],
        spacing=geometry.spacing,
    )


def _read_rater(path: Path, target: Target) -> Image:
    return read_shares(path, target.ignore) if target.soft else read_labels(path)


def _most(raters: Sequence[Float32Array], ignore: int | None) -> LabelArray:
    """What more than half say, as one rater of labels would."""
    labels = more_than_half(raters).astype(np.int16)
    if ignore is not None:
        labels[labels == UNKNOWN] = ignore
    return labels


def boxes_of(maps: Sequence[LabelArray]) -> Boxes:
    """The bounding box of each value above background that is in a map."""
    return [
        {
            value: tuple((side.start, side.stop) for side in found)
            for value, found in enumerate(ndimage.find_objects(labels), 1)
            if found is not None
        }
        for labels in maps
    ]


def with_rim(box: Box | None, shape: Shape) -> Box:
    """A box with a voxel's rim, so that the background around what is in it stays connected; a voxel where there is none."""
    if box is None:
        return tuple((0, 1) for _ in shape)
    return tuple((max(0, first - 1), min(size, stop + 1)) for (first, stop), size in zip(box, shape, strict=True))


def _joined(boxes: Boxes) -> Mapping[int, Box]:
    """Of each value the box that holds it in all maps."""
    values = {value for there in boxes for value in there}
    return {value: _hull([there[value] for there in boxes if value in there]) for value in values}


def _hull(boxes: Sequence[Box]) -> Box:
    return tuple(
        (min(first for first, _ in sides), max(stop for _, stop in sides)) for sides in zip(*boxes, strict=True)
    )
