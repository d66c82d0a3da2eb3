from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from autoseg.errors import TrainingError
from autoseg.training.fold.checkpoint import load_checkpoint, require_same, save_checkpoint


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    weights = torch.randn(3, generator=torch.Generator().manual_seed(0))
    save_checkpoint(tmp_path / "checkpoint.pt", {"weights": weights, "epoch": 3})
    content = load_checkpoint(tmp_path / "checkpoint.pt")

    assert torch.equal(content["weights"], weights) and content["epoch"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_failed_save_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"epoch": 3})
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save_checkpoint(path, {"epoch": 4, "bad": lambda: None})

    assert load_checkpoint(path)["epoch"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])

    with pytest.raises(
        TrainingError,
        match=r"checkpoint\.pt: refused: it is cut short, or no file of tensors as torch writes them; start anew with `overwrite=True`",
    ):
        load_checkpoint(path)


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("/tmp/autoseg_hostile_checkpoint"),))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": 2, "epoch": Hostile()}, path)

    with pytest.raises(
        TrainingError, match="refused: it holds more than tensors and plain values; start anew with `overwrite=True`"
    ):
        load_checkpoint(path)
    assert not Path("/tmp/autoseg_hostile_checkpoint").exists()


@pytest.mark.parametrize("content", [{"format": 1, "version": "0.9"}, [1]])
def test_another_format_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)

    with pytest.raises(
        TrainingError,
        match=r"a checkpoint of format (1 \(autoseg 0\.9\).*which|None, but this autoseg) reads format 2; continue",
    ):
        load_checkpoint(path)


def test_other_conditions_are_named() -> None:
    content = {"seed": 1, "plan": "a", "split": "b"}
    require_same(Path("c.pt"), content, {"seed": 1, "plan": "a"})

    with pytest.raises(
        TrainingError, match=r"c\.pt: .*seed was 1, now 2; the split changed; continue it with the same"
    ):
        require_same(Path("c.pt"), content, {"seed": 2, "plan": "a", "split": "x"})
