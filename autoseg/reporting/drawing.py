"""One overlay picture: cuts through an image, each with the outlines of all labels in it, and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.arrays import FloatArray, Mask
from autoseg.dataset import Target
from autoseg.dataset.overlapping import THRESHOLD
from autoseg.geometry import Geometry, Shape, Spacing
from autoseg.reporting.layers import Layer, PanelRow, dice_of, layers_of
from autoseg.reporting.orientation import patient_view

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONVENTION = "radiological convention: the patient's right is at the left"
UNPLACED = "the header does not say how it lies in the patient: planes are presumed, sides unknown"
WINDOW_PERCENTILES = (1, 99)
"""Grey values that become black and white: single bright voxels must not darken the rest."""

COLOURS = ("tab:red", "tab:green", "tab:blue", "gold", "tab:purple", "tab:cyan", "tab:orange", "tab:pink", "tab:olive")
FILL_OPACITY = 0.3
EDGES = (
    ((0.5, 0.98), "center", "top"),
    ((0.98, 0.5), "right", "center"),
    ((0.5, 0.02), "center", "bottom"),
    ((0.02, 0.5), "left", "center"),
)
PANEL_INCHES = 3.2
ALONE_INCHES = 6.4
"""Of a panel where there is one cut, as of a single slice: the rows are drawn side by side."""

TALLEST = 2.0
"""Beside its width."""

LINES = (1.6, 0.8)
"""Widths of the first outline and the last, so that those that run together are all seen."""

IGNORED = "nobody knows"
IGNORED_COLOUR = "white"
STRIPES = 40
"""How many cross a panel where nobody knows what is there."""

LEGEND_INCHES = 0.17
"""Of a line of the legend."""

LETTER_INCHES, PATCH_INCHES = 0.075, 0.5
"""What an entry of the legend is wide: its letters, and its patch with the space around."""

LEAST_INCHES = 4.0
"""Of a picture's width, for the title."""


