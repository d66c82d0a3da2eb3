"""The sliding window: an echoing network gives the image back, tiles and weights are the published ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.geometry import tile_starts
from autoseg.inference.scorers import window
from autoseg.inference.scorers.scorer import Slab
from autoseg.inference.scorers.sliding_window import PredictBatch, predict_slabs
from autoseg.inference.scorers.tiling import Tiling, gaussian

Shape = tuple[int, ...]


def echo(patches: torch.Tensor) -> torch.Tensor:
    return patches


def random_image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def slabs_of(network: PredictBatch, image: np.ndarray, patch: Shape, **settings: Any) -> Iterator[Slab]:
    return predict_slabs(network, image, Tiling(shape=image.shape[1:], patch_size=patch, **settings))


def predicted(network: PredictBatch, image: np.ndarray, patch: Shape, **settings: Any) -> np.ndarray:
    """The scores of the whole image, of which every voxel must come exactly once."""
    slabs = list(slabs_of(network, image, patch, **settings))
    scores = np.full((len(slabs[0].scores), *image.shape[1:]), np.nan, np.float32)
    for slab in slabs:
        planes, rows = slab.scores.shape[1:3]
        part = scores[:, slab.start : slab.start + planes, slab.row : slab.row + rows]
        assert np.isnan(part).all()
        part[...] = slab.scores.numpy()
    assert not np.isnan(scores).any()
    return scores


@pytest.mark.parametrize(
    ("shape", "patch", "step"),
    [
        ((24, 40, 33), (8, 16, 16), 0.5),
        ((8, 8, 8), (8, 16, 16), 0.5),
        ((9, 16, 70), (8, 16, 16), 1.0),
        ((5, 3, 4), (8, 9, 16), 0.5),
        ((31, 17, 16), (8, 16, 16), 0.3),
        ((7, 20, 33), (16, 16), 0.5),
        ((1, 5, 33), (16, 16), 0.5),
        ((4, 5, 6), (16, 16), 0.5),
        ((4, 7, 7), (1, 4, 4), 0.5),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_network_that_echoes_its_input_gives_the_image_back(
    shape: Shape, patch: Shape, step: float, batch_size: int
) -> None:
    image = random_image(2, *shape)

    np.testing.assert_allclose(predicted(echo, image, patch, step=step, batch_size=batch_size), image, rtol=1e-5)


@given(
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    patch=st.one_of(st.tuples(*[st.integers(2, 9)] * 3), st.tuples(*[st.integers(2, 9)] * 2)),
    step=st.floats(0.2, 1.0),
    batch_size=st.integers(1, 5),
)
def test_any_shape_patch_and_step_give_the_image_back(shape: Shape, patch: Shape, step: float, batch_size: int) -> None:
    image = random_image(1, *shape)

    np.testing.assert_allclose(predicted(echo, image, patch, step=step, batch_size=batch_size), image, rtol=1e-5)


def test_scores_are_the_weighted_mean_of_the_tiles_that_cover_a_voxel() -> None:
    """Against the plain formula: every tile is filled with its own number."""
    image, patch = random_image(1, 11, 9, 13), (6, 4, 8)
    numbers = iter(range(1, 1000))

    def numbered(patches: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.full_like(one, float(next(numbers))) for one in patches])

    scores = predicted(numbered, image, patch, step=0.5)

    total, weights, weight = np.zeros(image.shape[1:]), np.zeros(image.shape[1:]), gaussian(patch).numpy()
    starts = tile_starts(image.shape[1:], patch, 0.5)
    corners = [(z, y, x) for z in starts[0] for y in starts[1] for x in starts[2]]
    for number, (z, y, x) in enumerate(corners, start=1):
        total[z : z + 6, y : y + 4, x : x + 8] += number * weight
        weights[z : z + 6, y : y + 4, x : x + 8] += weight
    np.testing.assert_allclose(scores[0], total / weights, rtol=1e-5)


@pytest.mark.parametrize(("patch", "calls"), [((6, 8, 8), 1), ((8, 8), 3)])
def test_a_single_tile_is_taken_as_it_is(patch: Shape, calls: int) -> None:
    """Without overlap there is nothing to weigh, so not even a rounding error appears."""
    image, seen = random_image(2, 6, 7, 8), []

    def count(patches: torch.Tensor) -> torch.Tensor:
        seen.append(len(patches))
        return patches

    np.testing.assert_array_equal(predicted(count, image, patch, batch_size=2), image)
    assert seen == [6 // calls] * calls if len(patch) == 2 else [1]


def test_padding_is_zero_and_symmetric_with_the_odd_voxel_at_the_end() -> None:
    image = random_image(1, 3, 8, 5)
    seen: list[torch.Tensor] = []

    predicted(lambda patches: seen.append(patches.clone()) or patches, image, (8, 8, 8))

    expected = np.zeros((1, 1, 8, 8, 8), dtype=np.float32)
    expected[:, :, 2:5, :, 1:6] = image
    np.testing.assert_array_equal(seen[0], expected)


@pytest.mark.parametrize(
    ("image", "patch", "step", "expected"),
    [
        ((110,), (64,), 0.5, ((0, 23, 46),)),
        ((64,), (64,), 0.5, ((0,),)),
        ((65,), (64,), 0.5, ((0, 1),)),
        ((128,), (64,), 0.5, ((0, 32, 64),)),
        ((128,), (64,), 1.0, ((0, 64),)),
        ((3,), (1,), 0.5, ((0, 1, 2),)),
    ],
)
def test_tile_starts(image: Shape, patch: Shape, step: float, expected: tuple[Shape, ...]) -> None:
    assert tile_starts(image, patch, step) == expected


def test_number_of_tiles_of_the_reference() -> None:
    assert [len(starts) for starts in tile_starts((162, 529, 529), (30, 224, 224), 0.5)] == [10, 4, 4]


@pytest.mark.parametrize("patch", [(8, 16, 12), (5, 7, 9), (40, 56), (128, 96, 1)])
def test_the_gaussian_is_a_filtered_impulse_of_an_eighth_of_the_patch(patch: Shape) -> None:
    impulse = np.zeros(patch)
    impulse[tuple(side // 2 for side in patch)] = 1
    filtered = ndimage.gaussian_filter(impulse, [side / 8 for side in patch], mode="constant")
    expected = (filtered / filtered.max()).astype(np.float32)
    expected[expected == 0] = expected[expected > 0].min()

    weights = gaussian(patch).numpy()

    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert weights.max() == 1.0
    assert weights[tuple(side // 2 for side in patch)] == 1.0
    assert weights.min() > 0


def test_planes_come_out_as_soon_as_the_window_has_passed_them(monkeypatch: pytest.MonkeyPatch) -> None:
    image, taken = random_image(3, 40, 10, 10), []
    monkeypatch.setattr(window, "SLAB_BYTES", 4 * 4 * 10 * 10 * 3)

    def network(patches: torch.Tensor) -> torch.Tensor:
        taken.append(len(finished))
        return patches

    finished: list[Slab] = []
    for slab in slabs_of(network, image, (8, 10, 10), step=0.5):
        finished.append(slab)

    assert [slab.scores.shape[1] for slab in finished] == [3, 1] * 8 + [3, 3, 2]
    assert taken == list(range(0, 18, 2))


def test_rows_come_out_as_soon_as_the_window_has_passed_them() -> None:
    image = random_image(1, 12, 40, 10)

    places = [(slab.start, slab.row, slab.scores.shape[1:3]) for slab in slabs_of(echo, image, (8, 16, 10), step=0.5)]

    rows = [(0, 8), (8, 8), (16, 8), (24, 16)]
    expected = [(plane, row, (planes, high)) for plane, planes in [(0, 4), (4, 8)] for row, high in rows]
    assert places == expected


@pytest.mark.parametrize(
    ("shape", "patch", "held"),
    [
        # half a patch of whole planes waits beside a window of one patch's planes and rows
        ((600, 512, 512), (64, 128, 128), (64 * 128 + 32 * 512) * 512),
        ((64, 512, 512), (64, 128, 128), 64 * 128 * 512),
        ((600, 128, 128), (64, 128, 128), (64 + 32) * 128 * 128),
        ((600, 512, 512), (128, 128), 128 * 512),
    ],
)
def test_what_is_held_grows_neither_with_planes_nor_with_rows_behind_the_window(
    shape: Shape, patch: Shape, held: int
) -> None:
    assert Tiling(shape=shape, patch_size=patch).held_voxels == pytest.approx(held, rel=0.03)


@pytest.mark.parametrize("patch", [(8, 8, 8), (8, 8)])
def test_tiles_of_one_value_are_predicted_once_and_counted_all(patch: Shape) -> None:
    """Air round a body: the network's answer to it depends on where in the tile a voxel lies, not on the tile."""
    image = np.full((2, 24, 20, 24), -1, np.float32)
    image[1] = 3
    image[:, 9:13, 9:12, 9:16] = random_image(2, 4, 3, 7)
    seen, counted = [], []

    def network(patches: torch.Tensor) -> torch.Tensor:
        seen.extend(patch.numpy().copy() for patch in patches)
        ramp = torch.linspace(0, 1, 8).expand(patches.shape)
        return patches * ramp

    tiling = Tiling(shape=image.shape[1:], patch_size=patch, batch_size=3)
    slabs = list(predict_slabs(network, image, tiling, on_parts=lambda *parts: counted.append(parts)))

    varied = [patch for patch in seen if np.ptp(patch.reshape(2, -1), axis=1).any()]
    assert len(seen) == len(varied) + 1
    assert counted[0] == (0, tiling.number)
    assert counted[-1] == (tiling.number, tiling.number)
    assert sorted(counted) == counted
    assert tiling.number > len(seen)
    expected = predicted_plainly(network, image, tiling)
    for slab in slabs:
        planes, rows = slab.scores.shape[1:3]
        part = expected[:, slab.start : slab.start + planes, slab.row : slab.row + rows]
        np.testing.assert_allclose(slab.scores, part, rtol=1e-5)


