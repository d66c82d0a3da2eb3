"""What the values of label images are called and how they are coloured, in the words of two viewers.

ITK-SNAP reads a list of labels (Segmentation / Import Label Descriptions), 3D Slicer a table of colours:
https://slicer.readthedocs.io/en/latest/developer_guide/modules/colors.html.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from autoseg.images.colours import colour_of

HEAD = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
"""
CLEAR = '    0     0    0    0        0  0  0    "Clear Label"'


def itksnap_labels(names: tuple[str, ...]) -> str:
    """The list of labels that ITK-SNAP imports.

    Args:
        names: Of the values, at their index; the first is the background, an empty one is no label.
    """
    lines = [CLEAR]
    for value, name in _named(names):
        red, green, blue = colour_of(value)
        quoted = name.replace('"', "'")
        lines.append(f'{value:5d} {red:5d} {green:4d} {blue:4d}        1  1  1    "{quoted}"')
    return HEAD + "\n".join(lines) + "\n"


def slicer_colours(names: tuple[str, ...]) -> str:
    """The table of colours that 3D Slicer loads."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["LabelValue", "Name", "Color_R", "Color_G", "Color_B", "Color_A"])
    table.writerow([0, names[0], 0, 0, 0, 0])
    table.writerows([value, name, *colour_of(value), 255] for value, name in _named(names))
    return written.getvalue()


def _named(names: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    return ((value, name) for value, name in enumerate(names) if value and name)
