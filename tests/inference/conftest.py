"""Small plans, and networks whose answer is known without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
from small_plans import unet_plan
from torch import nn

from autoseg.inference.model import TrainedModel
from autoseg.plans import Plans

BRIGHTNESS_STEP = 100.0
"""Brightness of label 1 in the synthetic tasks; label k has k times as much."""


@pytest.fixture(params=[1, 2, 3, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many torch computes with."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class Reader(nn.Module):
    """Reads the label from the brightness of the first channel, with almost certain scores."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("brightness", BRIGHTNESS_STEP * torch.arange(classes))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        brightness = self.brightness.reshape(1, -1, *[1] * (tiles.ndim - 2))
        return -(((tiles[:, :1] - brightness) / 10) ** 2)


class Constant(nn.Module):
    """Returns the same logits `(K, *patch)` for every tile."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(tiles), *self.logits.shape)


@dataclass(frozen=True)
class Make:
    """Factories of plans and models."""

    def plans(
        self,
        *,
        patch: tuple[int, ...] = (8, 8, 8),
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        channels: Sequence[str] = ("MRI",),
        labels: Sequence[str] = ("background", "ball"),
        order: tuple[int, int, int] = (0, 1, 2),
        previous: str | None = None,
    ) -> Plans:
        """Plans with one configuration, intensities as they are."""
        name = "2d" if len(patch) == 2 else "3d_cascade_fullres" if previous else "3d_fullres"
        plan = unet_plan(
            name=name,
            spacing=spacing,
            median_shape=(16, 16, 16),
            patch_size=patch,
            batch_size=2,
            poolings=((2,) * len(patch),),
            kernels=((3,) * len(patch),) * 2,
            in_plane=False,
            normalisation=("noNorm",) * len(channels),
            masked=(False,) * len(channels),
            batch_dice=False,
            previous=None,
            network="unet",
            features=4,
            max_features=8,
            convs_per_stage=1,
        )
        return Plans(
            format=2,
            version="0.1.0",
            identifier="autoseg",
            planner="Planner3D",
            dataset="Task001_Balls",
            channels=tuple(channels),
            labels=tuple(labels),
            transpose_forward=order,
            transpose_backward=tuple(order.index(axis) for axis in range(3)),
            intensities=None,
            configurations={name: plan},
        )

    def model(self, plans: Plans, *networks: nn.Module, mirror_axes: tuple[int, ...] = ()) -> TrainedModel:
        """A model of the plans' only configuration; without networks the reader of brightness."""
        (configuration,) = plans.configurations
        return TrainedModel(
            plans=plans,
            configuration=configuration,
            networks=networks or (Reader(len(plans.labels)),),
            mirror_axes=mirror_axes,
            folds=tuple(str(number) for number in range(max(1, len(networks)))),
        )

    @property
    def constant(self) -> Callable[[torch.Tensor], nn.Module]:
        return Constant


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()
