"""Numbers of labels: by values where names agree with them or are not there, else by names."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.conversion.label_files import LabelFile
from autoseg.conversion.numbering import Numbering, number_labels
from autoseg.errors import DatasetError

FOLDER = Path("labels")


def file(case: str, **names: int) -> LabelFile:
    """A file with a segment of each name."""
    return LabelFile(
        case=case, values=(0, *sorted(names.values())), names={value: name for name, value in names.items()}
    )


def nameless(case: str, *values: int) -> LabelFile:
    return LabelFile(case=case, values=values)


def number(*files: LabelFile, remap: bool = False, names: tuple[str, ...] | None = None) -> Numbering:
    return number_labels(FOLDER, files, remap_labels=remap, names=names)


def refused(*files: LabelFile, remap: bool = False, names: tuple[str, ...] | None = None) -> str:
    with pytest.raises(DatasetError) as error:
        number(*files, remap=remap, names=names)
    return str(error.value).removeprefix("labels: ")


def test_names_that_agree_name_the_labels_and_leave_the_files_alone() -> None:
    assert number(file("a", liver=1, spleen=2), file("b", spleen=2)) == Numbering(
        names=("background", "liver", "spleen")
    )


def test_a_case_that_numbers_otherwise_is_brought_to_the_others_numbers() -> None:
    found = number(file("a", liver=1, spleen=2), file("b", spleen=1, liver=2), file("c", liver=1, spleen=2))

    assert found.names == ("background", "liver", "spleen")
    assert found.numbers == {"a": {0: 0, 1: 1, 2: 2}, "b": {0: 0, 1: 2, 2: 1}, "c": {0: 0, 1: 1, 2: 2}}
    assert found.notes == (
        "cases number their segments differently, so labels go by the names: liver is 1 in a, c and 2 in b; "
        "spleen is 1 in b and 2 in a, c; the copies are renumbered",
    )


def test_a_segment_of_one_case_only_gets_a_number_of_its_own() -> None:
    """Its value is that of another name elsewhere, though no name has two values."""
    found = number(file("a", liver=1, spleen=2), file("b", liver=1, cyst=2))

    assert found.names == ("background", "liver", "cyst", "spleen")
    assert found.numbers == {"a": {0: 0, 1: 1, 2: 3}, "b": {0: 0, 1: 1, 2: 2}}
    assert "cyst is 2 in b; liver is 1 in a, b; spleen is 2 in a" in found.notes[0]


names_of_cases = st.lists(
    st.lists(st.sampled_from("abcdef"), unique=True, min_size=1).flatmap(
        lambda names: st.tuples(st.just(names), st.lists(st.integers(1, 300), unique=True, min_size=6, max_size=6))
    ),
    min_size=1,
    max_size=5,
)


@given(cases=names_of_cases)
def test_one_name_gets_one_number_and_each_number_one_name(cases: list[tuple[list[str], list[int]]]) -> None:
    files = [file(f"case {i}", **dict(zip(names, values, strict=False))) for i, (names, values) in enumerate(cases)]

    found = number(*files, remap=True)

    for one in files:
        numbers = found.numbers[one.case] if found.numbers else {value: value for value in one.values}
        assert {found.names[numbers[value]]: value for value in one.values if value} == {
            name: value for value, name in one.names.items()
        }
        assert numbers[0] == 0
    assert sorted(found.names) == sorted({"background"} | {name for names, _ in cases for name in names})


def test_the_order_of_the_cases_changes_nothing() -> None:
    files = (file("a", liver=1, spleen=2), file("b", spleen=1, liver=3), file("c", liver=1, cyst=4))
    results = [number(*order) for order in permutations(files)]
    assert all((one.names, one.numbers) == (results[0].names, results[0].numbers) for one in results)


def test_gaps_in_agreeing_values_are_renumbered_on_request_only() -> None:
    files = (file("a", liver=1, spleen=5), file("b", liver=1))
    assert refused(*files) == (
        "the values are 0, 1, 5, but labels are numbered 0, 1, 2, ... without a gap; "
        "add `remap_labels` to have them renumbered in the copies (0 to 0, 1 to 1, 5 to 2)"
    )
    found = number(*files, remap=True)
    assert found.names == ("background", "liver", "spleen")
    assert found.numbers == {case: {0: 0, 1: 1, 5: 2} for case in "ab"}


def test_files_without_names_are_taken_by_their_values_where_the_others_agree() -> None:
    found = number(file("a", liver=1), nameless("b", 0, 1, 2), nameless("empty", 0))
    assert found.names == ("background", "liver", "label_2")
    assert found.notes == ("the names of segments are taken for the same values of b, too, which name none",)


def test_files_without_names_beside_names_that_disagree_are_refused() -> None:
    message = refused(file("a", liver=1), file("b", liver=2), nameless("c", 0, 1), nameless("empty", 0))
    assert message == (
        "the names of segments have other numbers in other cases (liver is 1 in a and 2 in b), and the labels of c "
        "have no names to go by; name their segments in 3D Slicer, or take them away"
    )
    assert number(file("a", liver=1), file("b", liver=2), nameless("empty", 0)).numbers["empty"] == {0: 0}


def test_names_that_differ_in_case_only_are_refused() -> None:
    assert refused(file("a", Liver=1), file("b", liver=1)) == (
        "segments whose names differ in case only: Liver in a, liver in b; "
        "name them alike, or convert label images without names"
    )


def test_a_segment_called_background_is_refused() -> None:
    assert refused(file("a", Background=1)) == (
        "a segment of a is called background, which is what lies in no segment; rename or delete it"
    )


def test_many_labels_are_taken_and_pointed_out_and_too_many_refused() -> None:
    assert number(nameless("a", *range(256))).notes == ()
    assert number(nameless("a", *range(201)), nameless("b", *range(301))).notes == (
        "300 labels, which is many; are these images rather than labels?",
    )
    assert refused(nameless("a", *range(0, 900, 3))).endswith("and 290 more); are these images rather than labels?")
    assert len(number(nameless("a", *range(32768))).names) == 32768
    assert refused(nameless("a", *range(20000)), nameless("b", *range(20000, 32769))) == (
        "the files hold 32768 different labels together, and 32767 can be used; are these images rather than labels?"
    )


def test_a_user_names_labels_in_the_order_of_their_numbers() -> None:
    found = number(nameless("a", 0, 3, 7), remap=True, names=("LV", " RV  wall"))
    assert found.names == ("background", "LV", "RV wall")
    assert found.numbers == {"a": {0: 0, 3: 1, 7: 2}}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            ("LV",),
            "1 label named (LV), but the files hold 2 (label_1, label_2); name each once, in this order, without",
        ),
        (("background", "LV", "RV"), "3 labels named (background, LV, RV), but the files hold 2 (label_1, label_2)"),
        (("LV", "LV"), "labels are named alike: LV; name each differently"),
        (("LV", "background"), "labels are named alike: background; name each differently"),
        (("LV", " "), "a label is given an empty name; name each"),
    ],
)
def test_names_of_a_user_that_do_not_fit(names: tuple[str, ...], reason: str) -> None:
    assert refused(nameless("a", 0, 1, 2), names=names).startswith(reason)


def test_names_of_a_user_may_replace_those_in_the_files_but_not_exchange_them() -> None:
    files = (file("a", Segment_1=1, Segment_2=2),)
    assert number(*files, names=("LV", "RV")).names == ("background", "LV", "RV")
    assert refused(*files, names=("Segment_2", "Segment_1")) == (
        "Segment_2, Segment_1: the label files give this name to another number (1, 2, ...: Segment_1, Segment_2); "
        "name labels in this order, or leave `labels` out"
    )
