"""The kinds of a target beside one whole number a voxel: regions, masks, fractions, and what nobody knows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.dataset import IGNORED, LARGEST_LABEL, OUTSIDE, Exclusive, Masks, Regions, Target
from autoseg.dataset.coding import (
    IGNORED_PLANE,
    OUTSIDE_PLANE,
    WHOLE,
    fractions_of,
    is_ignored,
    is_outside,
    outside_as_background,
    planes_of,
)
from autoseg.dataset.target import restored_target, stored_target
from autoseg.errors import DatasetError
from autoseg.files.storage import decode, encode

BRATS = Regions(names=("whole", "core", "enhancing"), members=((1, 2, 3), (2, 3), (3,)), order=(1, 2, 3), ignore=255)
NERVE = Masks(names=("axon", "myelin"))
SOFT = Exclusive(names=("background", "lesion"), soft=True, ignore=255)
KINDS: list[Target] = [
    Exclusive(names=("background", "liver", "tumour")),
    Exclusive(names=("background", "liver"), ignore=9),
    SOFT,
    BRATS,
    NERVE,
    Masks(names=("axon",), soft=True, ignore=7),
]


def test_regions_are_outputs_that_overlap_and_are_written_in_their_order() -> None:
    assert (BRATS.outputs, BRATS.labels) == (("whole", "core", "enhancing"), ("background", *BRATS.names))
    assert (BRATS.activation, BRATS.scored, BRATS.values) == ("sigmoid", range(1, 4), (0, 1, 2, 3))
    holds = np.array([[0.9, 0.9, 0.9, 0.2, 0.5], [0.1, 0.8, 0.8, 0.1, 0.5], [0.3, 0.2, 0.9, 0.7, 0.5]])
    assert BRATS.decide(holds).tolist() == [1, 2, 3, 3, 0], "one half is not more than one half"


def test_regions_of_a_map_are_where_their_labels_are() -> None:
    labels = np.array([0, 1, 2, 3, OUTSIDE, IGNORED], dtype=np.int8)
    assert BRATS.encode(labels).tolist() == [[0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 0, 0]]
    assert BRATS.known(labels).tolist() == [[True, True, True, True, True, False]]
    assert BRATS.table.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_a_region_may_be_written_as_another_label() -> None:
    turned = Regions(names=("whole", "posterior"), members=((1, 2), (2,)), order=(2, 1))
    assert turned.decide(turned.encode(np.array([0, 1, 2], np.int8))).tolist() == [0, 2, 1]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_regions_that_lie_in_each_other_are_written_as_the_map_they_were(values: list[int]) -> None:
    labels = np.array(values, dtype=np.int8)
    np.testing.assert_array_equal(BRATS.decide(BRATS.encode(labels)), labels)


def test_masks_overlap_and_are_written_one_by_one() -> None:
    assert (NERVE.activation, NERVE.outputs, NERVE.scored) == ("sigmoid", ("axon", "myelin"), range(1, 3))
    assert NERVE.decide(np.array([[0.6, 0.4, 0.5], [0.9, 0.1, 0.51]])).tolist() == [[1, 0, 0], [1, 0, 1]]
    planes = np.array([[WHOLE, 0, OUTSIDE_PLANE], [WHOLE, IGNORED_PLANE, 0]], dtype=np.uint8)
    assert NERVE.encode(planes).tolist() == [[1, 0, 0], [1, 0, 0]]
    assert NERVE.known(planes).tolist() == [[True, True, True], [True, False, True]]


def test_fractions_of_one_label_share_the_voxel_with_the_background() -> None:
    planes = np.array([[0, WHOLE, WHOLE // 5, OUTSIDE_PLANE, IGNORED_PLANE]], dtype=np.uint8)
    np.testing.assert_allclose(SOFT.encode(planes), [[1, 0, 0.8, 1, 1], [0, 1, 0.2, 0, 0]], rtol=1e-6)
    assert SOFT.known(planes).tolist() == [[True, True, True, True, False]]


def test_of_exclusive_labels_exactly_one_holds() -> None:
    target = Exclusive(names=("background", "a", "b"), ignore=255)
    labels = np.array([[0, 1], [2, OUTSIDE], [IGNORED, 1]], dtype=np.int16)
    truth = target.encode(labels)
    assert truth.shape == (3, 3, 2)
    assert (truth.sum(axis=0) == 1).all()
    assert truth.argmax(axis=0).tolist() == [[0, 1], [2, 0], [0, 1]]
    assert target.known(labels)[0].tolist() == [[True, True], [True, True], [False, True]]


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30))
def test_a_fraction_is_kept_in_a_byte_to_a_fifth_of_a_percent(values: list[float]) -> None:
    fractions = np.array(values, dtype=np.float32)
    planes = planes_of(fractions)
    assert planes.max() <= WHOLE
    np.testing.assert_allclose(fractions_of(planes), fractions, atol=0.5 / WHOLE + 1e-6)


def test_marks_are_told_in_maps_and_planes() -> None:
    labels, planes = np.array([0, 254, 255, -1, -2], np.int16), np.array([0, 254, 255], np.uint8)
    assert is_outside(labels).tolist() == [False, False, False, True, False]
    assert is_ignored(labels).tolist() == [False, False, False, False, True]
    assert outside_as_background(labels).tolist() == [0, 254, 255, 0, 0]
    assert (is_outside(planes).tolist(), is_ignored(planes).tolist()) == ([False, True, False], [False, False, True])


@pytest.mark.parametrize("target", KINDS, ids=str)
def test_what_is_stored_is_restored(target: Target) -> None:
    stored = stored_target(target)
    plain = encode(stored)
    again = None if plain is None else decode(type(stored), plain, "target")
    assert restored_target(target.labels, again) == target


def test_exclusive_labels_need_nothing_beside_their_names() -> None:
    assert stored_target(Exclusive(names=("background", "liver"))) is None


REGIONS: dict[str, Any] = {"names": ("whole", "core"), "members": ((1, 2), (2,)), "order": (1, 2)}


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (Regions, {"names": (), "members": (), "order": ()}, "labels: declare at least one region"),
        (Regions, {"names": ("a", "a")}, "labels: given twice: a; name each region differently"),
        (Regions, {"members": ((1, 2), ())}, "labels: every region needs the labels that it covers, at least one"),
        (Regions, {"members": ((0, 1), (2,))}, "labels: region whole covers 0, which is the background"),
        (Regions, {"members": ((1, -2), (2,))}, "labels: region whole: a label is a whole number from 1 to 32767"),
        (Regions, {"members": ((1, 1), (2,))}, "labels: region whole names a label twice"),
        (
            Regions,
            {"order": (1,)},
            "regions_class_order: give each region its label, in their order (whole, core); found 1",
        ),
        (Regions, {"order": (1, 5)}, "regions_class_order: 5: no region covers it"),
        (Regions, {"order": (2, 2)}, "regions_class_order: 2 is written by two regions"),
        (Regions, {"ignore": 2}, "ignore: 2 is also a label; take a value above all labels"),
        (Exclusive, {"names": ("background", "a"), "ignore": 1}, "ignore: 1 is also a label"),
        (Exclusive, {"names": ("background", "a"), "ignore": -1}, "ignore: -1 does not lie above the labels"),
        (Exclusive, {"names": ("background", "a"), "ignore": LARGEST_LABEL + 1}, "ignore: 32768 is too large"),
        (
            Exclusive,
            {"names": ("background", "a", "b"), "soft": True},
            "soft_labels: one file holds the fractions of one",
        ),
        (Masks, {"names": ()}, "masks: declare at least one mask"),
        (Masks, {"names": ("a", "a")}, "masks: given twice: a; name each mask differently"),
        (Masks, {"names": ("a",), "ignore": 1}, "ignore: 1 is also a label"),
        (Masks, {"names": ("a",), "ignore": 1, "soft": True}, "ignore: 1 is a fraction, too; take another value"),
    ],
)
def test_what_contradicts_itself_is_refused(kind: Any, changes: dict[str, Any], message: str) -> None:
    values = {**REGIONS, **changes} if kind is Regions else changes
    with pytest.raises(DatasetError, match="^" + re.escape(message)):
        kind(**values)


def test_what_nobody_drew_is_told_by_number() -> None:
    exclusive = Exclusive(names=("background", "a", "b"))
    regions = Regions(names=("whole", "core"), members=((1, 3), (3,)), order=(1, 3))
    masks = Masks(names=("axon", "myelin"))

    assert [one.undrawn(None) for one in (exclusive, regions, masks)] == [(), (), ()]
    assert (exclusive.undrawn(("b",)), exclusive.drawn_outputs(("b",))) == ((1,), (True, False, True))
    assert (regions.undrawn(("whole",)), regions.drawn_outputs(("core",))) == ((2,), (False, True))
    assert masks.undrawn(("axon",)) == (2,)
