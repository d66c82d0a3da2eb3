"""Sweeps along directions: a network that echoes what it sees gives the image back, in any frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from autoseg.errors import ModelError, PlanError
from autoseg.geometry import Geometry
from autoseg.inference.fusion import Fusion
from autoseg.inference.fusion_record import source_names
from autoseg.inference.predictor import Predictor
from autoseg.inference.record import model_hash
from autoseg.inference.scorers import sweeps, view_sums
from autoseg.inference.scorers.view_sums import ViewSums
from autoseg.inference.settings import Computation
from autoseg.planning.views import draw_directions
from autoseg.plans import Direction, Views
from autoseg.preprocessing.prepare import CaseProperties, PreparedCase

COMPUTATION = Computation(device="cpu", precision="fp32")
AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


class Echo(nn.Module):
    """Its label is as probable as the image is bright, from 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Size] = []

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.seen.append(tiles.shape)
        return torch.cat([torch.zeros_like(tiles[:, :1]), torch.logit(tiles[:, :1].clamp(1e-6, 1 - 1e-6))], dim=1)


def predictor(
    make: Any, *, span: float, side: int = 32, directions: Sequence[Direction] = AXES, dimensions: int = 2
) -> tuple[Predictor, Echo]:
    patch = (side,) * dimensions
    plans = make.plans(patch=patch)
    (name,) = plans.configurations
    plan = plans.configuration(name)
    sampling = replace(plan.sampling, views=Views(directions=tuple(directions), span=span))
    changed = replace(plan, sampling=sampling, grid=replace(plan.grid, native=True))
    echo = Echo()
    return Predictor(make.model(replace(plans, configurations={name: changed}), echo), COMPUTATION), echo


def prepared(data: np.ndarray, spacing: tuple[float, float, float], number: int | None = None) -> PreparedCase:
    """A case in a frame that is turned and mirrored at random; None leaves it as it is."""
    axes = np.eye(3)
    if number is not None:
        axes = Rotation.random(random_state=number).as_matrix()
        axes = axes * np.random.default_rng(number).choice([-1, 1], 3)
    shape = data.shape[1:]
    return PreparedCase(
        data=data,
        segmentation=None,
        foreground={},
        properties=CaseProperties(
            identifier="echo",
            geometry=Geometry(spacing=spacing, direction=tuple(axes.ravel().tolist())),
            original_shape=shape,
            crop=tuple((0, side) for side in shape),
            transpose_forward=(0, 1, 2),
            cropped_shape=shape,
            spacing=spacing,
            prepared_spacing=spacing,
            prepared_shape=shape,
        ),
    )


def swept(predictor: Predictor, case: PreparedCase) -> np.ndarray:
    slabs = list(predictor.scores(case))
    assert slabs[0].start == 0
    return torch.cat([slab.scores for slab in slabs], dim=1).numpy()


