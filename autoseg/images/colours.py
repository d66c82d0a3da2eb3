"""A colour for each label, the same in every file and viewer."""

from __future__ import annotations

import colorsys
from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue, from 0 to 255."""

FIRST: tuple[Colour, ...] = (
    (214, 39, 40),
    (44, 160, 44),
    (31, 119, 180),
    (255, 215, 0),
    (148, 103, 189),
    (23, 190, 207),
    (255, 127, 14),
    (227, 119, 194),
    (188, 189, 34),
)
"""Those of the overlay pictures, which matplotlib calls tab:red, tab:green, tab:blue, gold, tab:purple, ..."""

GOLDEN = 0.618034
"""The golden section: hues that are so far apart come near each other as late as can be."""


def colour_of(value: int) -> Colour:
    """The colour of a label from 1 on."""
    if value <= len(FIRST):
        return FIRST[value - 1]
    red, green, blue = colorsys.hsv_to_rgb(value * GOLDEN % 1, 0.55 + 0.4 * (value % 2), 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)
