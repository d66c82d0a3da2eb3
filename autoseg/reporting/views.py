"""A picture of the directions that volumes are looked along: on a sphere, as planes in a case, and what is seen on those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from autoseg.arrays import Array, Float64Array
from autoseg.dataset.coding import is_foreground
from autoseg.files.storage import atomic_path
from autoseg.files.task_folder import TaskFolder
from autoseg.geometry import Shape
from autoseg.plans import Direction, Plans, Views
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.store import PreparedCases
from autoseg.reporting.drawing import colour_at, grey_window
from autoseg.training.sampling.regions import learned_labels
from autoseg.views.background import background_values
from autoseg.views.cutting import cut_linear, cut_nearest
from autoseg.views.frame import Pixels, Placement, axes_along, case_to_space, pixel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 6
PANEL_INCHES, SOLID_INCHES = 2.1, 4.6
DOTS_PER_INCH = 110
SIDES = ("head", "back", "left")
"""Where z, y and x point in the patient."""

LOOKED_FROM = {"elev": 24, "azim": -52}
"""Degrees: above the horizontal plane, and around."""

OPACITY = 0.25


def plot_views(views: Views, patch_size: Shape, case: PreparedCase, path: Path) -> None:
    """Draw them into a PNG.

    Args:
        patch_size: Pixels of a plane, or of a box, whose middle plane is shown.
        case: Any one, of the grid that the views are planned for; planes go through its middle.
    """
    from matplotlib.figure import Figure

    lines = math.ceil(len(views.directions) / COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL_INCHES, SOLID_INCHES + lines * (PANEL_INCHES + 0.3)), layout="constrained")
    figure.get_layout_engine().set(hspace=0.02)  # type: ignore[union-attr, call-arg]
    solids, panels = figure.subfigures(
        2, 1, squeeze=False, height_ratios=[SOLID_INCHES, lines * (PANEL_INCHES + 0.3)]
    ).ravel()
    _draw_sphere(solids, views.directions)
    _draw_case(solids, views, case)
    axes = panels.subplots(lines, COLUMNS, squeeze=False).ravel()
    for number, panel in enumerate(axes):
        panel.set_axis_off()
        if number < len(views.directions):
            _draw_plane(panel, number, views, patch_size, case)
    named = case.properties.identifier
    panels.suptitle(f"the planes through the middle of {named}, as the network sees them; labels outlined", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH)


def plot_task_views(task: TaskFolder, all_plans: Sequence[Plans]) -> Path | None:
    """Draw the directions of a task's plans beside where they are listed; None where there are none, or no prepared case.

    Raises:
        StorageError: The prepared case is damaged.
    """
    for plans in all_plans:
        for plan in plans.configurations.values():
            cases = PreparedCases(task.prepared(plan.prepared_as, plans.identifier))
            if plan.sampling.views is not None and (identifiers := cases.identifiers()):
                case = cases.load(identifiers[0])
                plot_views(plan.sampling.views, plan.sampling.patch_size, case, task.views_picture)
                return task.views_picture
    return None


def _draw_sphere(figure: Any, directions: Sequence[Direction]) -> None:
    axes = _solid(figure, 1, "the directions, across which planes are cut, on a sphere")
    longitude, latitude = np.meshgrid(np.linspace(0, 2 * np.pi, 37), np.linspace(-np.pi / 2, np.pi / 2, 19))
    x, y, z = np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)
    axes.plot_wireframe(x, y, z, color="lightgrey", linewidth=0.4)
    for side, end in zip(SIDES, np.eye(3), strict=True):
        axes.text(*_drawn(1.3 * end), side, fontsize=8, ha="center", va="center", color="dimgrey")
        axes.plot(*np.stack([_drawn(-end), _drawn(1.15 * end)], axis=1), color="grey", linewidth=0.6)
    for number, direction in enumerate(directions):
        end, colour = np.array(direction), colour_at(number)
        axes.plot(*np.stack([_drawn(-end), _drawn(end)], axis=1), color=colour, linewidth=1.6)
        axes.scatter(*_drawn(end), color=colour, s=28, depthshade=False)
        axes.text(
            *_drawn(1.17 * end), str(number + 1), color=colour, fontsize=10, weight="bold", ha="center", va="center"
        )
    axes.set_box_aspect((1, 1, 1), zoom=1.35)


def _draw_case(figure: Any, views: Views, case: PreparedCase) -> None:
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    axes = _solid(figure, 2, f"a plane across each in a case, {views.span:.4g} mm wide at most")
    space, shape = case_to_space(case.properties), case.data.shape[1:]
    edges = _edges(space, shape)
    for start, stop in edges:
        axes.plot(*np.stack([_drawn(start), _drawn(stop)], axis=1), color="grey", linewidth=0.8)
    for number, direction in enumerate(views.directions):
        outline = [_drawn(corner) for corner in _across(edges, direction)]
        axes.add_collection3d(
            Poly3DCollection([outline], facecolor=colour_at(number), edgecolor=colour_at(number), alpha=OPACITY)
        )
    corners = np.abs(np.array(edges)).max(axis=(0, 1))
    for side, end in zip(SIDES, np.diag(corners), strict=True):
        axes.text(*_drawn(1.4 * end), side, fontsize=8, ha="center", va="center", color="dimgrey")
    axes.set_box_aspect(tuple(_drawn(corners)), zoom=1.25)


def _draw_plane(panel: Axes, number: int, views: Views, patch_size: Shape, case: PreparedCase) -> None:
    pixel, (rows, columns) = pixel_of(views, patch_size), patch_size[-2:]
    box = Pixels(direction=views.directions[number], centre=(0, 0, 0), spacing=(pixel,) * 3, shape=(1, rows, columns))
    placement = case_to_space(case.properties).inverse.after(box.to_space)
    outside = torch.from_numpy(background_values(case.data))
    (image, *_) = cut_linear(torch.from_numpy(np.asarray(case.data)), placement, box.shape, outside=outside).numpy()
    low, high = grey_window(image)
    panel.imshow(image[0], cmap="gray", vmin=low, vmax=high)
    labelled = np.zeros((rows, columns))
    for labels, beyond in learned_labels(case, np.random.default_rng(0)):
        cut = cut_nearest(
            torch.from_numpy(np.asarray(labels)[None]), placement, box.shape, outside=torch.tensor([beyond])
        )
        labelled[is_foreground(cut.numpy()[0, 0])] = 1
    if labelled.any():
        panel.contour(labelled, levels=[0.5], colors=["gold"], linewidths=0.9)
    z, y, x = views.directions[number]
    panel.set_title(f"{number + 1}: z {z:.2f}, y {y:.2f}, x {x:.2f}", fontsize=8, color=colour_at(number))


def _solid(figure: Any, place: int, title: str) -> Any:
    axes = figure.add_subplot(1, 2, place, projection="3d")
    axes.set_title(title, fontsize=9)
    axes.view_init(**LOOKED_FROM)
    axes.set_axis_off()
    return axes


def _drawn(point: Float64Array) -> Array:
    """From `(z, y, x)` to matplotlib's order."""
    return np.asarray(point)[::-1]


def _edges(space: Placement, shape: Shape) -> list[tuple[Float64Array, Float64Array]]:
    """The twelve edges of a grid, mm."""
    edges = []
    for axis in range(3):
        for others in product((-0.5, 0.5), repeat=2):
            ends = []
            for end in (-0.5, 0.5):
                corner = list(others)
                corner.insert(axis, end)
                index = (np.array(shape) - 1) / 2 + np.array(corner) * shape
                ends.append(space(index))
            edges.append((ends[0], ends[1]))
    return edges


def _across(edges: Sequence[tuple[Float64Array, Float64Array]], direction: Direction) -> list[Float64Array]:
    """The corners, in order, of the plane through the middle of a box of these edges."""
    _, rows, columns = axes_along(direction).T
    corners = []
    for start, stop in edges:
        low, high = float(start @ direction), float(stop @ direction)
        if low * high < 0:
            corners.append(start + (stop - start) * low / (low - high))
    return sorted(corners, key=lambda corner: math.atan2(float(corner @ columns), float(corner @ rows)))