def draw_overlay(
    image: FloatArray,
    rows: Mapping[str, PanelRow],
    *,
    geometry: Geometry,
    target: Target,
    title: str,
) -> Figure:
    """Draw one row of cuts for each segmentation, all cut at the same places and in radiological convention.

    Outputs may overlap: each is filled and outlined in its colour, of several raters each outlined. A single slice is
    drawn large, with the rows side by side.

    Args:
        image: `(Z, Y, X)`.
        rows: Title of the row to its labels on the image's grid; none draws the image alone. Of two, the first is the
            reference, and the legend gives each output's Dice.
        geometry: Of the image; it tells which plane is seen, where the patient's sides are, and the pixels' aspect.
        target: Whose outputs the labels are of.
    """
    from matplotlib.figure import Figure

    view = patient_view(geometry)
    shown = view.turn(image)
    turned = {name: row.turned(view.turn) for name, row in rows.items()}
    first = next((row.foreground for row in turned.values()), np.zeros(shown.shape, dtype=bool))
    cuts = best_cuts(first)
    layers = layers_of(list(turned.values()), target)
    legend = _legend(list(turned.values()), layers)
    lines, wide, panel = _grid(cuts, len(turned) or 1, shown.shape, view.spacing)
    width = max(LEAST_INCHES, panel[1] * wide)
    columns = max(1, int(width / (LETTER_INCHES * max(map(len, legend), default=1) + PATCH_INCHES)))
    height = panel[0] * lines + 0.9 + LEGEND_INCHES * (len(legend) // columns)
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = iter(figure.subplots(lines, wide, squeeze=False).ravel())
    window, is_picture = grey_window(image), _is_picture(geometry, image.shape)
    for name, row in (turned or {"image": PanelRow(maps=())}).items():
        for axis, position in cuts.items():
            panel = next(panels)
            aspect = _aspect(view.spacing, axis)
            settings: dict[str, Any] = {"origin": "upper", "aspect": aspect, "interpolation": "nearest"}
            panel.imshow(shown.take(position, axis), cmap="gray", vmin=window[0], vmax=window[1], **settings)
            _draw_layers(panel, row, layers, (axis, position), settings)
            panel.set_axis_off()
            if geometry.is_placed and not is_picture:
                _draw_edges(panel, view.edges(axis))
            where = "" if is_picture else f": {view.plane(axis)}, {view.place(axis, position, image.shape)}"
            panel.set_title(name + where, fontsize=8)
    convention = "" if is_picture else CONVENTION if geometry.is_placed else UNPLACED
    figure.suptitle(f"{title}\n{convention}".rstrip(), fontsize=9)
    _draw_legend(figure, legend, columns)
    return figure


def draw_names(figure: Figure, names: Sequence[str]) -> None:
    """A legend of the outputs that are scored, below all panels, each in its colour."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour_at(at), label=name) for at, name in enumerate(names)]
    widest = LETTER_INCHES * max(map(len, names), default=1) + PATCH_INCHES
    columns = max(1, int(figure.get_figwidth() / widest))
    figure.legend(handles=lines, loc="outside lower center", ncols=min(len(lines), columns), fontsize=7)


def _is_picture(geometry: Geometry, shape: Shape) -> bool:
    """Whether it is a slice that lies nowhere, in no patient: as PNG, TIFF and the like are read."""
    return 1 in shape and geometry.forms is None and geometry == Geometry(spacing=geometry.spacing)


def _grid(cuts: Mapping[int, int], rows: int, shape: Shape, spacing: Spacing) -> tuple[int, int, tuple[float, float]]:
    """Lines and columns of panels, and how high and wide each is, in inches."""
    if len(cuts) > 1:
        return rows, len(cuts), (PANEL_INCHES, PANEL_INCHES)
    (axis,) = cuts
    high, wide = (
        voxels * side for other, (voxels, side) in enumerate(zip(shape, spacing, strict=True)) if other != axis
    )
    return 1, rows, (ALONE_INCHES * min(TALLEST, high / wide), ALONE_INCHES)


def best_cuts(foreground: Mask) -> dict[int, int]:
    """For each axis of a turned volume that is worth cutting, the slice with most foreground; the middle one where there is none.

    A cut is worth looking at when both its sides have more than one voxel: a single slice is cut one way only.
    """
    cuts = {}
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        if all(foreground.shape[other] > 1 for other in others):
            areas = foreground.sum(axis=others)
            cuts[axis] = int(areas.argmax()) if areas.any() else foreground.shape[axis] // 2
    return cuts or {0: 0}


def grey_window(image: FloatArray) -> tuple[float, float]:
    """Intensities to show as black and white, from the voxels that are not background air."""
    shown = image[image != image.min()]
    if not shown.size:
        return float(image.min()), float(image.min()) + 1
    low, high = np.percentile(shown, WINDOW_PERCENTILES)
    return float(low), float(high) if high > low else float(low) + 1


def _aspect(spacing: Spacing, axis: int) -> float:
    rows, columns = (side for other, side in enumerate(spacing) if other != axis)
    return rows / columns


def _draw_layers(
    panel: Axes, row: PanelRow, layers: Sequence[Layer], cut: tuple[int, int], settings: Mapping[str, Any]
) -> None:
    """Everything filled first, then everything outlined, so that what overlaps is seen."""
    from matplotlib.colors import to_rgba

    axis, position = cut
    shares = {layer: row.shares(layer, axis, position) for layer in layers}
    for layer, raters in shares.items():
        if raters and (mean := np.mean(raters, axis=0)).any():
            fill = np.zeros((*mean.shape, 4))
            fill[...] = to_rgba(_colour(layer))
            fill[..., 3] = FILL_OPACITY * mean
            panel.imshow(fill, **settings)
    ignored = row.ignored(axis, position)
    if ignored.any():
        panel.imshow(_striped(ignored), **settings)
    widths = np.linspace(*LINES, len(shares)) if len(shares) > 1 else [1.0]
    for (layer, raters), width in zip(shares.items(), widths, strict=False):
        for share in raters:
            inside = share > THRESHOLD
            if min(inside.shape) > 1 and inside.any() and not inside.all():
                panel.contour(share, levels=[THRESHOLD], colors=_colour(layer), linewidths=width / len(raters))


def _striped(mask: Mask) -> FloatArray:
    """`(Y, X, 4)`: stripes from the lower left to the upper right."""
    from matplotlib.colors import to_rgba

    down, along = np.indices(mask.shape)
    width = max(2, max(mask.shape) // STRIPES)
    stripes = np.zeros((*mask.shape, 4))
    stripes[mask & ((down + along) // width % 2 == 0)] = to_rgba(IGNORED_COLOUR, FILL_OPACITY)
    return stripes


def _draw_edges(panel: Axes, sides: tuple[str, str, str, str]) -> None:
    """The patient's sides, at the top, right, bottom and left of a panel."""
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=2, foreground="black")]
    for side, ((x, y), horizontal, vertical) in zip(sides, EDGES, strict=True):
        place: dict[str, Any] = {"ha": horizontal, "va": vertical, "transform": panel.transAxes}
        panel.text(x, y, side, color="yellow", fontsize=9, fontweight="bold", path_effects=outline, **place)


def _legend(rows: Sequence[PanelRow], layers: Sequence[Layer]) -> dict[str, Layer | None]:
    """What is said of each layer; of what nobody knows, which is none, where there is some."""
    said: dict[str, Layer | None] = {}
    dice = dice_of(rows[1], rows[0], layers) if len(rows) > 1 else [None] * len(layers)
    for layer, score in zip(layers, dice, strict=True):
        undrawn = bool(rows) and layer.number in rows[0].undrawn
        score_text = f": Dice {score:.3f}" if score is not None else ""
        said[layer.name + (": not drawn" if undrawn else score_text)] = layer
    if any(row.has_ignored for row in rows):
        said[IGNORED] = None
    return said


def _draw_legend(figure: Figure, legend: Mapping[str, Layer | None], columns: int) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor="dimgray", edgecolor=IGNORED_COLOUR, hatch="///", label=text)
        if layer is None
        else Patch(color=_colour(layer), label=text)
        for text, layer in legend.items()
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), fontsize=8)


def colour_at(place: int) -> str:
    """That of an output, or of what else is told apart, by its place from 0."""
    return COLOURS[place % len(COLOURS)]


def _colour(layer: Layer) -> str:
    return colour_at(layer.number - 1)
