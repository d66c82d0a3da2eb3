"""Nothing in the loop waits for the device, but for the look at the losses now and then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.networks.precision import Precision
from autoseg.plans import Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings
from autoseg.training.fold.data import FoldData
from autoseg.training.fold.display import Display
from autoseg.training.losses import DeepSupervision
from autoseg.training.previous_stage import Gathered
from autoseg.training.sampling.batches import AnyBatch, DrawnBatch
from autoseg.training.sampling.samples import TRAINING
from autoseg.training.sampling.source import open_batches
from autoseg.training.start import new_state
from autoseg.training.state import FiniteLosses, TrainingState

WAIT = {"_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal", "masked_select", "unique2", "_unique2"}
"""What needs a value, or a size that depends on values."""


class Waits(TorchDispatchMode):
    """Counts what would wait for a device: values that are asked for, and copies to it of what is in no pinned memory.

    Args:
        device: Type of the device that stands in for a GPU.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.asked: list[str] = []
        self.copies: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name.partition("::")[2]
        if name in WAIT:
            self.asked.append(name)
        result = function(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_") and self.device != "cpu":
            source = args[-1] if name == "copy_" else args[0]
            if isinstance(source, torch.Tensor) and source.device.type == "cpu" and result.device.type == self.device:
                self.copies.append(tuple(source.shape))
        return result


class OnMeta(Trainer):
    """torch's device without values, which raises where one is asked for."""

    device = torch.device("meta")
    precision = Precision(name="fp32", device="meta")


class InFp16(Trainer):
    """With scaled losses, as on a GPU before Ampere; a CPU has no fp16 in hardware, but computes the same steps."""

    precision = Precision(name="fp16", device="cpu")


def trainer_of(kind: type[Trainer], plans: Plans, store: PreparedCases, output: Path, configuration: str) -> Trainer:
    names = store.identifiers()
    return kind(
        FoldData(
            plans=plans,
            configuration=configuration,
            cases=store,
            split=Split(training=names[:4], validation=names[4:]),
            output=output,
            references=output,
        ),
        settings=TrainingSettings(epochs=1, iterations_per_epoch=20, seed=3, workers=0),
        device="cpu",
    )


def batches_of(trainer: Trainer, state: TrainingState, *, on_device: bool = False) -> Iterator[AnyBatch]:
    """As the training makes them, on the CPU."""
    trainer.device_name = "cpu"
    host = trainer_of(Trainer, trainer.plans, trainer.cases, trainer.output, trainer.plan.name)
    host.varies_on_device = on_device
    batches, _ = open_batches(host, 3, state, Gathered())
    return batches


def loop(trainer: Trainer, state: TrainingState, batches: Sequence[AnyBatch], finite: FiniteLosses) -> None:
    """What the training does with each batch."""
    loss_function = DeepSupervision(trainer.build_loss())
    display = Display(trainer.fold, labels=trainer.plans.labels[1:], epochs=1, batches=len(batches))
    for number, batch in enumerate(batches, start=1):
        step = trainer.training_step if batch.key.stream == TRAINING else trainer.validation_step
        loss = step(state, batch, loss_function)
        finite.add(batch, loss)
        display.batch_done(number, loss, state.records)


@pytest.mark.parametrize("configuration", ["3d_fullres", "2d"])
def test_a_step_asks_the_device_for_nothing_and_sends_it_the_batch_alone(
    configuration: str, plans: Plans, store: PreparedCases, tmp_path: Path
) -> None:
    made = trainer_of(OnMeta, plans, store, tmp_path / "fold_0", configuration)
    state = new_state(made, 3)
    batches = list(batches_of(made, state))
    assert len(batches) == 24 < FiniteLosses.LOOK_EVERY and batches[-1].key.stream != TRAINING

    with Waits("meta") as waits:
        loop(made, state, batches, FiniteLosses(made.device))

    assert waits.asked == []
    sent = [tuple(tensor.shape) for batch in batches for tensor in (batch.data, *batch.targets)]
    assert waits.copies == sent


@pytest.mark.parametrize("configuration", ["3d_fullres", "2d"])
def test_a_step_that_varies_patches_asks_for_nothing_either_and_sends_what_was_read_alone(
    configuration: str, plans: Plans, store: PreparedCases, tmp_path: Path
) -> None:
    made = trainer_of(OnMeta, plans, store, tmp_path / "fold_0", configuration)
    state = new_state(made, 3)
    batches = [batch for batch in batches_of(made, state, on_device=True) if isinstance(batch, DrawnBatch)]
    samples = [sample for batch in batches for sample in batch.samples.samples]
    assert len(samples) == 60 and sum(sample.warp is not None for sample in samples) > 10

    with Waits("meta") as waits:
        loop(made, state, batches, FiniteLosses(made.device))

    assert waits.asked == []
    held = [piece.numel() for batch in batches for piece in batch.samples.pieces.values()]
    assert sum(math.prod(shape) for shape in waits.copies) == sum(held)


def test_losses_are_looked_at_once_for_many_batches(plans: Plans, store: PreparedCases, tmp_path: Path) -> None:
    made = trainer_of(OnMeta, plans, store, tmp_path / "fold_0", "3d_fullres")
    state = new_state(made, 3)
    batch = next(batches_of(made, state))
    finite = FiniteLosses(made.device)

    loop(made, state, [batch] * (FiniteLosses.LOOK_EVERY - 1), finite)
    with pytest.raises(NotImplementedError, match="meta"):
        loop(made, state, [batch], finite)


def test_scaled_losses_are_stepped_without_a_look(plans: Plans, store: PreparedCases, tmp_path: Path) -> None:
    made = trainer_of(InFp16, plans, store, tmp_path / "fold_0", "3d_fullres")
    state = new_state(made, 3)
    batch = next(batches_of(made, state))
    loss_function = DeepSupervision(made.build_loss())
    assert state.scaler.is_enabled()

    with Waits("cpu") as waits:
        for _ in range(2):
            made.training_step(state, batch, loss_function)

    assert waits.asked == []


def test_what_waits_is_counted() -> None:
    with Waits("cpu") as waits:
        torch.ones(3).sum().item()
        torch.ones(3).nonzero()

    assert waits.asked == ["_local_scalar_dense", "nonzero"]