def predicted_plainly(network: PredictBatch, image: np.ndarray, tiling: Tiling) -> np.ndarray:
    """The formula: every tile by itself, all sums of the whole image, divided at the end."""
    total, weights, weight = np.zeros(image.shape), np.zeros(image.shape[1:]), gaussian(tiling.patch).numpy()
    for corner in itertools.product(*tiling.starts):
        voxels = tuple(slice(start, start + side) for start, side in zip(corner, tiling.patch, strict=True))
        tile = np.ascontiguousarray(image[(slice(None), *voxels)]).reshape(len(image), *tiling.patch_size)
        total[(slice(None), *voxels)] += (
            network(torch.from_numpy(tile)[None])[0].numpy().reshape(-1, *tiling.patch) * weight
        )
        weights[voxels] += weight
    return total / weights


def test_a_tile_of_another_value_is_another_tile() -> None:
    image = np.repeat(np.arange(4, dtype=np.float32), 8).reshape(1, -1, 1, 1) * np.ones((1, 1, 8, 8), np.float32)

    np.testing.assert_allclose(predicted(echo, image, (8, 8, 8), step=1.0), image, rtol=1e-6)


def test_a_read_only_array_is_taken() -> None:
    image = random_image(1, 9, 9, 9)
    image.flags.writeable = False

    np.testing.assert_allclose(predicted(echo, image, (4, 4, 4)), image, rtol=1e-5)


@pytest.mark.parametrize("step", [0.0, -0.5, 1.1])
def test_an_impossible_step_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match="the step must be above 0 and at most 1, found"):
        Tiling(shape=(4, 4, 4), patch_size=(4, 4, 4), step=step)


def test_an_impossible_batch_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the batch size must be at least 1, found 0"):
        Tiling(shape=(4, 4, 4), patch_size=(4, 4, 4), batch_size=0)
