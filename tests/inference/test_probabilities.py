"""Packed probabilities: what comes back, what it costs, what an ensemble loses by it, and what is refused."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.dataset import LARGEST_LABEL, Exclusive, Masks, Regions, Target
from autoseg.errors import StorageError
from autoseg.geometry import Geometry
from autoseg.inference.probabilities import (
    PackedProbabilities,
    Packer,
    load_packed,
    load_probabilities,
    save_probabilities,
)
from autoseg.inference.probability_codes import LEVELS, SMALLEST
from autoseg.preprocessing.prepare import CaseProperties

ORDER = (1, 2, 0)
GEOMETRY = Geometry(spacing=(3.0, 0.5, 0.7), origin=(1.0, -2.0, 3.5), direction=(0, 1, 0, 1, 0, 0, 0, 0, -1))


def properties(shape: tuple[int, ...], margin: int = 0) -> CaseProperties:
    """A case of `shape` in the transposed order, with a margin that was cropped away."""
    in_file_order = tuple(shape[ORDER.index(axis)] for axis in range(3))
    return CaseProperties(
        identifier="case",
        geometry=GEOMETRY,
        original_shape=tuple(side + 2 * margin for side in in_file_order),
        crop=tuple((margin, margin + side) for side in in_file_order),
        transpose_forward=ORDER,
        cropped_shape=shape,
        spacing=(0.5, 0.7, 3.0),
        prepared_spacing=(0.5, 0.7, 3.0),
        prepared_shape=shape,
    )


def packed(probabilities: np.ndarray, margin: int = 0, target: Target | None = None) -> PackedProbabilities:
    packer = Packer(properties(probabilities.shape[1:], margin), target or Exclusive.numbered(len(probabilities)))
    for number, plane in enumerate(np.moveaxis(probabilities, 1, 0)):
        packer.add([torch.from_numpy(plane[:2].copy()), torch.from_numpy(plane[2:].copy())], plane=number)
    return packer.finish()


def softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(axis=0))
    return (exponentials / exponentials.sum(axis=0)).astype(np.float32)


def member(labels: np.ndarray, seed: int) -> np.ndarray:
    """A prediction of labels 0 to 2 with blurred borders and smooth errors of its own."""
    generator = np.random.default_rng(seed)
    scores = [
        np.log(ndimage.gaussian_filter((labels == label).astype(float), 0.8) + 1e-9)
        + 3 * ndimage.gaussian_filter(generator.standard_normal(labels.shape), 1.5)
        for label in range(3)
    ]
    return softmax(np.stack(scores))


def two_balls(shape: tuple[int, ...]) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    labels = np.zeros(shape, np.uint8)
    for label, centre in ((1, 0.4), (2, 0.62)):
        labels[((grid - np.array(shape) * centre) ** 2).sum(axis=-1) < (min(shape) * 0.2) ** 2] = label
    return labels


@given(seed=st.integers(0, 10**6), classes=st.integers(2, 5), margin=st.integers(0, 2), sharpness=st.floats(0.1, 60))
def test_what_is_packed_comes_back_within_half_a_level_of_each_square_root(
    seed: int, classes: int, margin: int, sharpness: float
) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 7, 3).tolist())
    probabilities = softmax(generator.standard_normal((classes, *shape)) * sharpness)

    unpacked = packed(probabilities, margin).unpacked()

    expected = np.zeros(unpacked.shape)
    expected[0] = 1
    inside = (slice(None), *(slice(first, stop) for first, stop in properties(shape, margin).crop))
    expected[inside] = probabilities.transpose(0, 3, 1, 2)
    # Half a level of the root, twice the root times as much of its square; the most probable class takes all the rest.
    smallest, half = (SMALLEST / LEVELS) ** 2, 0.5 / LEVELS
    error = np.maximum(2 * np.sqrt(expected) * half + half**2, smallest)
    error = np.where(expected == expected.max(axis=0), error.sum(axis=0), error)
    assert (np.abs(unpacked - expected) <= error + 1e-6).all()


def test_a_file_gives_back_probabilities_and_geometry(tmp_path: Path) -> None:
    probabilities = member(two_balls((9, 12, 10)), 0)
    before = packed(probabilities, 1)

    save_probabilities(tmp_path / "case.npz", before)

    after = load_packed(tmp_path / "case.npz")
    assert after.geometry == GEOMETRY
    assert (after.shape, after.crop, after.transpose_forward, after.classes) == (
        before.shape,
        before.crop,
        before.transpose_forward,
        before.classes,
    )
    np.testing.assert_array_equal(load_probabilities(tmp_path / "case.npz"), before.unpacked())
    with np.load(tmp_path / "case.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays)


def test_a_file_keeps_what_the_header_said_and_one_of_an_earlier_version_is_read_without(
    tmp_path: Path, coregistered: Callable[[Geometry], Geometry]
) -> None:
    before = replace(packed(member(two_balls((9, 12, 10)), 0), 1), geometry=coregistered(GEOMETRY))
    save_probabilities(tmp_path / "case.npz", before)
    with np.load(tmp_path / "case.npz", allow_pickle=False) as arrays:
        np.savez(tmp_path / "older.npz", **{name: arrays[name] for name in arrays if name != "forms"})

    assert load_packed(tmp_path / "case.npz").geometry.forms == before.geometry.forms
    assert before.geometry.forms is not None
    older = load_packed(tmp_path / "older.npz")
    assert (older.geometry, older.geometry.forms) == (GEOMETRY, None)
    np.testing.assert_array_equal(older.unpacked(), before.unpacked())


@pytest.mark.parametrize("forms", [[1.0] * 20, ["a"] * 21, [[1.0] * 21], [np.nan] * 21])
def test_forms_that_are_none_are_damage(tmp_path: Path, forms: list[Any]) -> None:
    save_probabilities(tmp_path / "case.npz", packed(member(two_balls((9, 12, 10)), 0), 1))
    with np.load(tmp_path / "case.npz", allow_pickle=False) as arrays:
        np.savez(tmp_path / "odd.npz", **{**arrays, "forms": np.array(forms)})

    with pytest.raises(StorageError, match=r"odd\.npz: damaged: .*; predict this case again with `save_npz`"):
        load_packed(tmp_path / "odd.npz")


def test_only_planes_and_boxes_where_background_is_uncertain_are_kept() -> None:
    probabilities = np.zeros((3, 6, 20, 20), np.float32)
    probabilities[0] = 1
    probabilities[:, 2, 3:5, 7:10] = np.array([0.5, 0.25, 0.25], np.float32)[:, None, None]

    compact = packed(probabilities)

    assert compact.boxes[2].tolist() == [3, 5, 7, 10]
    assert compact.boxes[[0, 1, 3, 4, 5]].tolist() == [[0, 0, 0, 0]] * 5
    np.testing.assert_allclose(compact.unpacked().transpose(0, 2, 3, 1), probabilities, atol=1.5 / LEVELS)


def doubtful(sharpness: float, seed: int) -> np.ndarray:
    """A prediction that has learned nothing: smooth noise, so that two of them disagree nearly everywhere."""
    generator = np.random.default_rng(seed)
    fields = np.stack([ndimage.gaussian_filter(generator.standard_normal((56, 60, 52)), 2) for _ in range(3)])
    return softmax(fields / fields.std() * sharpness)


@pytest.mark.parametrize("sharpness", [0, 0.5, 1, 2, 4])
def test_labels_of_an_ensemble_change_in_fewer_than_one_voxel_of_100_000(sharpness: float) -> None:
    """For members that learned the same (0), and for members in all kinds of doubt."""
    labels = two_balls((56, 60, 52))
    different = voxels = 0
    for seed in range(4):
        numbers = (2 * seed, 2 * seed + 1)
        members = [doubtful(sharpness, number) if sharpness else member(labels, number) for number in numbers]
        compact = [packed(one).unpacked().transpose(0, 2, 3, 1) for one in members]
        different += int((sum(members).argmax(axis=0) != sum(compact).argmax(axis=0)).sum())
        voxels += labels.size

    assert different / voxels < 1e-5


def test_between_two_models_that_are_sure_the_remaining_doubt_decides() -> None:
    sure, surer = np.array([1 - 3e-6, 2e-6, 1e-6]), np.array([1e-6, 1 - 2.5e-6, 1.5e-6])
    first, second = (np.tile(one.astype(np.float32)[:, None, None, None], (1, 1, 2, 2)) for one in (sure, surer))

    total = packed(first).unpacked() + packed(second).unpacked()

    assert (total.argmax(axis=0) == 1).all()
    np.testing.assert_allclose((total[1] - total[0]).ravel(), 1.5e-6, rtol=0.1)


def test_a_packed_case_is_far_smaller_than_its_probabilities(tmp_path: Path) -> None:
    probabilities = member(two_balls((56, 60, 52)), 0)

    save_probabilities(tmp_path / "case.npz", packed(probabilities))
    np.savez_compressed(tmp_path / "half.npz", probabilities.astype(np.float16))

    assert (tmp_path / "case.npz").stat().st_size < probabilities.nbytes / 20
    assert (tmp_path / "case.npz").stat().st_size < (tmp_path / "half.npz").stat().st_size


def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    good, path = packed(member(two_balls((9, 12, 10)), 0)), tmp_path / "case.npz"

    with pytest.raises(StorageError, match=r"case\.npz: cannot be read: No such file"):
        load_probabilities(path)
    save_probabilities(path, good)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(StorageError, match=r"case\.npz: damaged: .*; predict this case again with `save_npz`"):
        load_probabilities(path)
    np.savez(path, format=np.array(1))
    with pytest.raises(
        StorageError, match=r"case\.npz: probabilities of format 1, but this autoseg reads format 2 and 3;"
    ):
        load_probabilities(path)
    np.savez(path, format=np.array(2))
    with pytest.raises(StorageError, match=r"case\.npz: damaged: .*classes"):
        load_probabilities(path)
    np.savez(path, format=np.array([object()]))
    with pytest.raises(StorageError, match=r"case\.npz: damaged: Object arrays cannot be loaded"):
        load_probabilities(path)


def test_a_plane_that_unpacks_to_another_size_is_refused(tmp_path: Path) -> None:
    good, path = packed(member(two_balls((9, 12, 10)), 0)), tmp_path / "case.npz"
    boxes = good.part_boxes.copy()
    boxes[0, 1] -= 1
    save_probabilities(
        path,
        PackedProbabilities(
            target=good.target,
            shape=good.shape,
            geometry=good.geometry,
            crop=good.crop,
            transpose_forward=good.transpose_forward,
            part_planes=good.part_planes,
            part_boxes=boxes,
            ends=good.ends,
            content=good.content,
        ),
    )

    with pytest.raises(StorageError, match=r"damaged: a plane holds \d+ bytes where \d+ are due; predict this case"):
        load_probabilities(path)


@pytest.mark.parametrize("classes", [1, LARGEST_LABEL + 2, 10**9])
def test_so_many_classes_as_no_task_has_are_refused(tmp_path: Path, classes: int) -> None:
    path = tmp_path / "case.npz"
    save_probabilities(path, packed(member(two_balls((9, 12, 10)), 0)))
    change(path, classes=np.array(classes))

    with pytest.raises(
        StorageError, match=rf"it holds {classes} class(es)?, and there can be 2 to 32768; predict this"
    ):
        load_packed(path)


def change(path: Path, **arrays: np.ndarray) -> None:
    with np.load(path, allow_pickle=False) as before:
        content = {**before, **arrays}
    np.savez(path, **content)


def test_parts_of_planes_in_any_order_come_back_as_whole_planes(tmp_path: Path) -> None:
    probabilities = member(two_balls((12, 22, 20)), 0)
    packer = Packer(properties(probabilities.shape[1:], 1), Exclusive.numbered(3))
    for row, stop in ((0, 9), (9, 10), (10, 22)):
        for plane in range(12):
            packer.add([torch.from_numpy(probabilities[:, plane, row:stop].copy())], plane=plane, row=row)
    parts, whole = packer.finish(), packed(probabilities, 1)

    save_probabilities(tmp_path / "case.npz", parts)

    np.testing.assert_array_equal(parts.boxes, whole.boxes)
    np.testing.assert_allclose(load_probabilities(tmp_path / "case.npz"), whole.unpacked(), atol=1e-6)


@pytest.mark.parametrize(("column", "value"), [(0, -1), (1, 99), (2, -1), (3, 99)])
def test_parts_outside_of_the_image_are_refused(tmp_path: Path, column: int, value: int) -> None:
    good, path = packed(member(two_balls((9, 12, 10)), 0)), tmp_path / "case.npz"
    boxes = good.part_boxes.copy()
    boxes[0, column] = value

    save_probabilities(path, replace(good, part_boxes=boxes))

    with pytest.raises(StorageError, match="damaged: its parts lie outside of the image or are out of order; predict"):
        load_packed(path)


REGIONS = Regions(names=("whole", "core"), members=((1, 2), (2,)), order=(1, 2))
MASKS = Masks(names=("axon", "myelin"))


def sigmoid(scores: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-scores.astype(np.float64)))).astype(np.float32)


def in_doubt(sharpness: float, seed: int) -> np.ndarray:
    """Two outputs that have learned nothing, each smooth noise of its own."""
    generator = np.random.default_rng(seed)
    fields = np.stack([ndimage.gaussian_filter(generator.standard_normal((56, 60, 52)), 2) for _ in range(2)])
    return sigmoid(fields / fields.std() * sharpness)


@given(seed=st.integers(0, 10**6), outputs=st.integers(1, 4), margin=st.integers(0, 2), sharpness=st.floats(0, 40))
def test_each_independent_output_comes_back_within_half_a_level_of_what_it_lacks_to_certainty(
    seed: int, outputs: int, margin: int, sharpness: float
) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 7, 3).tolist())
    probabilities = sigmoid(generator.standard_normal((outputs, *shape)) * sharpness)
    names = tuple(f"mask {number}" for number in range(outputs))

    unpacked = packed(probabilities, margin, Masks(names=names)).unpacked()

    expected = np.zeros(unpacked.shape)
    inside = (slice(None), *(slice(first, stop) for first, stop in properties(shape, margin).crop))
    expected[inside] = probabilities.transpose(0, 3, 1, 2)
    doubt = np.sqrt(np.minimum(expected, 1 - expected))
    error = np.maximum(2 * doubt * 0.5 / LEVELS + (0.5 / LEVELS) ** 2, (SMALLEST / LEVELS) ** 2)
    assert (np.abs(unpacked - expected) <= error + 1e-7).all()
    np.testing.assert_array_equal(unpacked > 0.5, expected > 0.5)


def test_of_independent_outputs_all_must_be_near_0_where_nothing_is_kept() -> None:
    probabilities = np.full((2, 6, 20, 20), 1e-8, np.float32)
    probabilities[0, 2, 3:5, 7:10], probabilities[1, 2, 4, 12] = 1 - 1e-8, 0.25

    compact = packed(probabilities, target=REGIONS)

    assert compact.boxes[2].tolist() == [3, 5, 7, 13]
    assert compact.boxes[[0, 1, 3, 4, 5]].tolist() == [[0, 0, 0, 0]] * 5
    np.testing.assert_allclose(compact.unpacked().transpose(0, 2, 3, 1), probabilities, atol=1.5 / LEVELS)
    assert not packed(np.zeros_like(probabilities), target=REGIONS).unpacked().any()


@pytest.mark.parametrize("sharpness", [0.5, 1, 2, 4])
def test_outputs_of_an_ensemble_change_in_fewer_than_one_voxel_of_100_000(sharpness: float) -> None:
    different = voxels = 0
    for seed in range(4):
        members = [in_doubt(sharpness, 2 * seed + number) for number in (0, 1)]
        compact = [packed(one, target=REGIONS).unpacked().transpose(0, 2, 3, 1) for one in members]
        ours, theirs = (REGIONS.decide(sum(one), summed=2) for one in (compact, members))  # type: ignore[arg-type]
        different += int((ours != theirs).sum())
        voxels += ours.size

    assert different / voxels < 1e-5


def test_between_two_sure_opposites_of_one_output_the_remaining_doubt_decides() -> None:
    sure, surer = 1 - np.float32(1.5e-6), np.float32(2.5e-6)
    first, second = (np.full((2, 1, 2, 2), one, np.float32) for one in (sure, surer))

    total = packed(first, target=REGIONS).unpacked() + packed(second, target=REGIONS).unpacked()

    assert (REGIONS.decide(total, summed=2) == 2).all()
    np.testing.assert_allclose(total.ravel() - 1, 1e-6, rtol=0.2)


LESION = Exclusive(names=("background", "lésion"), soft=True)


@pytest.mark.parametrize("target", [REGIONS, MASKS, LESION, Masks(names=("axon", "ström"), ignore=9, soft=True)])
def test_a_file_of_other_outputs_than_labels_says_what_they_are(tmp_path: Path, target: Target) -> None:
    doubt = in_doubt(2, 0)[:, :9, :12, :10].copy()
    doubt[1] = 1 - doubt[0] if target is LESION else doubt[1]
    before = packed(doubt, 1, target)

    save_probabilities(tmp_path / "case.npz", before)

    after = load_packed(tmp_path / "case.npz")
    assert after.target == target
    np.testing.assert_array_equal(after.unpacked(), before.unpacked())
    with np.load(tmp_path / "case.npz", allow_pickle=False) as arrays:
        assert int(arrays["format"]) == 3 and all(arrays[name].dtype != object for name in arrays)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": np.array(3)}, "it holds 3 outputs of another kind or number than it names"),
        ({"target": np.array("{}")}, "target: "),
        ({"target": np.array("{")}, "target: not valid JSON"),
        ({"labels": np.array(["background", "core", "core"])}, "labels: given twice: core"),
        ({"labels": np.array(["background", "core"])}, "labels: every region needs the labels"),
        ({"format": np.array(2)}, r"a plane holds \d+ bytes where \d+ are due"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    tmp_path: Path, changed: dict[str, np.ndarray], message: str
) -> None:
    path = tmp_path / "case.npz"
    save_probabilities(path, packed(in_doubt(2, 0)[:, :9, :12, :10].copy(), 1, REGIONS))
    change(path, **changed)

    with pytest.raises(StorageError, match=rf"case\.npz: damaged: {message}.*; predict this case again"):
        load_probabilities(path)


def test_a_level_that_there_is_not_is_refused() -> None:
    good = packed(in_doubt(2, 0)[:, :1, :2, :2].copy(), target=REGIONS)
    content = zlib.compress(bytes([255]) * 2 * 4 * 3)

    with pytest.raises(ValueError, match="a plane holds level 8388607, and there are 262144 levels"):
        replace(good, content=np.frombuffer(content, np.uint8), ends=np.array([len(content)])).unpacked()


def test_files_of_labels_that_share_a_voxel_are_byte_for_byte_what_they_were(tmp_path: Path) -> None:
    steps = np.linspace(0, 1, 2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    save_probabilities(tmp_path / "case.npz", packed(np.stack([1 - steps, steps / 2, steps - steps / 2])))

    with np.load(tmp_path / "case.npz", allow_pickle=False) as arrays:
        content = b"".join(name.encode() + arrays[name].tobytes() for name in arrays if name != "content")
        content += b"".join(
            zlib.decompress(arrays["content"][a:b].tobytes()) for a, b in pairwise([0, *arrays["ends"]])
        )
    assert hashlib.sha256(content).hexdigest() == "a6035fef81e6fb8af0d275d8b9bc4a32aa5bce55321d0c356a7c6f0c5f4600cf"