def smooth(shape: tuple[int, int, int]) -> np.ndarray:
    """From 0.1 to 0.9, hardly curved from one voxel to the next."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    return (0.5 + 0.13 * z + 0.1 * y - 0.15 * x)[None].astype(np.float32)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("shape", [(12, 20, 16), (6, 24, 30)])
def test_an_echo_gives_the_image_back(make: Any, number: int, shape: tuple[int, int, int]) -> None:
    """A linear image, which interpolation leaves as it is; where no view looks beyond an edge of the image."""
    spacing = (1.0, 0.8, 1.1)
    case = prepared(smooth(shape), spacing, number)
    directions = draw_directions(np.eye(3), 3, seed=number)

    scores = swept(predictor(make, span=40.0, side=48, directions=directions)[0], case)

    assert scores.shape == (2, *shape)
    assert np.abs(scores.sum(axis=0) - 1).max() < 1e-3
    assert np.abs(scores[1] - case.data[0])[2:-2, 2:-2, 2:-2].max() < 2e-4


@pytest.mark.parametrize("side", [16, 24, 32])
def test_planes_of_any_number_and_chunks_of_any_size_say_the_same(
    make: Any, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = prepared(np.random.default_rng(0).uniform(0.1, 0.9, (1, 9, 14, 11)).astype(np.float32), (1.0, 1.0, 1.0), 3)
    model, _ = predictor(make, span=15.0, side=side, directions=draw_directions(np.eye(3)))
    whole = swept(model, case)
    monkeypatch.setattr(sweeps, "VALUES_AT_ONCE", 3000)
    monkeypatch.setattr(sweeps, "VOXELS_AT_ONCE", 300)
    monkeypatch.setattr(view_sums, "VOXELS_AT_ONCE", 300)
    monkeypatch.setattr(view_sums, "SHARE_OF_MEMORY", 0.0)

    assert np.abs(swept(model, case) - whole).max() < 1e-4, "on disk, too"


def test_the_network_sees_twenty_planes_more_than_pixels(make: Any) -> None:
    model, echo = predictor(make, span=31.0, side=32)
    told: list[tuple[int, int]] = []
    list(model.scores(prepared(smooth((20, 30, 25)), (1.0, 1.0, 1.0)), lambda *parts: told.append(parts)))

    assert {tuple(shape[1:]) for shape in echo.seen} == {(1, 32, 32)}
    assert told[0] == (0, 3 * 52) and told[-1] == (156, 156)
    assert told == sorted(told)


def test_a_case_longer_than_planes_reach_is_swept_by_wider_ones(make: Any) -> None:
    case = prepared(smooth((10, 60, 15)), (1.0, 1.0, 1.0))
    scores = swept(predictor(make, span=31.0, side=32, directions=AXES[:1])[0], case)

    assert np.abs(scores[1] - case.data[0])[2:-2, 2:-2, 2:-2].max() < 1e-3


def test_what_no_view_reaches_is_background(make: Any) -> None:
    case = prepared(np.full((1, 9, 38, 9), 0.9, np.float32), (1.0, 1.0, 1.0))
    scores = swept(predictor(make, span=31.0, side=32, directions=AXES[:1])[0], case)

    assert np.allclose(scores[1, :, 4:-4, 2:-2], 0.9, atol=1e-3)
    assert (scores[1, :, :3] == 0).all() and (scores[0, :, :3] == 1).all()


def test_views_that_miss_a_voxel_have_no_say_in_it(make: Any) -> None:
    """Along y a long case is seen from end to end, along z its ends lie beside the planes."""
    case = prepared(np.full((1, 9, 38, 9), 0.9, np.float32), (1.0, 1.0, 1.0))
    scores = swept(predictor(make, span=31.0, side=32, directions=AXES[:2])[0], case)

    assert np.allclose(scores[1, 2:-2, :, 2:-2], 0.9, atol=1e-3)


def test_boxes_are_swept_as_planes_are(make: Any) -> None:
    case = prepared(smooth((20, 24, 25)), (1.0, 1.0, 1.0), 1)
    model, echo = predictor(make, span=15.0, side=16, directions=draw_directions(np.eye(3), 2), dimensions=3)
    scores = swept(model, case)

    assert {tuple(shape[1:]) for shape in echo.seen} == {(1, 16, 16, 16)}
    assert np.abs(scores[1] - case.data[0])[3:-3, 3:-3, 3:-3].max() < 1e-2


def test_views_are_fused_by_their_weights(make: Any) -> None:
    """Of an image that is 0.9 everywhere, what W and b make is known."""
    case = prepared(np.full((1, 12, 12, 12), 0.9, np.float32), (1.0, 1.0, 1.0))
    model, _ = predictor(make, span=31.0, side=32, directions=AXES[:2])
    fusion = Fusion(
        sources=source_names(model.model.plan.sampling.views), weights=((2.0, 3.0), (0.0, 1.0)), bias=(0.5, -1)
    )
    fused = Predictor(replace(model.model, fusion=fusion), COMPUTATION)

    scores = swept(fused, case)[:, 4, 4, 4]

    expected = np.exp([2 * 0.1 + 0.5, (3 + 1) * 0.9 - 1])
    assert scores == pytest.approx(expected / expected.sum(), abs=2e-3)
    assert model_hash(fused, ()) != model_hash(model, ())


def test_what_each_view_says_alone_comes_beside_all_together(make: Any) -> None:
    """Bit for bit what a model of that view alone predicts, and the network is asked no more often than for all."""
    case = prepared(np.random.default_rng(0).uniform(0.1, 0.9, (1, 9, 14, 11)).astype(np.float32), (1.0, 2.0, 1.0), 3)
    model, echo = predictor(make, span=15.0, side=16, directions=draw_directions(np.eye(3), 3))
    together = model.predict_prepared(case, probabilities=True)
    echo.seen.clear()
    model.predict_prepared(case)
    asked, echo.seen = echo.seen, []
    *views, last = model.predict_views(case)

    assert echo.seen == asked and len(views) == 3
    alone = [model.along(number).predict_prepared(case, probabilities=True) for number in range(3)]
    for one, other in zip([*views, last], [*alone, together], strict=True):
        assert np.array_equal(one.segmentation, other.segmentation)
        assert one.probabilities is not None and other.probabilities is not None
        assert np.array_equal(one.probabilities.unpacked(), other.probabilities.unpacked())
    assert len({model_hash(one, ()) for one in (model, *map(model.along, range(3)))}) == 4


def test_without_views_none_is_predicted_alone(make: Any) -> None:
    plans = make.plans(patch=(16, 16))
    model = Predictor(make.model(plans, Echo()), COMPUTATION)
    case = prepared(smooth((6, 24, 30)), (1.0, 1.0, 1.0))
    with pytest.raises(ModelError, match=r"looks along no directions that could be predicted alone"):
        list(model.predict_views(case))
    with pytest.raises(PlanError, match=r": looks along no directions"):
        model.along(0)


def test_nan_is_told_wherever_it_is_said(make: Any) -> None:
    """Sums of whole numbers would hide it."""

    class Broken(Echo):
        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            return super().forward(tiles) * torch.nan

    model, _ = predictor(make, span=15.0, side=16)
    broken = Predictor(replace(model.model, networks=(Broken(),)), COMPUTATION)
    with pytest.raises(ModelError, match=r"case echo: the network returned NaN; try `precision=fp32`"):
        swept(broken, prepared(smooth((6, 24, 30)), (1.0, 1.0, 1.0)))


def add(sums: ViewSums, view: int, places: list[int], values: list[list[float]]) -> None:
    for channel, said in enumerate(values):
        sums.add(view, channel, torch.tensor(places), torch.tensor(said))


class TestSums:
    def test_of_views_are_means_of_those_that_say_something(self) -> None:
        sums = ViewSums((1, 1, 3), torch.full((2, 2), 0.5))
        add(sums, 0, [0, 1], [[0.25, 1.0], [0.5, 0.125]])
        add(sums, 1, [1], [[0.0], [1.0]])
        reached = torch.tensor([[True, True, False], [False, True, False]])

        ((start, found),) = sums.averages(lambda _: reached, torch.tensor([1.0, 0.0]))

        assert start == 0
        assert found[:, 0, 0].numpy() == pytest.approx(np.array([[0.25, 0.5, 1], [0.5, 0.5625, 0]]), abs=1e-4)

    def test_views_have_their_shares_in_each_value(self) -> None:
        sums = ViewSums((1, 1, 2), torch.tensor([[0.9, 0.0], [0.1, 1.0]]))
        add(sums, 0, [0, 1], [[1.0, 1.0], [1.0, 1.0]])
        add(sums, 1, [0], [[0.5], [0.25]])

        ((_, found),) = sums.averages(lambda _: torch.tensor([[True, True], [True, False]]), torch.tensor([0.0, 0.75]))

        assert found[:, 0, 0].numpy() == pytest.approx(np.array([[0.95, 1.0], [0.25, 0.75]]), abs=1e-4)

    def test_take_two_bytes_a_value(self) -> None:
        assert ViewSums((4, 5, 6), torch.full((6, 3), 1 / 6))._codes.nbytes == 2 * 3 * 4 * 5 * 6

    def test_of_many_views_do_not_overflow(self) -> None:
        sums = ViewSums((1, 1, 1), torch.full((100, 1), 0.01))
        for view in range(100):
            add(sums, view, [0], [[1.0]])
        ((_, found),) = sums.averages(lambda _: torch.ones(100, 1, dtype=torch.bool), torch.zeros(1))

        assert found.item() == pytest.approx(1, abs=1e-3)
