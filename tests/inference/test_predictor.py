"""The predictor: a network with perfect scores gives the labels back, folds and mirrors are averaged as published."""

from __future__ import annotations

from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.dataset.raw_cases import RawCase
from autoseg.errors import DatasetError, ModelError
from autoseg.geometry import Geometry
from autoseg.inference import memory
from autoseg.inference.model import WeightsFile, save_weights
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation
from autoseg.plans import save_plans
from autoseg.preprocessing.prepare import prepare_case, restore_segmentation

GEOMETRY = Geometry(
    spacing=(2.0, 1.0, 1.0), origin=(3.0, -40.5, 7.25), direction=(0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
)


def labelled_image(shape: tuple[int, ...], *, labels: int, border: tuple[int, ...] = (0, 0, 0)) -> np.ndarray:
    """Boxes of every label at a brightness of 100 each, over a brightness of 1; exactly zero in the border."""
    generator = np.random.default_rng(0)
    image = np.ones(shape, np.float32)
    for label in range(1, labels + 1):
        start = [int(generator.integers(side // 2)) for side in shape]
        image[tuple(slice(first, first + side // 3 + 1) for first, side in zip(start, shape, strict=True))] = (
            100 * label
        )
    inside = np.zeros(shape, bool)
    inside[tuple(slice(width, side - width) for width, side in zip(border, shape, strict=True))] = True
    return np.where(inside, image, 0)[None].astype(np.float32)


@pytest.mark.parametrize("patch", [(8, 8, 8), (4, 16, 8), (8, 8)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("mode", ["normal", "fast"])
def test_perfect_scores_give_the_labels_back_to_the_voxel(
    make: Any, patch: tuple[int, ...], order: tuple[int, int, int], mode: Any
) -> None:
    """With a border that is cropped, transposed axes, tiles and mirrors, in 2D and 3D."""
    spacing = tuple(GEOMETRY.spacing[axis] for axis in order)
    plans = make.plans(patch=patch, spacing=spacing, order=order, labels=("background", "a", "b", "c"))
    image = labelled_image((13, 22, 17), labels=3, border=(2, 3, 1))
    model = make.model(plans, mirror_axes=tuple(range(len(patch))))

    prediction = Predictor(model, Computation(device="cpu", precision="fp32", mode=mode)).predict(image, GEOMETRY)

    np.testing.assert_array_equal(prediction.segmentation, np.rint(image[0] / 100))
    assert prediction.segmentation.dtype == np.uint8
    assert prediction.geometry == GEOMETRY
    assert prediction.probabilities is None


def test_perfect_scores_on_another_grid_give_the_shapes_back(make: Any) -> None:
    plans = make.plans(spacing=(1.0, 0.8, 0.9), labels=("background", "ball"))
    grid = np.stack(np.meshgrid(*map(np.arange, (20, 40, 36)), indexing="ij"))
    distance = np.sqrt((((grid.T - np.array([10, 20, 18])) * GEOMETRY.spacing) ** 2).sum(axis=-1)).T
    truth = distance < 12
    image = np.clip(100 * (12.5 - distance), 1, 100).astype(np.float32)[None]

    predicted = Predictor(make.model(plans), Computation(device="cpu")).predict(image, GEOMETRY).segmentation

    assert 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()) > 0.97


def random_logits(seed: int, patch: tuple[int, ...] = (8, 8, 8)) -> torch.Tensor:
    return torch.randn(2, *patch, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("mirror_axes", "mirror"), [((0, 1, 2), True), ((2,), True), ((), True), ((0, 1, 2), False)])
def test_scores_are_the_mean_over_folds_and_all_flips(make: Any, mirror_axes: tuple[int, ...], mirror: bool) -> None:
    fields = [random_logits(0), random_logits(1)]
    model = make.model(make.plans(), *map(make.constant, fields), mirror_axes=mirror_axes)
    predictor = Predictor(model, Computation(device="cpu", precision="fp32", mirror=mirror))
    prepared = predictor.prepare(
        RawCase(
            identifier="a",
            data=np.ones((1, 8, 8, 8), np.float32),
            segmentation=None,
            geometry=Geometry(spacing=(1, 1, 1)),
        )
    )

    (slab,) = predictor.scores(prepared)

    axes = mirror_axes if mirror else ()
    flips = list(chain.from_iterable(combinations(axes, number) for number in range(len(axes) + 1)))
    expected = [field.double().softmax(0).flip([axis + 1 for axis in flip]) for field in fields for flip in flips]
    assert len(expected) == 2 * 2 ** len(axes)
    torch.testing.assert_close(slab.scores.double(), torch.stack(expected).mean(dim=0), rtol=0, atol=1e-6)


def test_mirrors_of_a_2d_network_are_those_of_the_slice(make: Any) -> None:
    field = random_logits(0, (8, 8))
    model = make.model(make.plans(patch=(8, 8)), make.constant(field), mirror_axes=(1,))
    predictor = Predictor(model, Computation(device="cpu", precision="fp32"))
    raw = RawCase(
        identifier="a", data=np.ones((1, 3, 8, 8), np.float32), segmentation=None, geometry=Geometry(spacing=(1, 1, 1))
    )

    scores = torch.cat([slab.scores for slab in predictor.scores(predictor.prepare(raw))], dim=1)

    expected = (field.softmax(0) + field.softmax(0).flip(2)) / 2
    torch.testing.assert_close(scores, expected[:, None].expand(2, 3, 8, 8))


def test_tiles_are_batched_as_memory_permits(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Counting(nn.Module):
        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            if tiles.device.type != "meta":  # where it is only counted what it takes
                seen.append(len(tiles))
            return torch.cat([tiles, -tiles], dim=1)

    monkeypatch.setattr(memory, "BATCH_VOXELS", {"cpu": 5 * 8 * 8})
    predictor = Predictor(make.model(make.plans(patch=(8, 8)), Counting()), Computation(device="cpu", mirror=False))

    predictor.predict(np.random.default_rng(0).random((1, 12, 8, 8), np.float32), Geometry(spacing=(1, 1, 1)))

    assert seen == [5, 5, 2]


def test_probabilities_are_those_the_labels_come_from(make: Any) -> None:
    plans = make.plans(spacing=(1.0, 0.8, 0.9), labels=("background", "a", "b"))
    image = labelled_image((13, 22, 17), labels=2, border=(2, 3, 1))

    prediction = Predictor(make.model(plans), Computation(device="cpu")).predict(image, GEOMETRY, probabilities=True)

    assert prediction.probabilities is not None
    dense = prediction.probabilities.unpacked()
    assert dense.shape == (3, 13, 22, 17)
    np.testing.assert_allclose(dense.sum(axis=0), 1, atol=1e-3)
    assert (dense.argmax(axis=0) == prediction.segmentation).mean() > 0.999
    assert prediction.probabilities.geometry == GEOMETRY


def test_fast_mode_takes_the_labels_before_resampling(make: Any) -> None:
    plans = make.plans(spacing=(1.0, 0.8, 0.9), labels=("background", "a", "b"))
    image = labelled_image((13, 22, 17), labels=2)
    predictor = Predictor(make.model(plans), Computation(device="cpu", mode="fast"))
    raw = RawCase(identifier="a", data=image, segmentation=None, geometry=GEOMETRY)
    prepared = prepare_case(raw, plans, "3d_fullres")

    prediction = predictor.predict_prepared(prepared)

    on_network_grid = np.rint(prepared.data[0] / 100).clip(0, 2).astype(np.uint8)
    np.testing.assert_array_equal(prediction.segmentation, restore_segmentation(on_network_grid, prepared.properties))
    with pytest.raises(ModelError, match="mode fast takes the labels before anything is resampled; use mode normal"):
        predictor.predict_prepared(prepared, probabilities=True)


def test_a_network_with_deep_supervision_counts_at_full_resolution(make: Any) -> None:
    class Deep(nn.Module):
        def forward(self, tiles: torch.Tensor) -> list[torch.Tensor]:
            scores = torch.cat([50 - tiles, tiles - 50], dim=1)
            return [scores, -scores[..., ::2, ::2, ::2]]

    image = labelled_image((8, 9, 10), labels=1)

    prediction = Predictor(make.model(make.plans(), Deep()), Computation(device="cpu")).predict(
        image, Geometry(spacing=(1, 1, 1))
    )

    np.testing.assert_array_equal(prediction.segmentation, image[0] > 50)


def test_nothing_of_the_network_is_trained_or_left_in_training_mode(make: Any) -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.Dropout(0.5)).train()
    predictor = Predictor(make.model(make.plans(), network), Computation(device="cpu"))
    image = np.random.default_rng(0).random((1, 8, 8, 8), dtype=np.float32)

    first, again = (predictor.predict(image, GEOMETRY, probabilities=True).probabilities for _ in range(2))

    assert first is not None
    assert again is not None
    assert first.content.tobytes() == again.content.tobytes()


@pytest.mark.parametrize("kind", ["float64", ">f4", "int16", "uint8"])
def test_an_array_of_any_numbers_is_taken_and_left_as_it_is(make: Any, kind: str) -> None:
    """On the model's own grid, where nothing is resampled that would make a new array."""
    predictor = Predictor(make.model(make.plans(spacing=GEOMETRY.spacing)), Computation(device="cpu"))
    image = labelled_image((8, 9, 10), labels=1).astype(kind)
    before = image.copy()

    predicted = predictor.predict(image, GEOMETRY).segmentation

    np.testing.assert_array_equal(predicted, before[0] > 50)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(8, 9, 10), (9, 10), (1, 1, 8, 9, 10)])
def test_an_array_with_other_axes_is_refused_with_the_way_out(make: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(DatasetError) as error:
        Predictor(make.model(make.plans()), Computation(device="cpu")).predict(np.ones(shape, np.float32), GEOMETRY)

    assert str(error.value) == (
        f"case image: expected an array with the axes (C, Z, Y, X), found the shape {shape}; "
        "one channel is given as data[None], a single slice as data[None, None]"
    )


def test_a_predictor_of_a_folder_has_its_networks_and_the_settings_given(make: Any, tmp_path: Path) -> None:
    def build_constant(plan: Any, _channels: int, classes: int) -> nn.Module:
        return make.constant(torch.zeros(classes, *plan.sampling.patch_size))

    plans = make.plans()
    save_plans(plans, tmp_path / "plans.pkl")
    for fold, logits in enumerate([(0.0, 1.0), (0.0, 3.0), (2.0, 0.0)]):
        network = make.constant(torch.tensor(logits).reshape(2, 1, 1, 1).expand(2, 8, 8, 8))
        name = "final" if fold < 2 else "best"
        file = WeightsFile(
            trainer="Mine", custom_network=True, mirror_axes=(0,), epoch=1, weights=dict(network.state_dict())
        )
        save_weights(tmp_path / f"fold_{fold}" / f"weights_{name}.pt", file)
    image, settings = np.ones((1, 8, 8, 8), np.float32), {"build_network": build_constant, "device": "cpu"}

    def foreground(**more: Any) -> float:
        predictor = Predictor.from_folder(tmp_path, precision="fp32", **settings, **more)
        packed = predictor.predict(image, GEOMETRY, probabilities=True).probabilities
        assert packed is not None
        return float(packed.unpacked()[1].mean())

    sigmoid = torch.tensor([1.0, 3.0, -2.0]).sigmoid()
    assert foreground() == pytest.approx(float(sigmoid[:2].mean()), abs=1e-5)
    assert foreground(folds=["1"]) == pytest.approx(float(sigmoid[1]), abs=1e-5)
    assert foreground(checkpoint="best") == pytest.approx(float(sigmoid[2]), abs=1e-5)
    predictor = Predictor.from_folder(
        str(tmp_path), "3d_fullres", step_size=0.25, mirror=False, mode="fast", **settings
    )
    assert predictor.computation == Computation(device="cpu", step_size=0.25, mirror=False, mode="fast")
    assert predictor.device == torch.device("cpu")


def test_an_image_with_other_channels_than_the_plans_is_refused_by_name(make: Any) -> None:
    predictor = Predictor(make.model(make.plans(channels=("T1", "T2"))), Computation(device="cpu"))

    with pytest.raises(DatasetError, match=r"case image: expected 2 channels \(T1, T2\), found 1"):
        predictor.predict(np.ones((1, 8, 8, 8), np.float32), GEOMETRY)


def test_a_prepared_case_of_another_model_is_refused_by_name(make: Any) -> None:
    raw = RawCase(identifier="liver_7", data=np.ones((1, 8, 8, 8), np.float32), segmentation=None, geometry=GEOMETRY)
    prepared = prepare_case(raw, make.plans(), "3d_fullres")

    with pytest.raises(ModelError, match="case liver_7: the network takes 2 channels, but the prepared case has 1"):
        Predictor(make.model(make.plans(channels=("T1", "T2"))), Computation(device="cpu")).predict_prepared(prepared)


def test_a_network_that_returns_nan_is_an_error_not_background(make: Any) -> None:
    model = make.model(make.plans(), make.constant(torch.full((2, 8, 8, 8), torch.nan)))

    with pytest.raises(ModelError, match=r"case image: the network returned NaN; try `precision=fp32`"):
        Predictor(model, Computation(device="cpu", precision="fp32")).predict(
            np.ones((1, 8, 8, 8), np.float32), GEOMETRY
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0.0}, "step size 0.0: must be above 0 and at most 1; 0.5 is usual"),
        ({"step_size": 1.5}, "step size 1.5: must be above 0 and at most 1"),
        ({"mode": "fastest"}, "mode 'fastest': unknown; use normal or fast"),
        ({"precision": "fp8"}, "precision 'fp8': unknown"),
        ({"device": "tpu"}, "device 'tpu': unknown"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Predictor(make.model(make.plans()), Computation(**{"device": "cpu", **settings}))
