"""Export against the plain formula: resize every class of the whole volume, then take the highest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.transform import resize

from autoseg.dataset import Exclusive, Masks, Regions
from autoseg.dataset.target import written_step
from autoseg.geometry import Box, Geometry, inverse_order, reorder
from autoseg.inference.export import (
    ON_GPU,
    Pieces,
    axis_table,
    export_fast,
    export_segmentation,
    pieces_on_gpu,
)
from autoseg.inference.probabilities import Packer
from autoseg.inference.scorers.scorer import Slab
from autoseg.preprocessing.prepare import CaseProperties, restore_segmentation

Shape = tuple[int, ...]


def properties(
    prepared: Shape,
    cropped: Shape,
    *,
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
    order: Shape = (0, 1, 2),
    margins: tuple[tuple[int, int], ...] = ((0, 0), (0, 0), (0, 0)),
) -> CaseProperties:
    """A case whose crop has `cropped` voxels in transposed order, with `margins` round it in file order."""
    in_file_order = reorder(cropped, inverse_order(order))
    crop: Box = tuple((before, before + side) for (before, _), side in zip(margins, in_file_order, strict=True))
    return CaseProperties(
        identifier="case",
        geometry=Geometry(spacing=reorder(spacing, inverse_order(order))),
        original_shape=tuple(stop + after for (_, stop), (_, after) in zip(crop, margins, strict=True)),
        crop=crop,
        transpose_forward=order,
        cropped_shape=cropped,
        spacing=spacing,
        prepared_spacing=tuple(s * c / p for s, c, p in zip(spacing, cropped, prepared, strict=True)),
        prepared_shape=prepared,
    )


def smooth_probabilities(classes: int, shape: Shape, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((classes, *shape))
    scores = np.stack([ndimage.gaussian_filter(one, 1.5) for one in noise]) * 8
    exponentials = np.exp(scores - scores.max(axis=0))
    return (exponentials / exponentials.sum(axis=0)).astype(np.float32)


def slabs(scores: np.ndarray, *sizes: int) -> Iterator[Slab]:
    start = 0
    while start < scores.shape[1]:
        size = sizes[start % len(sizes)]
        yield Slab(start=start, scores=torch.from_numpy(scores[:, start : start + size].copy()))
        start += size


def plain_formula(scores: np.ndarray, shape: Shape, separated: int | None) -> np.ndarray:
    """Resize class by class in double precision: linear, and nearest along the separated axis."""

    def one(volume: np.ndarray) -> np.ndarray:
        if separated is None:
            return resize(volume, shape, order=1, mode="edge", anti_aliasing=False)
        slices = np.moveaxis(volume, separated, 0)
        in_plane = tuple(np.delete(shape, separated))
        resized = np.stack([resize(s, in_plane, order=1, mode="edge", anti_aliasing=False) for s in slices])
        if shape[separated] != len(resized):
            position = (np.arange(shape[separated]) + 0.5) * (len(resized) / shape[separated]) - 0.5
            resized = resized[np.floor(position + 0.5).astype(int).clip(0, len(resized) - 1)]
        return np.moveaxis(resized, 0, separated)

    return np.stack([one(volume.astype(np.float64)) for volume in scores])


def exported(scores: np.ndarray, case: CaseProperties, *sizes: int) -> np.ndarray:
    return export_segmentation(slabs(scores, *(sizes or (3, 1, 5))), case, Exclusive.numbered(len(scores)))


@pytest.mark.parametrize(
    ("old", "new", "spacing", "separated"),
    [
        ((12, 20, 18), (25, 33, 30), (1.0, 1.0, 1.0), None),
        ((24, 40, 30), (11, 23, 41), (1.5, 1.0, 0.8), None),
        ((30, 20, 18), (8, 33, 30), (5.0, 1.0, 1.0), 0),
        ((8, 40, 33), (13, 21, 30), (5.0, 1.0, 1.0), 0),
        ((20, 9, 18), (33, 17, 30), (1.0, 4.0, 1.0), 1),
        ((20, 18, 9), (33, 30, 4), (1.0, 1.0, 4.0), 2),
        ((10, 18, 9), (10, 30, 9), (4.0, 1.0, 1.0), 0),
        ((1, 18, 9), (1, 30, 11), (1.0, 1.0, 1.0), None),
        ((2, 1, 9), (5, 2, 9), (1.0, 1.0, 1.0), None),
    ],
)
def test_labels_are_those_of_the_plain_formula(
    old: Shape, new: Shape, spacing: tuple[float, ...], separated: int | None
) -> None:
    scores, case = smooth_probabilities(5, old), properties(old, new, spacing=spacing)
    assert case.separated_axis == separated
    expected = plain_formula(scores, new, separated)

    labels = exported(scores, case)

    decided = np.diff(np.sort(expected, axis=0)[-2:], axis=0)[0] > 1e-5
    assert decided.mean() > 0.999
    np.testing.assert_array_equal(labels[decided], expected.argmax(axis=0)[decided])


def test_fewer_than_one_voxel_in_100_000_differs_on_a_larger_volume() -> None:
    old, new = (40, 70, 60), (63, 101, 97)
    scores = smooth_probabilities(4, old)

    labels = exported(scores, properties(old, new))

    assert (labels != plain_formula(scores, new, None).argmax(axis=0)).mean() < 1e-5


@given(seed=st.integers(0, 10**6), order=st.permutations([0, 1, 2]), classes=st.integers(2, 6))
def test_on_an_equal_grid_the_labels_are_exactly_the_highest_scores(seed: int, order: list[int], classes: int) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 9, 3).tolist())
    margins = tuple((int(a), int(b)) for a, b in generator.integers(0, 3, (3, 2)))
    scores = smooth_probabilities(classes, shape, seed)
    case = properties(shape, shape, order=tuple(order), margins=margins)

    labels = exported(scores, case)

    expected = np.zeros(case.original_shape, np.uint8)
    (z, z_end), (y, y_end), (x, x_end) = case.crop
    expected[z:z_end, y:y_end, x:x_end] = scores.argmax(axis=0).transpose(inverse_order(order))
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.uint8


def test_transposed_and_cropped_cases_land_where_they_came_from() -> None:
    """The separated axis is the second of the file and the first of the prepared grid (defect 4 of the reference)."""
    old, new, order = (6, 20, 18), (9, 31, 25), (1, 0, 2)
    scores = smooth_probabilities(3, old)
    case = properties(old, new, spacing=(5.0, 1.0, 1.0), order=order, margins=((2, 1), (0, 3), (4, 0)))

    labels = exported(scores, case)

    expected = np.zeros((31 + 3, 9 + 3, 25 + 4), np.uint8)
    expected[2:33, 0:9, 4:29] = plain_formula(scores, new, 0).argmax(axis=0).transpose(1, 0, 2)
    assert (labels != expected).mean() < 1e-4


@pytest.mark.parametrize("sizes", [(1,), (2, 7), (100,)])
def test_slabs_of_any_size_give_the_same_labels(sizes: tuple[int, ...]) -> None:
    scores, case = smooth_probabilities(4, (11, 9, 8)), properties((11, 9, 8), (17, 12, 13))

    np.testing.assert_array_equal(exported(scores, case, *sizes), exported(scores, case, 11))


@pytest.mark.parametrize(
    ("new", "spacing"),
    [
        ((17, 21, 13), (1.0, 1.0, 1.0)),
        ((7, 5, 6), (1.0, 1.0, 1.0)),
        ((11, 14, 8), (1.0, 1.0, 1.0)),
        ((17, 21, 13), (5.0, 1.0, 1.0)),
        ((9, 25, 8), (1.0, 5.0, 1.0)),
        ((11, 5, 8), (1.0, 5.0, 1.0)),
    ],
)
def test_bands_of_rows_give_the_labels_and_probabilities_of_whole_planes(
    new: Shape, spacing: tuple[float, ...]
) -> None:
    old, cuts = (11, 14, 8), (0, 5, 6, 10, 14)
    scores, case = smooth_probabilities(4, old), properties(old, new, spacing=spacing, margins=((1, 0), (0, 2), (0, 0)))
    bands = [
        Slab(start=slab.start, row=first, scores=slab.scores[:, :, first:stop])
        for block in (slabs(scores[:, :6], 4), (replace(s, start=s.start + 6) for s in slabs(scores[:, 6:], 4)))
        for block_slabs in [list(block)]
        for first, stop in itertools.pairwise(cuts)
        for slab in block_slabs
    ]
    whole, parts = Packer(case, Exclusive.numbered(4)), Packer(case, Exclusive.numbered(4))

    expected = export_segmentation(slabs(scores, 3), case, Exclusive.numbered(4), packer=whole)
    labels = export_segmentation(bands, case, Exclusive.numbered(4), packer=parts)

    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(
        export_fast(bands, case, Exclusive.numbered(4)), export_fast(slabs(scores, 3), case, Exclusive.numbered(4))
    )
    np.testing.assert_allclose(parts.finish().unpacked(), whole.finish().unpacked(), atol=1e-6)


@pytest.mark.parametrize("pieces", [ON_GPU, Pieces(scores=1, voxels=2 * 12 * 13), Pieces(scores=2**20, voxels=1)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 1.0, 1.0), (1.0, 5.0, 1.0), (1.0, 1.0, 5.0)])
def test_pieces_of_any_size_give_the_same_labels_and_probabilities(pieces: Pieces, spacing: tuple[float, ...]) -> None:
    scores, case = smooth_probabilities(7, (6, 9, 8)), properties((6, 9, 8), (9, 12, 13), spacing=spacing)
    usual, other = Packer(case, Exclusive.numbered(7)), Packer(case, Exclusive.numbered(7))
    whole = export_segmentation(slabs(scores, 3), case, Exclusive.numbered(7), packer=usual)

    labels = export_segmentation(slabs(scores, 3), case, Exclusive.numbered(7), packer=other, pieces=pieces)

    np.testing.assert_array_equal(labels, whole)
    np.testing.assert_allclose(other.finish().unpacked(), usual.finish().unpacked(), atol=1e-6)


@pytest.mark.parametrize(
    ("free_gib", "scores", "voxels"),
    [
        (100, 2**26, 2**27),
        (12, 2**26, 2**27),
        (6, 2**25, 2**26),
        (0.1, 2**30 // 10 // 4 // 24 // 2, 2**30 // 10 // 4 // 24),
        (0, 2**19, 2**20),
    ],
)
def test_on_a_gpu_pieces_are_as_large_as_its_memory_holds(free_gib: float, scores: int, voxels: int) -> None:
    assert pieces_on_gpu(int(free_gib * 2**30)) == Pieces(scores=scores, voxels=voxels)


def test_a_table_is_brought_to_a_device_once() -> None:
    table = axis_table(4, 9, nearest=False)

    lower, upper, weight = table.on(torch.device("cpu"))

    assert table.on(torch.device("cpu"))[0] is lower
    assert (lower.tolist(), upper.tolist()) == (table.lower.tolist(), table.upper.tolist())
    assert weight.dtype == torch.float32 and weight.tolist() == pytest.approx(table.weight.tolist())


def test_a_tie_goes_to_the_first_class() -> None:
    scores = np.full((3, 2, 2, 2), 1 / 3, np.float32)
    scores[:, 0] = np.array([0.2, 0.4, 0.4], np.float32)[:, None, None]

    labels = exported(scores, properties((2, 2, 2), (2, 2, 2)))

    np.testing.assert_array_equal(labels, [np.ones((2, 2)), np.zeros((2, 2))])


def test_more_than_255_labels_need_two_bytes() -> None:
    scores = np.zeros((301, 1, 2, 2), np.float32)
    scores[300, 0, 0] = scores[256, 0, 1] = 1

    labels = exported(scores, properties((1, 2, 2), (1, 2, 2)))

    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, [[[300, 300], [256, 256]]])
    assert exported(scores[:256], properties((1, 2, 2), (1, 2, 2))).dtype == np.uint8


def test_fast_mode_resamples_the_labels_of_the_prepared_grid() -> None:
    old, new = (8, 14, 12), (13, 21, 17)
    scores, case = smooth_probabilities(3, old), properties(old, new, margins=((1, 2), (0, 0), (3, 0)))

    labels = export_fast(slabs(scores, 3), case, Exclusive.numbered(3))

    np.testing.assert_array_equal(labels, restore_segmentation(scores.argmax(axis=0).astype(np.uint8), case))
    assert labels.dtype == np.uint8


def test_probabilities_are_packed_on_the_way() -> None:
    """What the packer is given is what the labels are taken from."""
    old, new = (8, 14, 12), (13, 21, 17)
    scores, case = smooth_probabilities(3, old), properties(old, new, order=(2, 0, 1), margins=((1, 2), (0, 0), (3, 0)))
    packer = Packer(case, Exclusive.numbered(3))

    export_segmentation(slabs(scores, 3), case, Exclusive.numbered(3), packer=packer)

    expected = np.zeros((3, *case.original_shape))
    expected[0] = 1
    inside = (slice(None), *(slice(first, stop) for first, stop in case.crop))
    expected[inside] = plain_formula(scores, new, None).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(packer.finish().unpacked(), expected, atol=0.5 / 4095 + 1e-6)


def test_positions_between_two_grids() -> None:
    linear, nearest = axis_table(2, 4, nearest=False), axis_table(4, 2, nearest=True)

    assert linear.lower.tolist() == [0, 0, 0, 1]
    assert linear.upper.tolist() == [0, 1, 1, 1]
    assert linear.weight.tolist() == [0.0, 0.25, 0.75, 0.0]
    assert nearest.lower.tolist() == [1, 3]
    assert nearest.weight.tolist() == [0.0, 0.0]


def independent(outputs: int, shape: Shape, seed: int = 0) -> np.ndarray:
    """Smooth probabilities that overlap, of which the second is nowhere above a third."""
    noise = np.random.default_rng(seed).standard_normal((outputs, *shape))
    scores = np.stack([ndimage.gaussian_filter(one, 1.5) for one in noise]) * 8
    probabilities = 1 / (1 + np.exp(-scores))
    probabilities[1] /= 3
    return probabilities.astype(np.float32)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 1.0, 1.0), (1.0, 4.0, 1.0)])
@pytest.mark.parametrize("pieces", [None, Pieces(scores=1, voxels=1)])
def test_masks_and_regions_are_those_of_the_plain_formula(spacing: tuple[float, ...], pieces: Pieces | None) -> None:
    old, new, order = (8, 14, 12), (13, 21, 17), (2, 0, 1)
    case = properties(old, new, spacing=spacing, order=order, margins=((1, 2), (0, 0), (3, 0)))
    scores = independent(3, old)
    separated = case.separated_axis
    resized = plain_formula(scores, new, separated).transpose(0, 2, 3, 1)
    inside = tuple(slice(first, stop) for first, stop in case.crop)
    expected = np.zeros((3, *case.original_shape), bool)
    expected[(slice(None), *inside)] = resized > 0.5
    clear = np.ones(case.original_shape, bool)
    clear[inside] = (np.abs(resized - 0.5) > 1e-5).all(axis=0)
    masks = Masks(names=("axon", "nothing", "myelin"))
    regions = Regions(names=masks.names, members=((1, 2), (3,), (2,)), order=(1, 3, 2))
    packer = Packer(case, masks)

    found = export_segmentation(slabs(scores, 3, 1), case, masks, pieces=pieces, packer=packer)
    labels = export_segmentation(slabs(scores, 3, 1), case, regions, pieces=pieces)

    assert found.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(found[:, clear], expected[:, clear])
    np.testing.assert_array_equal(labels[clear], np.where(expected[2], 2, expected[0])[clear])
    assert found[0].any() and not found[1].any() and (found[0] & found[2]).any()
    np.testing.assert_allclose(packer.finish().unpacked()[(slice(None), *inside)], resized, atol=1e-5)


def test_fast_mode_resamples_each_mask() -> None:
    old, new, target = (8, 14, 12), (13, 21, 17), Masks(names=("axon", "nothing", "myelin"))
    scores, case = independent(3, old), properties(old, new, margins=((1, 2), (0, 0), (3, 0)))

    masks = export_fast(slabs(scores, 3), case, target)

    expected = [restore_segmentation((one > 0.5).astype(np.uint8), case) for one in scores]
    np.testing.assert_array_equal(masks, expected)


LESION = Exclusive(names=("background", "lesion"), soft=True)
SOFT_MASKS = Masks(names=("axon", "nothing", "myelin"), soft=True)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 1.0, 1.0), (1.0, 4.0, 1.0)])
@pytest.mark.parametrize("pieces", [None, Pieces(scores=1, voxels=1)])
@pytest.mark.parametrize("target", [LESION, SOFT_MASKS], ids=["shared", "apart"])
def test_fractions_are_those_of_the_plain_formula_to_the_nearest_step(
    target: Exclusive | Masks, spacing: tuple[float, ...], pieces: Pieces | None
) -> None:
    old, new, order = (8, 14, 12), (13, 21, 17), (2, 0, 1)
    case = properties(old, new, spacing=spacing, order=order, margins=((1, 2), (0, 0), (3, 0)))
    scores = smooth_probabilities(2, old) if target is LESION else independent(3, old)
    scores[-1, :2] = 0.0009
    if target is LESION:
        scores[0] = 1 - scores[1]
    resized = plain_formula(scores, new, case.separated_axis).transpose(0, 2, 3, 1)
    inside = (slice(None), *(slice(first, stop) for first, stop in case.crop))
    expected = np.zeros((len(scores), *case.original_shape))
    expected[inside] = resized
    if target is LESION:
        expected = expected[1]
    packer = Packer(case, target)

    found = export_segmentation(slabs(scores, 3, 1), case, target, pieces=pieces, packer=packer)

    assert found.dtype == np.uint8 and found.shape == expected.shape and len(np.unique(found)) > 100
    np.testing.assert_allclose(found * written_step(target), expected, atol=written_step(target) / 2 + 1e-6)
    np.testing.assert_allclose(packer.finish().unpacked()[inside], resized, atol=1e-5)
    fast = export_fast(slabs(scores, 3), case, target)
    np.testing.assert_allclose(fast * written_step(target), expected, atol=written_step(target) * 1.01)


def test_fractions_of_equal_grids_are_exact_and_certain_ones_whole() -> None:
    scores = np.zeros((2, 1, 2, 2), np.float32)
    scores[1, 0] = [[0, 0.5], [0.1, 1]]
    scores[0] = 1 - scores[1]

    for found in (
        export_segmentation(slabs(scores, 1), case := properties((1, 2, 2), (1, 2, 2)), LESION),
        export_fast(slabs(scores, 1), case, LESION),
    ):
        assert found.tolist() == [[[0, 125], [25, 250]]]
