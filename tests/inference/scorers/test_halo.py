"""Borders of tiles that do not count: every voxel is answered once, and never from nearer to a border than was asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoseg.errors import ModelError
from autoseg.inference.scorers.halo import NO_HALO, Halo
from autoseg.inference.scorers.sliding_window import PredictBatch, predict_slabs
from autoseg.inference.scorers.tiling import Tiling, gaussian

Shape = tuple[int, ...]


def echo(tiles: torch.Tensor) -> torch.Tensor:
    return tiles


def predicted(network: PredictBatch, image: np.ndarray, tiling: Tiling) -> np.ndarray:
    scores = np.full(image.shape, np.nan, np.float32)
    for slab in predict_slabs(network, image, tiling):
        planes, rows = slab.scores.shape[1:3]
        part = scores[:, slab.start : slab.start + planes, slab.row : slab.row + rows]
        assert np.isnan(part).all()
        part[...] = slab.scores.numpy()
    return scores


def random_image(shape: Shape) -> np.ndarray:
    return np.random.default_rng(0).random((1, *shape), dtype=np.float32)


@given(
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    patch=st.one_of(st.tuples(*[st.integers(5, 9)] * 3), st.tuples(*[st.integers(5, 9)] * 2)),
    halo=st.builds(Halo, voxels=st.integers(0, 2), mirrored=st.booleans()),
    step=st.floats(0.2, 1.0),
    batch_size=st.integers(1, 4),
)
def test_an_echo_gives_any_image_back(shape: Shape, patch: Shape, halo: Halo, step: float, batch_size: int) -> None:
    image = random_image(shape)
    tiling = Tiling(shape=shape, patch_size=patch, step=step, batch_size=batch_size, halo=halo)

    np.testing.assert_allclose(predicted(echo, image, tiling), image, rtol=1e-5)


@given(
    shape=st.tuples(*[st.integers(4, 24)] * 3),
    patch=st.tuples(*[st.integers(5, 10)] * 3),
    halo=st.builds(Halo, voxels=st.integers(1, 2), mirrored=st.booleans()),
)
def test_what_a_network_says_near_a_tiles_border_counts_nowhere(shape: Shape, patch: Shape, halo: Halo) -> None:
    """A network that is wrong there, as one is that misses what lies beyond; without mirroring it may be at the image's end."""

    def wrong_at_borders(tiles: torch.Tensor) -> torch.Tensor:
        answer = torch.full_like(tiles, 1e6)
        inner = tuple(slice(halo.voxels, side - halo.voxels) for side in patch)
        answer[(..., *inner)] = tiles[(..., *inner)]
        return answer

    image = random_image(shape)
    found = predicted(wrong_at_borders, image, Tiling(shape=shape, patch_size=patch, halo=halo))
    inner = tuple(
        slice(0 if halo.mirrored else halo.voxels, side - (not halo.mirrored) * halo.voxels) for side in shape
    )

    np.testing.assert_allclose(found[(0, *inner)], image[(0, *inner)], rtol=1e-5)
    if not halo.mirrored and min(side - wanted for side, wanted in zip(shape, patch, strict=True)) >= 0:
        assert found[0, 0].min() > 1


def test_a_mirrored_halo_shows_the_image_turned_over_beyond_its_border() -> None:
    image, seen = random_image((4, 6, 8)), []

    def remember(tiles: torch.Tensor) -> torch.Tensor:
        seen.append(tiles.clone())
        return tiles

    predicted(remember, image, Tiling(shape=(4, 6, 8), patch_size=(8, 10, 12), halo=Halo(voxels=2, mirrored=True)))

    np.testing.assert_array_equal(seen[0][0, 0].numpy(), np.pad(image[0], 2, mode="symmetric"))


def test_without_a_halo_nothing_is_another() -> None:
    tiling, plain = (
        Tiling(shape=(20, 17, 9), patch_size=(8, 6, 9), halo=NO_HALO),
        Tiling(shape=(20, 17, 9), patch_size=(8, 6, 9)),
    )

    assert tiling == plain
    assert tiling.weights.at((0, 0, 0)) is tiling.weights.base
    assert torch.equal(tiling.weights.base, gaussian((8, 6, 9)))
    assert tiling.padded == (20, 17, 9)


@pytest.mark.parametrize(
    ("voxels", "patch", "message"),
    [
        (-1, (8, 8, 8), "`halo`: 0 voxels or more, found -1"),
        (4, (12, 8), "`halo`: 4 voxels on either side would leave nothing of a tile of 1x12x8; name at most 3"),
        (1, (8, 2, 8), "`halo`: 1 voxel on either side would leave nothing of a tile of 8x2x8; name at most 0"),
    ],
)
def test_a_halo_that_leaves_nothing_is_refused(voxels: int, patch: Shape, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _ = Tiling(shape=(9, 9, 9), patch_size=patch, halo=Halo(voxels=voxels)).weights
