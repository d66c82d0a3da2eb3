"""The memory estimate against published values of the reference system and a count by hand."""

from __future__ import annotations

import pytest

from autoseg.geometry import Shape, Spacing
from autoseg.planning.memory import estimate_memory
from autoseg.planning.topology import plan_topology

TABLE = [
    ((128, 128, 128), (1, 1, 1), 1, 3, 32, 320, 454893568),
    ((40, 56, 40), (1, 1, 1), 1, 3, 32, 320, 19264000),
    ((20, 320, 256), (3.6, 0.625, 0.625), 2, 3, 32, 320, 486592000),
    ((512, 512), (1, 1), 1, 3, 30, 512, 78069760),
]


@pytest.mark.parametrize(("patch", "spacing", "channels", "classes", "features", "cap", "expected"), TABLE)
def test_known_estimates(
    patch: Shape, spacing: Spacing, channels: int, classes: int, features: int, cap: int, expected: int
) -> None:
    found = estimate_memory(
        plan_topology(patch, spacing),
        channels=channels,
        classes=classes,
        features=features,
        max_features=cap,
        convs_per_stage=2,
    )
    assert found == expected


def test_every_term_by_hand() -> None:
    """16 x 16 with poolings to 8 x 8 and 4 x 4; features 10, 20, then 25 at the cap; three convolutions a stage."""
    found = estimate_memory(
        plan_topology((16, 16), (1, 1)), channels=2, classes=4, features=10, max_features=25, convs_per_stage=3
    )
    assert found == 256 * (7 * 10 + 2 + 4) + 64 * 20 * 7 + 16 * 25 * 3


def test_without_poolings_only_full_resolution_counts() -> None:
    found = estimate_memory(
        plan_topology((7, 5, 3), (1, 1, 1)), channels=1, classes=2, features=32, max_features=320, convs_per_stage=2
    )
    assert found == 105 * (5 * 32 + 1 + 2)
