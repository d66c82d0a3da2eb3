"""Trackers: found by name, told everything in order, and never in the way of a training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from autoseg.errors import ExtensionError
from autoseg.training.tracking import Guarded, TensorBoard, find_trackers

STUB = """
class Stub:
    told = []

    def start(self, about):
        self.told.append(("start", dict(about)))

    def epoch(self, number, values):
        self.told.append((number, dict(values)))

    def end(self):
        self.told.append("end")


class Broken(Stub):
    def epoch(self, number, values):
        raise ConnectionError("no network")
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(STUB)
    return tmp_path / "own.py"


def run(tracker: Guarded) -> list[Any]:
    tracker.start({"seed": 3})
    for number in (1, 2):
        tracker.call("epoch", number, {"loss/training": 0.5})
        tracker.call("picture", number, None)
    tracker.call("end")
    told: list[Any] = tracker._tracker.told
    return told


def test_a_tracker_of_a_users_own_is_told_everything_in_order(own: Path, tmp_path: Path) -> None:
    tracker = find_trackers((f"{own}:Stub",), tmp_path / "tensorboard")[0]

    assert run(tracker) == [("start", {"seed": 3}), (1, {"loss/training": 0.5}), (2, {"loss/training": 0.5}), "end"]


def test_the_first_error_is_said_once_and_then_it_is_left_alone(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = find_trackers((f"{own}:Broken",), tmp_path / "tensorboard")[0]
    with caplog.at_level(logging.WARNING, logger="autoseg"):
        assert run(tracker) == [("start", {"seed": 3})]

    assert caplog.messages == [f"{own}:Broken: ConnectionError: no network; the training goes on without it"]


def test_one_that_cannot_be_made_is_never_asked(caplog: pytest.LogCaptureFixture) -> None:
    def make() -> Any:
        raise OSError("no key")

    tracker = Guarded("far", make)
    with caplog.at_level(logging.WARNING, logger="autoseg"):
        tracker.start({})
        tracker.call("epoch", 1, {})
        tracker.call("end")
    assert caplog.messages == ["far: OSError: no key; the training goes on without it"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", "no tracker is called 'wandb'; name one as path/to/file.py:ClassName, or package.module:ClassName"),
        ("absent.py:Mine", "absent.py: no such file; name a class of your own as path/to/file.py:ClassName"),
        ("json:Mine", "json:Mine: nothing in json that can be called has this name"),
    ],
)
def test_a_tracker_that_is_not_there_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExtensionError) as caught:
        find_trackers((name,), tmp_path)
    assert str(caught.value) == message


def test_what_tensorboard_got_is_read_back_by_its_own_reader(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "tensorboard"
    board, network = TensorBoard(folder), nn.Linear(2, 1)
    network(network.weight.detach()).sum().backward()
    board.start({})
    assert not folder.exists(), "nothing is written before the first value"

    for number in (1, 2):
        board.epoch(number, {"loss/training": -0.25 * number, "dice/liver": 0.5})
    board.picture(2, np.zeros((20, 30, 3), np.uint8))
    board.histograms(2, network)
    board.end()

    found = reader.EventAccumulator(str(folder))
    found.Reload()
    tags = found.Tags()
    assert sorted(tags["scalars"]) == ["dice/liver", "loss/training"] and tags["images"] == ["validation_patch"]
    assert sorted(tags["histograms"]) == ["gradients/bias", "gradients/weight", "weights/bias", "weights/weight"]
    assert [(one.step, one.value) for one in found.Scalars("loss/training")] == [(1, -0.25), (2, -0.5)]
    assert [(one.step, one.width, one.height) for one in found.Images("validation_patch")] == [(2, 30, 20)]
    assert [one.histogram_value.num for one in found.Histograms("weights/weight")] == [2]
