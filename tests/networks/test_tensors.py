"""A file of tensors: whole, or as it was before, whatever the disk does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autoseg.errors import DiskError
from autoseg.networks.tensors import save_tensors


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    content = {"format": 1, "weights": {"a": torch.arange(5.0), "b": torch.ones(2, 3, dtype=torch.bfloat16)}}
    save_tensors(tmp_path / "file.pt", content)

    found = torch.load(tmp_path / "file.pt", weights_only=True)
    assert found["format"] == 1
    assert all(torch.equal(found["weights"][name], tensor) for name, tensor in content["weights"].items())  # type: ignore[attr-defined]


@pytest.mark.parametrize("numbers", [3000, 10**6])
def test_on_a_full_disk_it_is_said_so_and_the_old_file_stays(small_disk: Callable[[int], Path], numbers: int) -> None:
    path = small_disk(16_384) / "checkpoint.pt"
    save_tensors(path, {"epoch": 1})

    with pytest.raises(DiskError) as caught:
        save_tensors(path, {"epoch": 2, "weights": torch.zeros(numbers)})

    assert str(caught.value) == (f"{path}: cannot be written: No space left on device; check space and permissions")
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(path.parent.iterdir()) == [path]


def test_what_is_wrong_with_the_content_is_not_taken_for_the_disk(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="pickle"):
        save_tensors(tmp_path / "file.pt", {"a": lambda: None})
    assert list(tmp_path.iterdir()) == []
