from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import DatasetError
from autoseg.preprocessing.cropping import crop_to_nonzero


def test_the_box_holds_every_voxel_with_a_value_in_any_channel() -> None:
    data = np.zeros((2, 6, 7, 8), dtype=np.float32)
    data[0, 2, 3, 4] = 5
    data[1, 4, 1, 4] = -1

    cropped, labels, box = crop_to_nonzero(data, None)

    assert box == ((2, 5), (1, 4), (4, 5))
    np.testing.assert_array_equal(cropped, data[:, 2:5, 1:4, 4:5])
    assert np.shares_memory(cropped, data)
    expected = np.full((3, 3, 1), -1)
    expected[0, 2, 0] = expected[2, 0, 0] = 0
    np.testing.assert_array_equal(labels, expected)


def test_background_outside_the_filled_region_becomes_minus_one_and_labels_stay() -> None:
    shell = np.zeros((1, 7, 7, 7), dtype=np.float32)
    shell[0, 1:6, 1:6, 1:6] = 1
    shell[0, 2:5, 2:5, 2:5] = 0  # a hole: inside
    shell[0, 1, 1, 1:4] = 0  # a notch in an edge: outside
    segmentation = np.zeros((7, 7, 7), dtype=np.uint8)
    segmentation[1, 1, 1] = 2
    segmentation[3, 3, 3] = 1

    _, labels, box = crop_to_nonzero(shell, segmentation)

    assert box == ((1, 6),) * 3
    expected = np.zeros((5, 5, 5))
    expected[0, 0, :3] = (2, -1, -1)
    expected[2, 2, 2] = 1
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int16


def test_an_empty_image_is_refused_in_words() -> None:
    with pytest.raises(DatasetError, match="every voxel of the image is zero, so there is nothing to segment; remove"):
        crop_to_nonzero(np.zeros((1, 3, 3, 3), dtype=np.float32), None)
