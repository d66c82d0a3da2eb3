"""Overlay pictures: each case cut where most of its labels are, with the labels drawn over the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.arrays import FloatArray, LabelArray
from autoseg.dataset import Case, image_files
from autoseg.dataset.raw_cases import read_case
from autoseg.errors import DatasetError
from autoseg.evaluation.metrics import Counted, confusion_metrics, count
from autoseg.files.storage import atomic_path
from autoseg.geometry import Geometry, Spacing
from autoseg.machine.pool import run_on_cases
from autoseg.outputs import others_files
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
LEGEND_INCHES = 0.17
"""Of a line of the legend."""

LETTER_INCHES, PATCH_INCHES = 0.075, 0.5
"""What an entry of the legend is wide: its letters, and its patch with the space around."""

LEAST_INCHES = 4.0
"""Of a picture's width, for the title."""

DOTS_PER_INCH = 110

SOFTWARE = "autoseg"
PNG_HEAD = 4096
"""Bytes, in which a PNG says what wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a picture shows of a case.

    Attributes:
        labels: Label names, the index is the value.
        predictions: Folder of `<case>.nii.gz`, drawn in a row of their own.
        channel: Which channel of the image.
    """

    labels: Sequence[str]
    predictions: Path | None = None
    channel: int = 0


def plot_cases(
    cases: Sequence[Case], output: Path, shown: Shown, *, overwrite: bool = False, workers: int
) -> list[Path]:
    """Write `output/<case>.png` for each case and return the paths; pictures that autoseg did not draw are kept.

    Args:
        overwrite: Replace what is there, whatever it is.

    Raises:
        DatasetError: A case has two predictions.
        CasesFailed: Naming each case that cannot be read or drawn; the others are done.
    """
    pictures = [output / f"{case.identifier}.png" for case in cases]
    kept = [] if overwrite else others_files(pictures, is_picture)
    wanted = [case for case, picture in zip(cases, pictures, strict=True) if picture not in kept]
    files = {} if shown.predictions is None else image_files(shown.predictions)
    plot = partial(_plot_case, output=output, shown=shown, files=files)
    return run_on_cases(plot, wanted, task="drawing", workers=workers)


def _plot_case(case: Case, *, output: Path, shown: Shown, files: Mapping[str, Path]) -> Path:
    case = replace(case, images=(case.images[shown.channel],))
    raw = read_case(case)
    rows = {"reference": raw.segmentation}
    if shown.predictions is not None:
        if case.identifier not in files:
            raise DatasetError(
                f"{shown.predictions}: no prediction {case.identifier}.nii.gz here; predict this case first"
            )
        predicted = read_case(replace(case, segmentation=files[case.identifier]))
        rows["prediction"] = predicted.segmentation
    segmentations = {name: segmentation for name, segmentation in rows.items() if segmentation is not None}
    path = output / f"{case.identifier}.png"
    figure = draw_overlay(raw.data[0], segmentations, geometry=raw.geometry, labels=shown.labels, title=case.identifier)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, metadata={"Software": SOFTWARE})
    return path


def is_picture(path: Path) -> bool:
    """Whether a PNG says that autoseg drew it."""
    with path.open("rb") as file:
        return f"tEXtSoftware\0{SOFTWARE}".encode() in file.read(PNG_HEAD)


