"""What arrays hold: the smallest types."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.arrays import label_type


@pytest.mark.parametrize(("classes", "kind"), [(1, np.uint8), (256, np.uint8), (257, np.uint16), (65_536, np.uint16)])
def test_labels_take_the_smallest_type(classes: int, kind: type[np.generic]) -> None:
    assert label_type(classes) is kind
    assert np.iinfo(label_type(classes)).max >= classes - 1
