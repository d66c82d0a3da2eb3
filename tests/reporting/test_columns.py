"""Tables that people read: columns line up, whatever stands in them."""

from __future__ import annotations

from autoseg.reporting.columns import in_columns, in_decimals, label_title


def test_columns_are_as_wide_as_they_must_be_and_short_rows_end_early() -> None:
    rows = [("label", "n", "Dice", "rules"), ("1 a long name", "12", "0.5000", "none"), ("mean", "", "0.25")]

    assert in_columns(rows, "<5 >4 >5 <9") == [
        "label             n    Dice  rules",
        "1 a long name    12  0.5000  none",
        "mean                   0.25",
    ]
    assert in_columns([], "<5 >4") == []


def test_what_is_not_known_is_a_dash_or_a_number() -> None:
    assert [in_decimals(None), in_decimals(0.25), in_decimals(12.345, 1)] == ["-", "0.2500", "12.3"]
    assert [label_title(1, ("air", "liver")), label_title(2, ("air", "liver"))] == ["1 liver", "2"]