def draw_overlay(
    image: FloatArray,
    segmentations: Mapping[str, LabelArray],
    *,
    geometry: Geometry,
    labels: Sequence[str],
    title: str,
) -> Figure:
    """Draw one row of cuts for each segmentation, all cut at the same places and in radiological convention.

    Args:
        image: `(Z, Y, X)`.
        segmentations: Title of the row to `(Z, Y, X)` labels on the image's grid; none draws the image alone. Of two, the
            first is the reference, and the legend gives each label's Dice.
        geometry: Of the image; it tells which plane is seen, where the patient's sides are, and the pixels' aspect.
        labels: Label names, the index is the value.
    """
    from matplotlib.figure import Figure

    view = patient_view(geometry)
    turned = {name: view.turn(segmentation) for name, segmentation in segmentations.items()}
    rows = turned or {"image": np.zeros(view.turn(image).shape, np.uint8)}
    cuts = best_cuts(next(iter(rows.values())))
    legend = _legend(list(turned.values()), labels)
    width = max(LEAST_INCHES, PANEL_INCHES * len(cuts))
    columns = max(1, int(width / (LETTER_INCHES * max(map(len, legend.values()), default=1) + PATCH_INCHES)))
    height = PANEL_INCHES * len(rows) + 0.9 + LEGEND_INCHES * (len(legend) // columns)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(rows), len(cuts), squeeze=False)
    window = grey_window(image)
    for axes, (name, segmentation) in zip(grid, rows.items(), strict=True):
        for panel, (axis, position) in zip(axes, cuts.items(), strict=True):
            cut, labelled = (np.moveaxis(volume, axis, 0)[position] for volume in (view.turn(image), segmentation))
            _draw_cut(panel, cut, labelled, aspect=_aspect(view.spacing, axis), window=window)
            if geometry.is_placed:
                _draw_edges(panel, view.edges(axis))
            panel.set_title(f"{name}: {view.plane(axis)}, {view.place(axis, position, image.shape)}", fontsize=8)
    figure.suptitle(f"{title}\n{CONVENTION if geometry.is_placed else UNPLACED}", fontsize=9)
    _draw_legend(figure, legend, columns)
    return figure


def best_cuts(segmentation: LabelArray) -> dict[int, int]:
    """For each axis of a turned volume that is worth cutting, the slice with most foreground; the middle one where there is none.

    A cut is worth looking at when both its sides have more than one voxel: a single slice is cut one way only.
    """
    cuts = {}
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        if all(segmentation.shape[other] > 1 for other in others):
            areas = (segmentation > 0).sum(axis=others)
            cuts[axis] = int(areas.argmax()) if areas.any() else segmentation.shape[axis] // 2
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


def _draw_cut(
    panel: Axes, image: FloatArray, segmentation: LabelArray, *, aspect: float, window: tuple[float, float]
) -> None:
    from matplotlib.colors import to_rgba

    settings: dict[str, Any] = {"origin": "upper", "aspect": aspect, "interpolation": "nearest"}
    panel.imshow(image, cmap="gray", vmin=window[0], vmax=window[1], **settings)
    for value in np.unique(segmentation[segmentation > 0]):
        inside = segmentation == value
        fill = np.zeros((*inside.shape, 4))
        fill[inside] = to_rgba(_colour(value), FILL_OPACITY)
        panel.imshow(fill, **settings)
        if min(inside.shape) > 1 and not inside.all():
            panel.contour(inside, levels=[0.5], colors=_colour(value), linewidths=1)
    panel.set_axis_off()


def _draw_edges(panel: Axes, sides: tuple[str, str, str, str]) -> None:
    """The patient's sides, at the top, right, bottom and left of a panel."""
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=2, foreground="black")]
    for side, ((x, y), horizontal, vertical) in zip(sides, EDGES, strict=True):
        place: dict[str, Any] = {"ha": horizontal, "va": vertical, "transform": panel.transAxes}
        panel.text(x, y, side, color="yellow", fontsize=9, fontweight="bold", path_effects=outline, **place)


def _legend(segmentations: Sequence[LabelArray], labels: Sequence[str]) -> dict[int, str]:
    """What the legend says of each label that is there."""
    present = sorted({int(value) for segmentation in segmentations for value in np.unique(segmentation) if value > 0})
    names = {value: f"{value} {labels[value] if value < len(labels) else 'undeclared'}" for value in present}
    if len(segmentations) < 2:
        return names
    reference, prediction = segmentations
    counts = count(prediction, reference, Counted.of(present))
    return {value: f"{name}: Dice {confusion_metrics(counts[value])['Dice']:.3f}" for value, name in names.items()}


def _draw_legend(figure: Figure, legend: Mapping[int, str], columns: int) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=_colour(value), label=text) for value, text in legend.items()]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), fontsize=8)


def _colour(value: int) -> str:
    return COLOURS[(int(value) - 1) % len(COLOURS)]
