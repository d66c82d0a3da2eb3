"""Plans and raw cases of a few voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from small_plans import unet_plan

from autoseg.dataset.raw_cases import RawCase
from autoseg.geometry import Geometry
from autoseg.plans import IntensityStatistics, Plans

OBLIQUE = (0.96, 0.28, 0.0, -0.28, 0.96, 0.0, 0.0, 0.0, 1.0)


class MakePlans(Protocol):
    def __call__(
        self,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        *,
        name: str = "3d_fullres",
        order: tuple[int, int, int] = (0, 1, 2),
        schemes: Sequence[str] = ("noNorm",),
        masks: Sequence[bool] = (False,),
        intensities: tuple[IntensityStatistics | None, ...] | None = None,
        labels: int = 3,
        median_shape: tuple[int, int, int] = (16, 16, 16),
    ) -> Plans: ...


class MakeCase(Protocol):
    def __call__(
        self,
        shape: tuple[int, int, int] = (12, 16, 14),
        *,
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        channels: int = 1,
        border: Sequence[int] = (0, 0, 0),
        labelled: bool = True,
    ) -> RawCase: ...


@pytest.fixture(scope="session")
def make_plans() -> MakePlans:
    """Factory of plans with one configuration; `spacing` is in the transposed order `order` gives."""

    def make(spacing: Sequence[float] = (1.0, 1.0, 1.0), **changes: Any) -> Plans:
        given = {
            "name": "3d_fullres",
            "order": (0, 1, 2),
            "schemes": ("noNorm",),
            "masks": (False,),
            "intensities": None,
            "labels": 3,
            "median_shape": (16, 16, 16),
        } | changes
        dimensions = 2 if given["name"] == "2d" else 3
        configuration = unet_plan(
            name=given["name"],
            spacing=tuple(spacing),
            median_shape=given["median_shape"],
            patch_size=(8,) * dimensions,
            batch_size=2,
            poolings=((2,) * dimensions,),
            kernels=((3,) * dimensions,) * 2,
            in_plane=False,
            normalisation=tuple(given["schemes"]),
            masked=tuple(given["masks"]),
            batch_dice=False,
            previous=None,
            network="unet",
            features=4,
            max_features=8,
            convs_per_stage=1,
        )
        return Plans(
            format=2,
            version="0",
            identifier="autoseg",
            planner="Planner3D",
            dataset="Task001_Balls",
            channels=tuple(f"channel {number}" for number in range(len(given["schemes"]))),
            labels=("background", *(f"label {value}" for value in range(1, given["labels"]))),
            transpose_forward=given["order"],
            transpose_backward=tuple(given["order"].index(axis) for axis in range(3)),
            intensities=given["intensities"],
            configurations={given["name"]: configuration},
        )

    return make


@pytest.fixture(scope="session")
def make_case() -> MakeCase:
    """Factory of oblique cases: two nested ellipsoids (labels 1 and 2) in positive noise, zero in a border if wanted."""

    def make(
        shape: tuple[int, int, int] = (12, 16, 14),
        *,
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        channels: int = 1,
        border: Sequence[int] = (0, 0, 0),
        labelled: bool = True,
    ) -> RawCase:
        inner = tuple(slice(edge, size - edge) for edge, size in zip(border, shape, strict=True))
        radius = sum(axis**2 for axis in np.ogrid[tuple(slice(-1, 1, size * 1j) for size in shape)])
        segmentation = np.where(radius < 0.1, 2, np.where(radius < 0.4, 1, 0)).astype(np.uint8)
        data = np.zeros((channels, *shape), dtype=np.float32)
        noise = np.random.default_rng(0).uniform(1, 2, data.shape)
        data[(slice(None), *inner)] = (noise + 10 * segmentation)[(slice(None), *inner)]
        return RawCase(
            identifier="liver_012",
            data=data,
            segmentation=segmentation if labelled else None,
            geometry=Geometry(spacing=spacing, origin=(-3.5, 12.25, 8.0), direction=OBLIQUE),
        )

    return make
