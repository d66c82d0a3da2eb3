"""A tiny task: bright balls in noise, on a two-level network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_plans import unet_plan

from autoseg.geometry import Geometry
from autoseg.images import write_image
from autoseg.plans import ConfigurationPlan, Plans
from autoseg.preprocessing.label_arrays import sample_foreground
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.trial import untouched

CASES = tuple(f"ball_{number}" for number in range(6))
SHAPE = (14, 18, 16)


def ball_case(identifier: str, seed: int) -> PreparedCase:
    """A ball of label 1 with a core of label 2, each brighter than what is around it."""
    generator = np.random.default_rng(seed)
    centre = generator.uniform(6, 9, size=3)
    distance = np.linalg.norm(np.indices(SHAPE).T - centre, axis=-1).T
    segmentation = (distance < 5).astype(np.int16) + (distance < 3)
    data = segmentation * 1.5 + generator.normal(0, 0.15, SHAPE)
    segmentation[0, :2] = -1
    geometry = Geometry(spacing=(1.0, 1.0, 1.0))
    return PreparedCase(
        data=data[None].astype(np.float32),
        segmentation=segmentation,
        foreground=sample_foreground(segmentation, range(1, 3)),
        properties=untouched(identifier, SHAPE, geometry),
    )


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> PreparedCases:
    cases = PreparedCases(tmp_path_factory.mktemp("prepared"))
    for number, identifier in enumerate(CASES):
        cases.save(ball_case(identifier, number), "signature")
    return cases


@pytest.fixture(scope="session")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    for number, identifier in enumerate(CASES):
        case = ball_case(identifier, number)
        assert case.segmentation is not None
        write_image(folder / f"{identifier}.nii.gz", case.segmentation.clip(min=0), case.properties.geometry)
    return folder


def _plan(name: str = "3d_fullres", **changes: Any) -> ConfigurationPlan:
    patch = (12, 8) if name == "2d" else (8, 12, 8)
    return unet_plan(
        name, **{"patch_size": patch, "median_shape": SHAPE, "batch_size": 3, "convs_per_stage": 2} | changes
    )


def _plans(*configurations: ConfigurationPlan) -> Plans:
    return Plans(
        format=2,
        version="test",
        identifier="autoseg",
        planner="Planner3D",
        dataset="Task900_Balls",
        channels=("MRI",),
        labels=("background", "shell", "core"),
        transpose_forward=(0, 1, 2),
        transpose_backward=(0, 1, 2),
        intensities=None,
        configurations={configuration.name: configuration for configuration in configurations},
    )


@pytest.fixture(scope="session")
def plans() -> Plans:
    return _plans(_plan(), _plan("2d", batch_dice=True))


@pytest.fixture(scope="session")
def other_plans() -> Plans:
    return _plans(_plan(batch_dice=True))
