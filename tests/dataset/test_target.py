"""What is predicted: its outputs, what is looked at of them, and labels from probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.dataset import LARGEST_LABEL, OUTSIDE, Exclusive
from autoseg.dataset.target import is_outside, outside_as_background
from autoseg.errors import DatasetError

LIVER = Exclusive(names=("background", "liver", "tumour"))


def test_every_label_is_an_output_and_all_but_the_background_are_looked_at() -> None:
    assert LIVER.outputs == ("background", "liver", "tumour")
    assert (LIVER.activation, LIVER.scored, LIVER.values) == ("softmax", range(1, 3), range(3))
    assert [LIVER.outputs[number] for number in LIVER.scored] == ["liver", "tumour"]


def test_labels_that_nobody_named_are_called_by_their_numbers() -> None:
    assert Exclusive.numbered(3) == Exclusive(names=("background", "label 1", "label 2"))


@pytest.mark.parametrize(
    ("outputs", "written", "kept"),
    [
        (128, np.uint8, np.int8),
        (129, np.uint8, np.int16),
        (256, np.uint8, np.int16),
        (257, np.uint16, np.int16),
        (LARGEST_LABEL + 1, np.uint16, np.int16),
    ],
)
def test_segmentations_take_the_smallest_type_that_holds_all_labels(outputs: int, written: type, kept: type) -> None:
    target = Exclusive.numbered(outputs)

    assert (target.written_type, target.kept(np.zeros(1, np.uint8)).dtype) == (written, kept)
    for kind in (written, kept):
        assert np.iinfo(kind).max >= target.values[-1]
    assert np.iinfo(kept).min <= OUTSIDE


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("background",), "^labels: declare the background and at least one more label$"),
        (("background", "a", "b", "a"), "^labels: given twice: a; name each label differently$"),
        (
            tuple(map(str, range(LARGEST_LABEL + 2))),
            "^labels: 32768 above background, and 32767 can be used; join labels, or leave some out$",
        ),
    ],
)
def test_names_are_of_the_background_and_more_each_once(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Exclusive(names=names)


def test_of_equally_probable_labels_the_lowest_is_decided() -> None:
    probabilities = np.array([[0.2, 0.4, 0.1, 0.3], [0.3, 0.4, 0.1, 0.3], [0.5, 0.2, 0.8, 0.4]], dtype=np.float32)

    assert LIVER.decide(probabilities).tolist() == [2, 0, 2, 2]


@given(seed=st.integers(0, 10**6), outputs=st.integers(2, 300), shape=st.tuples(*[st.integers(1, 4)] * 3))
def test_a_decision_is_the_first_of_the_most_probable(seed: int, outputs: int, shape: tuple[int, int, int]) -> None:
    probabilities = np.random.default_rng(seed).integers(0, 4, (outputs, *shape)).astype(np.float32)
    target = Exclusive.numbered(outputs)

    decided = target.decide(probabilities)

    assert decided.dtype == target.written_type
    np.testing.assert_array_equal(decided, probabilities.argmax(axis=0))


def test_what_is_outside_of_the_image_is_learned_as_background() -> None:
    labels = np.array([OUTSIDE, 0, 1, 2], dtype=np.int8)

    assert is_outside(labels).tolist() == [True, False, False, False]
    assert outside_as_background(labels).tolist() == [0, 0, 1, 2]
    assert outside_as_background(labels).dtype == np.int8
