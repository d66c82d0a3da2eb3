"""What a picture draws of labels: a layer for each output, which may overlap, and what is said of it beside the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autoseg.arrays import Float32Array, LabelArray, Mask
from autoseg.dataset.coding import (
    BACKGROUND,
    IGNORED,
    IGNORED_PLANE,
    WHOLE,
    fractions_of,
    is_foreground,
    is_ignored,
    is_planes,
)
from autoseg.dataset.covering import has
from autoseg.dataset.overlapping import THRESHOLD
from autoseg.dataset.raw_cases import RawCase
from autoseg.dataset.target import Target
from autoseg.evaluation.metrics import UNKNOWN, Counted, confusion_metrics, count

MORE_THAN_HALF = tuple(range(WHOLE // 2 + 1, WHOLE + 1))
"""What planes hold where their output does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What is drawn in one colour: an output, or a value that belongs to none.

    Attributes:
        number: Of the colour, from 1.
        name: For the legend.
        map: Of a segmentation's maps the one that tells it.
        values: That do.
    """

    number: int
    name: str
    map: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelRow:
    """The labels that one row of panels shows.

    Attributes:
        maps: For each map of a segmentation what each rater says, `(Z, Y, X)` as prepared arrays tell labels
            (`dataset.coding`); empty where it was not drawn.
        undrawn: Numbers of outputs that nobody drew.
    """

    maps: tuple[tuple[LabelArray, ...], ...]
    undrawn: tuple[int, ...] = ()

    def turned(self, turn: Callable[[LabelArray], LabelArray]) -> PanelRow:
        """The same with something done to each array."""
        return replace(self, maps=tuple(tuple(turn(one) for one in raters) for raters in self.maps))

    @property
    def foreground(self) -> Mask:
        """Where any rater says anything."""
        foreground: Mask = np.logical_or.reduce([is_foreground(one) for raters in self.maps for one in raters])
        return foreground

    def shares(self, layer: Layer, axis: int, position: int) -> list[Float32Array]:
        """Of a cut, how much of each pixel is a layer's, from 0 to 1, in each rater's eyes."""
        if layer.number in self.undrawn:
            return []
        return [_share(_cut(one, axis, position), layer) for one in self.maps[layer.map]]

    def ignored(self, axis: int, position: int) -> Mask:
        """Where a cut holds what somebody left open."""
        cuts = [is_ignored(_cut(one, axis, position)) for raters in self.maps for one in raters]
        ignored: Mask = np.logical_or.reduce(cuts)
        return ignored

    @property
    def has_ignored(self) -> bool:
        """Whether any voxel is."""
        return any(is_ignored(one).any() for raters in self.maps for one in raters)


def row_of(case: RawCase, target: Target) -> PanelRow | None:
    """The labels of a case that was read with its target; None where it has none."""
    if case.segmentation is None:
        return None
    if case.planes:
        maps = tuple(tuple(case.segmentation[place] for place in places) for places in case.planes)
    else:
        maps = ((case.segmentation,),)
    return PanelRow(maps=maps, undrawn=target.undrawn(case.annotated))


def layers_of(rows: Sequence[PanelRow], target: Target) -> list[Layer]:
    """What is in any of the rows, or was not drawn in one; outputs first, then values that are no output's."""
    outputs = [
        Layer(
            number=number,
            name=f"{number} {target.labels[number]}",
            map=target.map_of(number),
            values=MORE_THAN_HALF if target.in_planes else target.members_of(number),
        )
        for number in target.scored
    ]
    found = [_values_in(row) for row in rows]
    undrawn = {number for row in rows for number in row.undrawn}
    shown = [
        layer
        for layer in outputs
        if layer.number in undrawn or any(not there[layer.map].isdisjoint(layer.values) for there in found)
    ]
    known = {value for layer in outputs for value in layer.values}
    others = set() if target.in_planes else {value for there in found for value in there[0] if value > BACKGROUND}
    return shown + [
        Layer(number=value, name=f"{value} undeclared", map=0, values=(value,)) for value in sorted(others - known)
    ]


def dice_of(prediction: PanelRow, reference: PanelRow, layers: Sequence[Layer]) -> list[float | None]:
    """Of each layer where somebody knows; of several raters against what most of them say; None where that is nothing."""
    found: dict[Layer, float | None] = dict.fromkeys(layers)
    for place, ((ours, *_), raters) in enumerate(zip(prediction.maps, reference.maps, strict=True)):
        here = [layer for layer in layers if layer.map == place and layer.number not in reference.undrawn]
        if len(raters) == 1:
            ignore = IGNORED_PLANE if is_planes(ours) else IGNORED
            counted = Counted(members={index: layer.values for index, layer in enumerate(here)}, ignore=ignore)
            confusions = list(count(ours, raters[0], counted).values())
        else:
            single = Counted(members={1: (1,)}, ignore=UNKNOWN)
            confusions = [
                count(has(ours, layer.values).astype(np.uint8), _majority(raters, layer), single)[1] for layer in here
            ]
        found |= {layer: confusion_metrics(one)["Dice"] for layer, one in zip(here, confusions, strict=True)}
    return list(found.values())


def _majority(raters: Sequence[LabelArray], layer: Layer) -> LabelArray:
    """1 where most of those hold it who know, else 0; `UNKNOWN` where nobody does."""
    known = np.sum([~is_ignored(one) for one in raters], axis=0)
    held = np.sum([_share(one, layer) for one in raters], axis=0)
    majority: LabelArray = (held > THRESHOLD * known).astype(np.uint8)
    majority[known == 0] = UNKNOWN
    return majority


def _cut(labels: LabelArray, axis: int, position: int) -> LabelArray:
    cut: LabelArray = np.moveaxis(labels, axis, 0)[position]
    return cut


def _values_in(row: PanelRow) -> Mapping[int, set[int]]:
    return {
        place: {value for one in raters for value in np.unique(one).tolist()} for place, raters in enumerate(row.maps)
    }


def _share(labels: LabelArray, layer: Layer) -> Float32Array:
    """From 0 to 1."""
    if is_planes(labels):
        return fractions_of(labels.astype(np.uint8, copy=False))
    return has(labels, layer.values).astype(np.float32)
