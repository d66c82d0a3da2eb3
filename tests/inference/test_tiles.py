"""The sliding window: an echoing network gives the image back, tiles and weights are the published ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.inference import tiles
from autoseg.inference.tiles import Slab, gaussian, predict_slabs, tile_starts

Shape = tuple[int, ...]


def echo(patches: torch.Tensor) -> torch.Tensor:
    return patches


def random_image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def joined(slabs: list[Slab]) -> np.ndarray:
    """All slabs as one array; refuses gaps and overlaps."""
    position = 0
    for slab in slabs:
        assert slab.start == position
        position += slab.scores.shape[1]
    return torch.cat([slab.scores for slab in slabs], dim=1).numpy()


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

    slabs = list(predict_slabs(echo, image, patch, step=step, batch_size=batch_size))

    np.testing.assert_allclose(joined(slabs), image, rtol=1e-5)


@given(
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    patch=st.one_of(st.tuples(*[st.integers(2, 9)] * 3), st.tuples(*[st.integers(2, 9)] * 2)),
    step=st.floats(0.2, 1.0),
    batch_size=st.integers(1, 5),
)
def test_any_shape_patch_and_step_give_the_image_back(shape: Shape, patch: Shape, step: float, batch_size: int) -> None:
    image = random_image(1, *shape)

    np.testing.assert_allclose(
        joined(list(predict_slabs(echo, image, patch, step=step, batch_size=batch_size))), image, rtol=1e-5
    )


def test_scores_are_the_weighted_mean_of_the_tiles_that_cover_a_voxel() -> None:
    """Against the plain formula: every tile is filled with its own number."""
    image, patch = random_image(1, 11, 9, 13), (6, 4, 8)
    numbers = iter(range(1, 1000))

    def numbered(patches: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.full_like(one, float(next(numbers))) for one in patches])

    scores = joined(list(predict_slabs(numbered, image, patch, step=0.5)))

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

    np.testing.assert_array_equal(joined(list(predict_slabs(count, image, patch, batch_size=2))), image)
    assert seen == [6 // calls] * calls if len(patch) == 2 else [1]


def test_padding_is_zero_and_symmetric_with_the_odd_voxel_at_the_end() -> None:
    image = np.ones((1, 3, 8, 5), dtype=np.float32)
    seen: list[torch.Tensor] = []

    list(predict_slabs(lambda patches: seen.append(patches) or patches, image, (8, 8, 8)))

    expected = np.zeros((1, 1, 8, 8, 8), dtype=np.float32)
    expected[:, :, 2:5, :, 1:6] = 1
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


def test_only_the_window_is_held_and_slabs_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes come out as soon as the window has passed them, in slabs of the size that is allowed."""
    image, taken = random_image(3, 40, 10, 10), []
    monkeypatch.setattr(tiles, "SLAB_BYTES", 3 * 4 * 10 * 10 * 3)

    def network(patches: torch.Tensor) -> torch.Tensor:
        taken.append(len(finished))
        return patches

    finished: list[Slab] = []
    for slab in predict_slabs(network, image, (8, 10, 10), step=0.5):
        finished.append(slab)

    assert [slab.scores.shape[1] for slab in finished] == [3, 1] * 8 + [3, 3, 2]
    assert taken == list(range(0, 18, 2))
    np.testing.assert_allclose(joined(finished), image, rtol=1e-5)


def test_a_read_only_array_is_taken() -> None:
    image = random_image(1, 9, 9, 9)
    image.flags.writeable = False

    np.testing.assert_allclose(joined(list(predict_slabs(echo, image, (4, 4, 4)))), image, rtol=1e-5)


@pytest.mark.parametrize("step", [0.0, -0.5, 1.1])
def test_an_impossible_step_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match="the step must be above 0 and at most 1, found"):
        next(predict_slabs(echo, random_image(1, 4, 4, 4), (4, 4, 4), step=step))


def test_an_impossible_batch_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the batch size must be at least 1, found 0"):
        next(predict_slabs(echo, random_image(1, 4, 4, 4), (4, 4, 4), batch_size=0))
