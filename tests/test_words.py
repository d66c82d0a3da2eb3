"""The words of messages, to the letter."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.words import (
    HOUR,
    MINUTE,
    agreeing,
    counted,
    first_few,
    for_example,
    in_brackets,
    in_bytes,
    in_digits,
    in_gigabytes,
    in_millimetres,
    in_sides,
    nearest,
    readable,
    rough_time,
    short_time,
    time_span,
    without_case,
)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 cases"), (1, "1 case"), (2, "2 cases"), (21, "21 cases"), ("1", "1 case"), ("1.0", "1.0 cases")],
)
def test_a_noun_agrees_with_its_number(number: int | str, said: str) -> None:
    assert counted(number, "case") == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 batches are few"), (1, "1 batch is few"), (2, "2 batches are few")]
)
def test_an_irregular_plural_and_a_verb_agree_as_well(number: int, said: str) -> None:
    assert counted(number, "batch is few", "batches are few") == said


@pytest.mark.parametrize(("number", "said"), [(0, "folds are"), (1, "fold is"), (2, "folds are")])
def test_a_word_agrees_with_a_number_that_stands_elsewhere(number: int, said: str) -> None:
    assert f"{agreeing(number, 'fold')} {agreeing(number, 'is', 'are')}" == said


@pytest.mark.parametrize(
    ("reason", "said"),
    [("case a: is empty", "is empty"), ("case ab: is empty", "case ab: is empty"), ("is empty", "is empty")],
)
def test_a_case_is_not_named_twice(reason: str, said: str) -> None:
    assert without_case(reason, "a") == said


@pytest.mark.parametrize(
    ("name", "said"), [("Bauch Ü", "Bauch Ü"), ("a\nb", "'a\\nb'"), ("\x1b[2J", "'\\x1b[2J'"), (7, "7")]
)
def test_a_name_stays_on_its_line(name: object, said: str) -> None:
    assert readable(name) == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, ""), (1, "0"), (2, "0, 1"), (3, "0, 1 and 1 more"), (4, "0, 1 and 2 more")]
)
def test_the_first_few_and_how_many_there_are_more(number: int, said: str) -> None:
    assert first_few(range(number), 2) == said


@pytest.mark.parametrize(("number", "said"), [(2, "0, 1"), (3, "0, 1 and 1 more file"), (4, "0, 1 and 2 more files")])
def test_what_there_is_more_of(number: int, said: str) -> None:
    assert first_few(range(number), 2, noun="file") == said


def test_the_first_few_are_ten_and_readable() -> None:
    assert first_few(["a\n", *"bcdefghijkl"]) == "'a\\n', b, c, d, e, f, g, h, i, j and 2 more"
    assert first_few(np.arange(12.0) / 2, say=in_digits) == "0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5 and 2 more"


@pytest.mark.parametrize(("names", "said"), [("", ""), ("abc", "a, b, c"), ("abcd", "a, b, c, ...")])
def test_examples(names: str, said: str) -> None:
    assert for_example(names) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1234567, "1234567"),
        (np.int64(1234567), "1234567"),
        (2.0, "2"),
        (1 / 3, "0.333333"),
        (np.float32(0.7), "0.7"),
        (float("nan"), "nan"),
    ],
)
def test_a_number_has_six_digits_unless_it_is_whole(value: float, said: str) -> None:
    assert in_digits(value) == said


def test_several_numbers() -> None:
    assert in_brackets((1, 2.5, 1 / 3)) == "(1, 2.5, 0.333333)"
    assert in_sides((64, 64, 32)) == "64 x 64 x 32"
    assert in_millimetres((5, 0.7421875, 0.7421875)) == "5 x 0.7422 x 0.7422 mm"


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 kB"), (6000, "6 kB"), (1e6, "1 MB"), (45.4e6, "45 MB"), (1e9, "1.0 GB"), (12.34e9, "12.3 GB")],
)
def test_sizes(count: float, said: str) -> None:
    assert in_bytes(count) == said


def test_sizes_that_are_compared() -> None:
    assert in_gigabytes(0.26e9) == "0.3 GB"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (192, "3 min 12 s"),
        (3600, "1 h"),
        (3600 + 59 * 60 + 59, "1 h 59 min"),
        (2 * 86400 + 3 * 3600, "2 d 3 h"),
        (86400 + 60, "1 d"),
    ],
)
def test_a_time_has_two_units_at_most(seconds: float, said: str) -> None:
    assert time_span(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "smallest", "said"),
    [(192, MINUTE, "3 min"), (4169, MINUTE, "1 h 9 min"), (5401, HOUR, "2 h"), (100_000, HOUR, "1 d 4 h")],
)
def test_a_time_is_rounded_to_the_smallest_unit_that_is_said(seconds: float, smallest: int, said: str) -> None:
    assert time_span(seconds, smallest) == said


@pytest.mark.parametrize(("seconds", "said"), [(61, "61 s"), (420, "7 min"), (9000, "2.5 h"), (5.8e6, "67 days")])
def test_a_time_that_is_left(seconds: float, said: str) -> None:
    assert rough_time(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(0.253, "0.25 s"), (9.96, "10 s"), (22.4, "22 s")])
def test_a_short_time(seconds: float, said: str) -> None:
    assert short_time(seconds) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("epoch", "; did you mean epochs?"),
        ("EPOCHS", "; did you mean epochs?"),
        ("sgd", "; did you mean SGD?"),
        ("x", ""),
    ],
)
def test_the_nearest_of_known_names_is_offered(name: str, said: str) -> None:
    assert nearest(name, ("epochs", "SGD", "mirror")) == said
