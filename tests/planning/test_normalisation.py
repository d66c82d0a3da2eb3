"""The scheme and the mask of a channel."""

from __future__ import annotations

import pytest

from autoseg.planning.normalisation import choose_mask, choose_scheme, looks_like_ct

SCHEMES = [
    ("CT", "CT"),
    ("ct", "CT"),
    (" Ct ", "CT"),
    ("CTA", "nonCT"),
    ("CT2", "nonCT"),
    ("cardiac CT", "nonCT"),
    ("noNorm", "noNorm"),
    ("NONORM", "noNorm"),
    ("no norm", "nonCT"),
    ("MRI", "nonCT"),
    ("T1", "nonCT"),
    ("", "nonCT"),
]


@pytest.mark.parametrize(("channel", "scheme"), SCHEMES)
def test_scheme_by_name(channel: str, scheme: str) -> None:
    assert choose_scheme(channel) == scheme


@pytest.mark.parametrize(
    ("scheme", "kept", "mask"),
    [
        ("nonCT", (0.5, 0.7, 1.0), True),
        ("nonCT", (0.5, 0.75, 0.8), False),
        ("nonCT", (0.5, 0.7, 0.78, 1.0), True),
        ("noNorm", (0.1, 0.2, 0.9), True),
        ("noNorm", (1.0,), False),
        ("CT", (0.1, 0.2, 0.3), False),
    ],
)
def test_mask_by_what_cropping_kept(scheme: str, kept: tuple[float, ...], mask: bool) -> None:
    assert choose_mask(scheme, kept) is mask


@pytest.mark.parametrize(
    ("channel", "suspicious"), [("CTA", True), ("low-dose ct", True), ("CT", False), ("ct", False), ("T2", False)]
)
def test_names_that_only_look_like_ct(channel: str, suspicious: bool) -> None:
    assert looks_like_ct(channel) is suspicious
