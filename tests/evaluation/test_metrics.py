"""Metrics against values worked out by hand, and against the plain definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.dataset.target import Exclusive, Regions
from autoseg.evaluation.metrics import (
    Confusion,
    Counted,
    confusion_metrics,
    count,
    defined_mean,
    hausdorff_distance_95,
    score_arrays,
)

NAMES = (
    "Accuracy, Dice, False Discovery Rate, False Negative Rate, False Omission Rate, False Positive Rate, Jaccard, "
    "Negative Predictive Value, Precision, Recall, Total Positives Reference, Total Positives Test, True Negative Rate"
).split(", ")


def test_the_thirteen_metrics_of_a_small_table() -> None:
    """3 found, 1 invented, 2 missed, 10 rightly left out."""
    counts = Confusion(true_positives=3, false_positives=1, false_negatives=2, true_negatives=10)

    metrics = confusion_metrics(counts)

    assert list(metrics) == NAMES
    expected = [13 / 16, 6 / 9, 1 / 4, 2 / 5, 2 / 12, 1 / 11, 3 / 6, 10 / 12, 3 / 4, 3 / 5, 5, 4, 10 / 11]
    assert list(metrics.values()) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("counts", "undefined"),
    [
        # tp, fp, fn, tn
        ((0, 0, 0, 8), {"Dice", "Jaccard", "Precision", "False Discovery Rate", "Recall", "False Negative Rate"}),
        ((0, 0, 3, 5), {"Precision", "False Discovery Rate"}),
        ((0, 3, 0, 5), {"Recall", "False Negative Rate"}),
        (
            (8, 0, 0, 0),
            {"True Negative Rate", "False Positive Rate", "False Omission Rate", "Negative Predictive Value"},
        ),
        ((5, 3, 0, 0), {"False Omission Rate", "Negative Predictive Value"}),
        ((5, 0, 3, 0), {"True Negative Rate", "False Positive Rate"}),
        ((1, 1, 1, 1), set()),
    ],
)
def test_a_metric_is_undefined_exactly_where_it_divides_by_nothing(
    counts: tuple[int, int, int, int], undefined: set[str]
) -> None:
    names = ("true_positives", "false_positives", "false_negatives", "true_negatives")

    metrics = confusion_metrics(Confusion(**dict(zip(names, counts, strict=True))))

    assert {name for name, value in metrics.items() if value is None} == undefined


def test_all_labels_of_a_small_image_are_counted_at_once() -> None:
    reference = np.array([[[0, 1, 1, 2], [0, 2, 2, 2]]], dtype=np.uint8)
    prediction = np.array([[[0, 1, 2, 2], [1, 2, 2, 9]]], dtype=np.int64)

    counts = count(prediction, reference, Counted.of([0, 1, 2]))

    assert counts == {
        0: Confusion(true_positives=1, false_positives=0, false_negatives=1, true_negatives=6),
        1: Confusion(true_positives=1, false_positives=1, false_negatives=1, true_negatives=5),
        2: Confusion(true_positives=3, false_positives=1, false_negatives=1, true_negatives=3),
    }


@given(
    seed=st.integers(0, 10**6),
    kinds=st.sampled_from([np.uint8, np.int16, np.uint16, np.int64]),
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True),
)
def test_counting_agrees_with_comparing_masks(seed: int, kinds: type, labels: list[int]) -> None:
    generator = np.random.default_rng(seed)
    prediction, reference = generator.integers(0, 8, (2, 3, 4, 5)).astype(kinds)

    for label, counts in count(prediction, reference, Counted.of(labels)).items():
        ours, theirs = prediction == label, reference == label
        assert counts == Confusion(
            true_positives=int((ours & theirs).sum()),
            false_positives=int((ours & ~theirs).sum()),
            false_negatives=int((~ours & theirs).sum()),
            true_negatives=int((~ours & ~theirs).sum()),
        )


def test_values_outside_the_labels_never_alias_one_of_them() -> None:
    reference = np.array([[[-1, -7, 300, 2**40]]])
    prediction = np.array([[[0, 1, 2, 2]]])

    counts = count(prediction, reference, Counted.of([0, 1, 2]))

    assert [c.true_positives for c in counts.values()] == [0, 0, 0]
    assert [c.false_negatives for c in counts.values()] == [0, 0, 0]


@pytest.mark.parametrize("kind", [np.uint32, np.int64, np.uint64, np.int32])
def test_large_numbers_are_counted_as_small_ones_are(kind: type) -> None:
    """A table with an entry for every number up to the largest would need exabytes."""
    generator = np.random.default_rng(0)
    numbers = np.array([0, 997, 526157192, 614454277, np.iinfo(kind).max], kind)
    prediction, reference = generator.integers(0, 5, (2, 4, 5, 6))

    counts = count(numbers[prediction], numbers[reference], Counted.of([int(number) for number in numbers[::-1]]))

    assert list(counts.values()) == list(count(prediction, reference, Counted.of([4, 3, 2, 1, 0])).values())


def test_neighbouring_numbers_beyond_what_floats_tell_apart() -> None:
    for number, kind in ((2**53, np.int64), (2**63 + 2**11, np.uint64)):
        image = np.array([[[number, number + 1, 0, 0]]], kind)
        shifted = np.array([[[number + 1, number + 1, 0, 0]]], kind)
        assert count(image, shifted, Counted.of([number, number + 1])) == {
            number: Confusion(true_positives=0, false_positives=1, false_negatives=0, true_negatives=3),
            number + 1: Confusion(true_positives=1, false_positives=0, false_negatives=1, true_negatives=2),
        }


def test_numbers_that_the_images_type_cannot_hold_are_in_no_voxel() -> None:
    image = np.array([[[0, 44, -1, 7]]], np.int8)
    assert [counts.true_positives for counts in count(image, image, Counted.of([300, 2**40, 7])).values()] == [0, 0, 1]
    with_negative = np.array([[[-5, 2**40, -(2**40), 7]]], np.int64)
    assert [
        counts.true_positives for counts in count(with_negative, with_negative, Counted.of([2**40, 7])).values()
    ] == [1, 1]


@pytest.mark.parametrize("start", [0, 10**9])
def test_many_labels_are_counted_one_by_one(start: int) -> None:
    labels = [start + number for number in range(1, 400)]
    generator = np.random.default_rng(0)
    prediction, reference = start + generator.integers(0, 420, (2, 6, 30, 30)).astype(np.int64)

    counts = count(prediction, reference, Counted.of(labels))

    for label in labels[::37]:
        ours, theirs = prediction == label, reference == label
        assert counts[label] == Confusion(
            true_positives=int((ours & theirs).sum()),
            false_positives=int((ours & ~theirs).sum()),
            false_negatives=int((~ours & theirs).sum()),
            true_negatives=int((~ours & ~theirs).sum()),
        )


def test_images_of_different_shape_are_not_compared() -> None:
    with pytest.raises(ValueError, match=r"prediction \(1, 2, 2\) and reference \(1, 2, 3\) must have one shape"):
        count(np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2, 3), np.uint8), Counted.of([1]))


def test_hausdorff_of_two_voxels_is_their_distance_in_mm() -> None:
    ours, theirs = np.zeros((2, 6, 7, 8), dtype=bool)
    ours[1, 2, 3] = theirs[3, 2, 7] = True

    assert hausdorff_distance_95(ours, theirs, (3.0, 1.0, 0.5)) == pytest.approx(np.hypot(6.0, 2.0))


def test_hausdorff_takes_the_95th_percentile_of_both_directions() -> None:
    """A line of 39 voxels, and the same with one more voxel 10 away: 78 distances of 0 and one of 10."""
    ours = np.zeros((1, 60, 3), dtype=bool)
    ours[0, 5:44, 1] = True
    theirs = ours.copy()
    theirs[0, 53, 1] = True

    assert hausdorff_distance_95(ours, theirs, (1, 1, 1)) == 0.0
    theirs[0, 53:59, 1] = True  # distances 10 to 15 of 84: the 95th percentile lies at rank 78.85, so 10 + 0.85
    assert hausdorff_distance_95(ours, theirs, (1, 1, 1)) == pytest.approx(10.85)


def test_hausdorff_measures_from_the_surface_not_from_the_inside() -> None:
    """Cubes of side 9 and 5 round one centre: corners of the larger one are 2 * sqrt(3) away."""
    ours, theirs = np.zeros((2, 15, 15, 15), dtype=bool)
    ours[3:12, 3:12, 3:12] = True
    theirs[5:10, 5:10, 5:10] = True

    inner_to_outer = hausdorff_distance_95(theirs, ours, (1, 1, 1))

    distances = [2.0] * (5**3 - 3**3) + sorted(
        np.sqrt(sum(max(0, abs(c) - 2) ** 2 for c in (z, y, x)))
        for z in range(-4, 5)
        for y in range(-4, 5)
        for x in range(-4, 5)
        if 4 in (abs(z), abs(y), abs(x))
    )
    assert inner_to_outer == pytest.approx(np.percentile(distances, 95))


def test_hausdorff_agrees_with_what_medpy_computes() -> None:
    """Values of MedPy 0.5.2, `medpy.metric.binary.hd95`, for the same random shapes."""
    spacings = [(1, 1, 1), (5, 0.7, 0.7), (10, 1.37, 1.37)] * 2
    expected = [4.0, 3.5693136595, 8.3333846665, 3.7416573868, 3.5693136595, 7.7498903216]
    generator = np.random.default_rng(0)
    for number, (spacing, value) in enumerate(zip(spacings, expected, strict=True)):
        noise = [ndimage.gaussian_filter(generator.normal(size=(20, 30, 25)), 2) for _ in range(2)]
        ours, theirs = noise[0] > 0.02 * number / 3, noise[1] > 0.03
        assert hausdorff_distance_95(ours, theirs, spacing) == pytest.approx(value)


@pytest.mark.parametrize("fill", [False, True])
def test_hausdorff_is_undefined_without_a_surface(fill: bool) -> None:
    some = np.zeros((3, 3, 3), dtype=bool)
    some[1, 1, 1] = True

    assert hausdorff_distance_95(np.full((3, 3, 3), fill), some, (1, 1, 1)) is None
    assert hausdorff_distance_95(some, np.full((3, 3, 3), fill), (1, 1, 1)) is None


def test_scores_carry_the_distance_only_when_a_spacing_is_given() -> None:
    reference = np.zeros((4, 4, 4), np.uint8)
    reference[1:3, 1:3, 1:3] = 1
    prediction = np.roll(reference, 1, axis=0)

    plain = score_arrays(prediction, reference, Counted.of([1]))
    advanced = score_arrays(prediction, reference, Counted.of([1]), spacing=(2.0, 1.0, 1.0))

    assert plain[1]["Dice"] == 0.5
    assert list(plain[1]) == NAMES
    assert list(advanced[1]) == sorted([*NAMES, "Hausdorff Distance 95"])
    assert advanced[1]["Hausdorff Distance 95"] == 2.0


def test_the_mean_of_what_is_defined() -> None:
    nan = np.nan
    table = np.array([[0.5, nan, nan], [0.75, 0.25, nan]])

    np.testing.assert_array_equal(defined_mean(table, axis=0), [0.625, 0.25, nan])
    np.testing.assert_array_equal(defined_mean(table, axis=-1), [0.5, 0.5])
    assert np.isnan(defined_mean(np.array([nan]), axis=0))


# ------------------------------------------------------------------------- numbers of several values


@pytest.mark.parametrize("others", [range(3, 4), range(3, 400)], ids=["few", "many"])
def test_a_number_may_cover_several_values_that_are_others_too(others: range) -> None:
    generator = np.random.default_rng(5)
    prediction, reference = generator.integers(0, 5, (2, 7, 9, 8))
    members = {1: (1, 2), 2: (2,), 3: (2, 4), **{number + 10: (number,) for number in others}}

    counts = count(prediction, reference, Counted(members=members))
    for number, values in members.items():
        found, there = np.isin(prediction, values), np.isin(reference, values)
        assert counts[number] == Confusion(
            true_positives=int((found & there).sum()),
            false_positives=int((found & ~there).sum()),
            false_negatives=int((~found & there).sum()),
            true_negatives=int((~found & ~there).sum()),
        )
    scores = score_arrays(prediction, reference, Counted(members={7: (1, 2)}), spacing=(1.0, 2.0, 1.0))
    whole = score_arrays(
        np.isin(prediction, (1, 2)).astype(int),
        np.isin(reference, (1, 2)).astype(int),
        Counted.of([1]),
        spacing=(1.0, 2.0, 1.0),
    )
    assert scores[7] == whole[1]


def test_where_nobody_knows_nothing_is_counted() -> None:
    generator = np.random.default_rng(6)
    prediction, reference = generator.integers(0, 3, (2, 6, 9, 8))
    cut = reference.copy()
    cut[:, 4:] = 9

    counts = count(prediction, cut, Counted(members={1: (1,), 2: (2,)}, ignore=9))
    assert counts == count(prediction[:, :4], reference[:, :4], Counted.of([1, 2]))
    distances = [
        score_arrays(*pair, Counted(members={1: (1, 2)}, ignore=9), spacing=(1.0, 1.0, 1.0))[1]["Hausdorff Distance 95"]
        for pair in ((np.where(cut == 9, 0, prediction), np.where(cut == 9, 0, cut)), (prediction, cut))
    ]
    assert distances[0] == distances[1]


def test_what_is_scored_of_a_target() -> None:
    regions = Regions(names=("whole", "core"), members=((1, 2), (2,)), order=(1, 2), ignore=7)
    assert Counted.of_target(regions) == Counted(members={1: (1, 2), 2: (2,)}, ignore=7)
    assert Counted.of_target(Exclusive.numbered(3)) == Counted.of([1, 2])
    assert Counted.of_target(Exclusive.numbered(3), [0, 2]) == Counted.of([0, 2])
