"""Overlay pictures: each case cut where most of its labels are, with the labels drawn over the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autoseg.dataset import IMAGE_ENDINGS, Case
from autoseg.errors import DatasetError
from autoseg.geometry import Spacing
from autoseg.imageio import read_case
from autoseg.parallel import run_on_cases
from autoseg.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
LabelArray: TypeAlias = npt.NDArray[np.integer[Any]]

PLANES = ("axial", "coronal", "sagittal")
"""What is seen when axis 0, 1 or 2 is cut through, for images stored slice by slice from the feet up."""

WINDOW_PERCENTILES = (1, 99)
"""Grey values that become black and white: single bright voxels must not darken the rest."""

COLOURS = ("tab:red", "tab:green", "tab:blue", "gold", "tab:purple", "tab:cyan", "tab:orange", "tab:pink", "tab:olive")
FILL_OPACITY = 0.3
PANEL_INCHES = 3.2
DOTS_PER_INCH = 110


def plot_cases(
    cases: Sequence[Case],
    output: Path,
    *,
    labels: Sequence[str],
    predictions: Path | None = None,
    channel: int = 0,
    workers: int,
) -> list[Path]:
    """Write `output/<case>.png` for each case and return the paths.

    Args:
        labels: Label names, the index is the value.
        predictions: Folder of `<case>.nii.gz`, drawn in a row of their own.
        channel: Which channel of the image to show.

    Raises:
        CasesFailed: Naming each case that cannot be read or drawn; the others are done.
    """
    plot = partial(_plot_case, output=output, labels=tuple(labels), predictions=predictions, channel=channel)
    return run_on_cases(plot, cases, task="drawing", workers=workers)


def _plot_case(case: Case, *, output: Path, labels: tuple[str, ...], predictions: Path | None, channel: int) -> Path:
    shown = replace(case, images=(case.images[channel],))
    raw = read_case(shown)
    rows = {"reference": raw.segmentation}
    if predictions is not None:
        predicted = read_case(replace(shown, segmentation=_prediction(predictions, case.identifier)))
        rows["prediction"] = predicted.segmentation
    segmentations = {name: segmentation for name, segmentation in rows.items() if segmentation is not None}
    path = output / f"{case.identifier}.png"
    figure = draw_overlay(
        raw.data[0], segmentations, spacing=raw.geometry.spacing, labels=labels, title=case.identifier
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH)
    return path


def draw_overlay(
    image: FloatArray,
    segmentations: Mapping[str, LabelArray],
    *,
    spacing: Spacing,
    labels: Sequence[str],
    title: str,
) -> Figure:
    """Draw one row of cuts for each segmentation, all cut at the same places.

    Args:
        image: `(Z, Y, X)`.
        segmentations: Title of the row to `(Z, Y, X)` labels on the image's grid; none draws the image alone.
        spacing: Voxel size in mm, which gives the pixels their aspect.
        labels: Label names, the index is the value.
    """
    from matplotlib.figure import Figure

    cuts = best_cuts(next(iter(segmentations.values()), np.zeros(image.shape, np.uint8)))
    rows = dict(segmentations) or {"image": np.zeros(image.shape, np.uint8)}
    figure = Figure(figsize=(PANEL_INCHES * len(cuts), PANEL_INCHES * len(rows) + 0.8), layout="constrained")
    grid = figure.subplots(len(rows), len(cuts), squeeze=False)
    window = grey_window(image)
    for axes, (name, segmentation) in zip(grid, rows.items(), strict=True):
        for panel, (axis, position) in zip(axes, cuts.items(), strict=True):
            cut, labelled = (np.moveaxis(volume, axis, 0)[position] for volume in (image, segmentation))
            _draw_cut(panel, cut, labelled, axis, spacing, window)
            panel.set_title(f"{name}: {PLANES[axis]}, slice {position}", fontsize=8)
    figure.suptitle(title)
    _draw_legend(figure, rows.values(), labels)
    return figure


def best_cuts(segmentation: LabelArray) -> dict[int, int]:
    """For each axis that is worth cutting, the slice with most foreground; the middle one where there is none.

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


def _draw_cut(
    panel: Axes,
    image: FloatArray,
    segmentation: LabelArray,
    axis: int,
    spacing: Spacing,
    window: tuple[float, float],
) -> None:
    from matplotlib.colors import to_rgba

    rows, columns = (side for other, side in enumerate(spacing) if other != axis)
    origin: Any = "upper" if axis == 0 else "lower"
    settings: dict[str, Any] = {"origin": origin, "aspect": rows / columns, "interpolation": "nearest"}
    panel.imshow(image, cmap="gray", vmin=window[0], vmax=window[1], **settings)
    for value in np.unique(segmentation[segmentation > 0]):
        inside = segmentation == value
        fill = np.zeros((*inside.shape, 4))
        fill[inside] = to_rgba(_colour(value), FILL_OPACITY)
        panel.imshow(fill, **settings)
        if not inside.all():
            panel.contour(inside, levels=[0.5], colors=_colour(value), linewidths=1)
    panel.set_axis_off()


def _draw_legend(figure: Figure, segmentations: Any, labels: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    present = sorted({int(value) for segmentation in segmentations for value in np.unique(segmentation) if value > 0})
    names = {value: labels[value] if value < len(labels) else "undeclared" for value in present}
    handles = [Patch(color=_colour(value), label=f"{value} {name}") for value, name in names.items()]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), fontsize=8)


def _colour(value: int) -> str:
    return COLOURS[(int(value) - 1) % len(COLOURS)]


def _prediction(folder: Path, identifier: str) -> Path:
    for ending in IMAGE_ENDINGS:
        if (path := folder / f"{identifier}{ending}").is_file():
            return path
    raise DatasetError(f"{folder}: no prediction {identifier}.nii.gz here; predict this case first")
