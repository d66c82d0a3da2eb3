"""torch.compile: when a training takes it, that it changes nothing else, and that a training survives its failure."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_plans import unet_settings
from torch import Tensor, nn

from autoseg.errors import Interrupted, TrainingError
from autoseg.inference.model import load_weights
from autoseg.networks import ResidualUNet, UNet
from autoseg.networks.agreement import ANISOTROPIC, FLAT
from autoseg.plans import Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings
from autoseg.training.compilation import (
    Circumstances,
    against_compiling,
    circumstances,
    compile_in_place,
    compile_where_it_pays,
    is_compiled,
    or_uncompiled,
)
from autoseg.training.fold.data import FoldData
from autoseg.training.fold_run import FoldRun
from autoseg.training.losses import CrossEntropy, DeepSupervision, DiceLoss, Sum
from autoseg.training.start import new_state


@pytest.fixture(autouse=True)
def _quiet_torch() -> Iterator[None]:
    """Its compiler says thousands of things to whoever listens, which takes longer than compiling.

    It also remembers what it could not compile, for all tests of a process.
    """
    trace = logging.getLogger("torch.__trace")
    before = trace.level
    trace.setLevel(logging.ERROR)
    torch.compiler.reset()
    yield
    torch.compiler.reset()
    trace.setLevel(before)


LONG = Circumstances(
    wanted=True, device="cuda", generation=8, triton=True, deterministic=False, own_network=True, batches=5000
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"generation": 7}, None),
        ({"generation": 6}, "a GPU that Triton makes no kernels for"),
        ({"wanted": False}, "not wanted"),
        ({"device": "cpu", "generation": 0}, "a cpu device"),
        ({"device": "mps", "generation": 0}, "a mps device"),
        ({"triton": False}, "Triton is not installed"),
        ({"deterministic": True}, "deterministic"),
        ({"own_network": False}, "a network of your own"),
        ({"batches": 4999}, "fewer than 5000 batches to come"),
    ],
)
def test_long_trainings_on_a_gpu_are_compiled(changes: dict[str, Any], reason: str | None) -> None:
    assert against_compiling(replace(LONG, **changes)) == reason


class OwnUNet(UNet):
    """Of the user's."""


def unet(kind: type[UNet] = UNet, *, flat: bool = False) -> UNet:
    torch.manual_seed(0)
    topology = FLAT if flat else ANISOTROPIC
    return kind(unet_settings(topology), 1, 3)


def test_what_decides_is_asked_of_the_network_and_the_machine() -> None:
    cpu = torch.device("cpu")
    found = circumstances(unet(), cpu, wanted=True, deterministic=False, batches=7)

    assert (found.device, found.generation, found.own_network, found.batches) == ("cpu", 0, True, 7)
    own = circumstances(unet(OwnUNet), cpu, wanted=True, deterministic=False, batches=7)
    assert not own.own_network


def residual() -> nn.Module:
    torch.manual_seed(0)
    return ResidualUNet(unet_settings(ANISOTROPIC, blocks_per_stage=(1, 1, 2)), 1, 3)


