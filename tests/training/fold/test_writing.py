"""Checkpoints that are written beside the training."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoseg.errors import DiskError, Interrupted
from autoseg.plans import Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings
from autoseg.training.fold.checkpoint import load_checkpoint
from autoseg.training.fold.data import FoldData
from autoseg.training.fold.writing import Writer, copied
from autoseg.training.fold_run import FoldRun
from autoseg.training.sampling.batches import Batch
from autoseg.training.state import TrainingState

CPU = torch.device("cpu")
PATIENCE = 30.0
"""Seconds, of a test that would else wait for ever."""


def fail(_content: Any) -> None:
    raise DiskError("the disk is full")


def test_what_is_written_is_what_it_was_when_it_was_given() -> None:
    go_on, found = threading.Event(), []
    weights = torch.ones(3)

    with Writer(CPU) as writer:
        writer.write(
            {"weights": weights, "rates": [0.1]}, lambda content: found.append(go_on.wait(PATIENCE) and content)
        )
        weights.zero_()
        assert found == []
        go_on.set()

    assert found[0]["weights"].tolist() == [1, 1, 1] and found[0]["rates"] == [0.1]


def test_a_copy_has_tensors_of_its_own_as_they_lie_in_memory() -> None:
    tensor = torch.randn(2, 3, 4, 4, 4).to(memory_format=torch.channels_last_3d).requires_grad_()
    content = {"state": {0: [tensor, None]}, "epoch": 3, "names": ("a", "b")}

    copy = copied(content)

    found = copy["state"][0][0]
    assert torch.equal(found, tensor) and found.data_ptr() != tensor.data_ptr() and not found.requires_grad
    assert found.stride() == tensor.stride()
    assert (copy["epoch"], copy["names"], copy["state"][0][1]) == (3, ("a", "b"), None)


def test_things_are_written_one_after_the_other() -> None:
    order: list[str] = []

    def slowly(content: str) -> None:
        order.append(f"{content} begins")
        time.sleep(0.05)
        order.append(f"{content} is done")

    with Writer(CPU) as writer:
        writer.write("one", slowly)
        writer.write("two", slowly)

    assert order == ["one begins", "one is done", "two begins", "two is done"]


def test_what_could_not_be_written_is_raised_at_the_next_time() -> None:
    with pytest.raises(DiskError, match="the disk is full"), Writer(CPU) as writer:
        writer.write(1, fail)
        writer.write(2, lambda _: pytest.fail("not after an error"))


def test_what_could_not_be_written_is_raised_at_the_end() -> None:
    with pytest.raises(DiskError, match="the disk is full"), Writer(CPU) as writer:
        writer.write(1, fail)


def test_another_error_is_told_first_and_waits_for_the_disk(caplog: pytest.LogCaptureFixture) -> None:
    written: list[int] = []
    with pytest.raises(KeyError, match="a mistake"), Writer(CPU) as writer:
        writer.write(1, lambda content: (time.sleep(0.05), written.append(content)))  # type: ignore[func-returns-value]
        raise KeyError("a mistake")
    assert written == [1]

    with (
        caplog.at_level(logging.WARNING, logger="autoseg"),
        pytest.raises(KeyError, match="a mistake"),
        Writer(CPU) as writer,
    ):
        writer.write(1, fail)
        raise KeyError("a mistake")
    assert "the disk is full" in caplog.text


# -------------------------------------------------------------------------------- in a training


def trainer_of(kind: type[Trainer], plans: Plans, store: PreparedCases, output: Path) -> Trainer:
    names = store.identifiers()
    return kind(
        FoldData(
            plans=plans,
            configuration="3d_fullres",
            cases=store,
            split=Split(training=names[:4], validation=names[4:]),
            output=output,
            references=output,
        ),
        settings=TrainingSettings(epochs=2, iterations_per_epoch=2, seed=3, workers=0, precision="fp32"),
        device="cpu",
    )


class RunOnSlowDisk(FoldRun):
    def _save_checkpoint(self, *words: Any) -> None:
        assert isinstance(self._parts, SlowDisk)
        if not self._parts.goes_on.wait(PATIENCE):
            raise DiskError("the training waited for the disk")
        super()._save_checkpoint(*words)


class SlowDisk(Trainer):
    """The first epoch's checkpoint is on the disk only once the next epoch trains."""

    runs = RunOnSlowDisk

    def run(self, **words: Any) -> None:
        self.goes_on = threading.Event()
        super().run(**words)

    def training_step(self, state: TrainingState, batch: Batch, loss_function: nn.Module) -> Tensor:
        if batch.key.epoch == 1:
            self.goes_on.set()
        return super().training_step(state, batch, loss_function)


def test_training_goes_on_while_the_disk_is_slow(plans: Plans, store: PreparedCases, tmp_path: Path) -> None:
    trainer_of(SlowDisk, plans, store, tmp_path / "fold_0").run()

    assert load_checkpoint(tmp_path / "fold_0" / "checkpoint.pt")["epoch"] == 2


class SluggishRun(FoldRun):
    def _save_checkpoint(self, *words: Any) -> None:
        time.sleep(0.3)
        super()._save_checkpoint(*words)


class Sluggish(Trainer):
    runs = SluggishRun


def test_who_stops_a_training_is_told_so_when_its_state_is_on_the_disk(
    plans: Plans, store: PreparedCases, tmp_path: Path
) -> None:
    asked = iter([False, True])

    with pytest.raises(Interrupted, match="stopped after 0 epochs and 2 batches; the state is saved"):
        trainer_of(Sluggish, plans, store, tmp_path / "fold_0").run(should_stop=lambda: next(asked))

    assert load_checkpoint(tmp_path / "fold_0" / "checkpoint.pt")["iteration"] == 2


class RunOnTooSmallADisk(FoldRun):
    """Of two epochs, the last one's state does not find room."""

    def _save_checkpoint(self, content: Any) -> None:
        if content["epoch"] == 2:
            raise DiskError("the disk is full")
        super()._save_checkpoint(content)


class FullInTheEnd(Trainer):
    runs = RunOnTooSmallADisk


def test_a_disk_that_is_full_in_the_end_ends_the_training(plans: Plans, store: PreparedCases, tmp_path: Path) -> None:
    made = trainer_of(FullInTheEnd, plans, store, tmp_path / "fold_0")

    with pytest.raises(DiskError, match="the disk is full"):
        made.run()

    assert load_checkpoint(made.output / "checkpoint.pt")["epoch"] == 1
    assert not (made.output / "weights_final.pt").exists()


def test_a_state_on_the_disk_is_that_between_two_batches_though_weights_change_meanwhile(
    plans: Plans, store: PreparedCases, tmp_path: Path
) -> None:
    slow, quick = (trainer_of(kind, plans, store, tmp_path / kind.__name__) for kind in (SlowDisk, Trainer))
    stopping = iter([False, False, False, True])
    with pytest.raises(Interrupted):
        slow.run(should_stop=lambda: next(stopping))
    slow.goes_on.set()
    slow.run(resume=True)
    quick.run()

    one, other = (load_checkpoint(made.output / "checkpoint.pt") for made in (slow, quick))
    assert all(torch.equal(one["network"][name], tensor) for name, tensor in other["network"].items())
