"""A picture of the directions: the planes in a case lie across them, and each view is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from autoseg.dataset import Exclusive
from autoseg.geometry import Geometry
from autoseg.plans import Views
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.reporting import views as drawing
from autoseg.reporting.views import plot_views
from autoseg.training.trial import untouched
from autoseg.views.frame import grid_to_space

SHAPE = (8, 20, 16)
SPACING = (3.0, 1.0, 1.0)
TARGET = Exclusive.numbered(2)


def case() -> PreparedCase:
    labels = np.zeros(SHAPE, np.int8)
    labels[2:6, 5:12, 4:10] = 1
    return PreparedCase(
        data=np.random.default_rng(0).standard_normal((1, *SHAPE)).astype(np.float16),
        segmentation=labels,
        foreground={1: np.argwhere(labels == 1)},
        properties=untouched("case", SHAPE, Geometry(spacing=SPACING)),
    )


@pytest.mark.parametrize(
    ("direction", "corners"), [((1.0, 0.0, 0.0), 4), ((3**-0.5,) * 3, 6)], ids=["axis", "diagonal"]
)
def test_a_plane_in_a_box_has_the_corners_that_it_has(direction: Any, corners: int) -> None:
    """Of a cube along an axis a square, across its diagonal a regular hexagon, side by side."""
    edges = drawing._edges(grid_to_space(np.eye(3), (2.0, 2.0, 2.0), (10, 10, 10)), (10, 10, 10))
    found = np.array(drawing._across(edges, direction))

    assert len(edges) == 12 and len(found) == corners
    assert np.abs(found @ direction).max() < 1e-9
    sides = np.linalg.norm(found - np.roll(found, 1, axis=0), axis=1)
    assert sides == pytest.approx(sides[0])
    assert sides[0] == pytest.approx(20 if corners == 4 else 20 / 2**0.5)


@pytest.mark.parametrize("number", [1, 7])
def test_every_view_has_a_panel(number: int, tmp_path: Path) -> None:
    directions = tuple((1.0, 0.0, 0.0) for _ in range(number))
    plot_views(Views(directions=directions, span=20.0), (16, 16), case(), tmp_path / "views.png")

    picture = imread(tmp_path / "views.png")
    height = 4.6 + (2.1 + 0.3) * (1 if number == 1 else 2)
    assert picture.shape[:2] == (round(height * 110), 1386)
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 100