def step(network: nn.Module, loss_function: nn.Module, shape: tuple[int, ...]) -> list[Tensor]:
    """Outputs, the loss and all gradients."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(shape, generator=generator)
    network.zero_grad()
    outputs = network(image)
    targets = [torch.randint(0, 3, (len(image), *level.shape[2:]), generator=generator) for level in outputs]
    loss = loss_function(outputs, targets)
    loss.backward()
    # The coarsest head has none, as its output has no weight; in a compiled graph it has zeros.
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in network.parameters()]
    return [*(output.detach() for output in outputs), loss.detach(), *gradients]


@pytest.mark.parametrize("make", [unet, residual, lambda: unet(flat=True)], ids=["unet", "residual", "flat"])
@pytest.mark.parametrize("per_batch", [True, False])
def test_a_compiled_network_computes_the_same_in_one_graph(make: Any, per_batch: bool) -> None:
    network, loss_function = make(), DeepSupervision(Sum(DiceLoss(per_batch=per_batch), CrossEntropy()))
    shape = (2, 1, *[8] * network.dimensions)
    expected, names, classes = step(network, loss_function, shape), list(network.state_dict()), type(network)

    for module in (network, loss_function):  # any break in a graph is an error
        module.compile(backend="aot_eager", dynamic=False, fullgraph=True)
    found = step(network, loss_function, shape)

    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert list(network.state_dict()) == names and type(network) is classes

    network.eval()
    network.deep_supervision = False
    with torch.no_grad():
        torch.testing.assert_close(network(torch.ones(shape)), network.forward(torch.ones(shape)), rtol=1e-4, atol=1e-5)


class OwnLoss(nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return logits.mean() + target.float().mean()


def test_a_loss_of_the_users_own_is_left_as_it_is() -> None:
    network, ours, own = unet(), DeepSupervision(CrossEntropy()), DeepSupervision(OwnLoss())

    compile_in_place(network, ours, own, backend="eager")

    assert [is_compiled(module) for module in (network, ours, own)] == [True, True, False]


# ---------------------------------------------------------------------------------- failing


def broken(_graph: Any, _inputs: Any) -> Any:
    raise RuntimeError("no compiler was found\nand a long story")


def test_what_cannot_be_compiled_is_computed_without_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    network, loss_function = unet(), DeepSupervision(CrossEntropy())
    expected = step(network, loss_function, (2, 1, 8, 8, 8))
    compile_in_place(network, loss_function, backend=broken)

    with caplog.at_level(logging.WARNING, logger="autoseg"):
        for _ in range(2):
            found = or_uncompiled(lambda: step(network, loss_function, (2, 1, 8, 8, 8)), network, loss_function)

    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not is_compiled(network) and not is_compiled(loss_function)
    assert caplog.text.count("torch.compile failed, so the training goes on without, which is slower:") == 1
    assert "no compiler was found" in caplog.text and "a long story" not in caplog.text


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), TrainingError("a refusal")])
def test_memory_that_ran_out_and_refusals_are_no_failure_of_compiling(error: Exception) -> None:
    network = unet()
    compile_in_place(network, backend="eager")

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        or_uncompiled(fail, network)
    assert is_compiled(network)


def test_what_is_wrong_without_compiling_too_is_raised() -> None:
    network = unet()
    compile_in_place(network, backend="eager")
    with pytest.raises(KeyError, match="a mistake"):
        or_uncompiled(lambda: {}["a mistake"], network)
    with pytest.raises(KeyError, match="a mistake"):
        or_uncompiled(lambda: {}["a mistake"], network)  # not compiled any more


# -------------------------------------------------------------------------------- a training


class CompiledRun(FoldRun):
    """As on a GPU, by a compiler that every computer has."""

    backend: Any = "aot_eager"

    def _compile(self, state: Any, loss_function: nn.Module) -> None:
        compile_in_place(state.network, loss_function, backend=self.backend)
        self.compiled = state.network


class BrokenRun(CompiledRun):
    backend = staticmethod(broken)


class Compiled(Trainer):
    runs = CompiledRun


class Broken(Trainer):
    runs = BrokenRun


def trainer_of(kind: type[Trainer], plans: Plans, store: PreparedCases, references: Path, output: Path) -> Trainer:
    names = store.identifiers()
    return kind(
        FoldData(
            plans=plans,
            configuration="3d_fullres",
            cases=store,
            split=Split(training=names[:4], validation=names[4:5]),
            output=output,
            references=references,
        ),
        settings=TrainingSettings(epochs=2, iterations_per_epoch=2, seed=3, workers=0, precision="fp32"),
        device="cpu",
    )


@pytest.mark.parametrize("kind", [Compiled, Broken])
def test_a_compiled_training_is_stopped_continued_and_validated_like_any_other(
    kind: type[Trainer], plans: Plans, store: PreparedCases, references: Path, tmp_path: Path
) -> None:
    plain = trainer_of(Trainer, plans, store, references, tmp_path / "plain" / "fold_0")
    plain.run()
    stopping = iter([False, False, True])
    first = trainer_of(kind, plans, store, references, tmp_path / "compiled" / "fold_0")
    with pytest.raises(Interrupted, match="stopped"):
        first.run(should_stop=lambda: next(stopping))
    made = trainer_of(kind, plans, store, references, tmp_path / "compiled" / "fold_0")
    made.run(resume=True)

    assert isinstance(made.bookkeeping, CompiledRun)
    assert is_compiled(made.bookkeeping.compiled) is (kind is Compiled)
    expected = load_weights(plain.output / "weights_final.pt").weights
    found = load_weights(made.output / "weights_final.pt").weights
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)
    assert len(made.validate().cases) == 1


def test_on_a_cpu_a_training_is_not_compiled(
    plans: Plans, store: PreparedCases, references: Path, tmp_path: Path
) -> None:
    made = trainer_of(Trainer, plans, store, references, tmp_path / "fold_0")
    state = new_state(made, 3)

    compile_where_it_pays(made, state, loss_function := DeepSupervision(made.build_loss()))

    assert not is_compiled(state.network) and not is_compiled(loss_function)
