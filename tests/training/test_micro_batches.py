"""Parts of a batch: the gradient of the whole, whatever the loss, and only when memory really ran out."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from small_plans import unet_settings
from torch import Tensor, nn

from autoseg.errors import TrainingError
from autoseg.networks import fitting
from autoseg.networks.batch_norm import with_batch_norm
from autoseg.networks.fitting import parts
from autoseg.networks.unet import UNet
from autoseg.plans import Topology
from autoseg.training.losses import CrossEntropy, DeepSupervision, DiceLoss, FocalLoss, Sum, TopKLoss
from autoseg.training.micro_batches import (
    Portions,
    add_gradients,
    memory_explained,
    outputs_in_parts,
    require_independent_samples,
    samples_at_once,
    samples_together,
)

SAMPLES, CLASSES = 5, 3
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(SAMPLES, 2, 8, 8, 8, generator=GENERATOR, dtype=torch.float64)
SHARES = torch.tensor([0.01, 0.05, 0.2, 0.5, 0.9])[:, None, None, None]
"""Of each sample's voxels that are foreground."""
TARGETS = [
    torch.randint(1, CLASSES, (SAMPLES, *[side] * 3), generator=GENERATOR)
    * (torch.rand(SAMPLES, *[side] * 3, generator=GENERATOR) < SHARES)
    for side in (8, 4)
]
LOSSES = {
    "Dice of the batch": DiceLoss(per_batch=True),
    "Dice of each sample": DiceLoss(per_batch=False),
    "cross-entropy": CrossEntropy(),
    "worst voxels": TopKLoss(percent=10),
    "focal": FocalLoss(gamma=2, alpha=0.3),
    "default": Sum(DiceLoss(per_batch=True), CrossEntropy()),
}
CPU = torch.device("cpu")


def network(kind: torch.dtype = torch.float64) -> UNet:
    torch.manual_seed(1)
    topology = Topology(strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)), kernels=((3, 3, 3),) * 3)
    return UNet(unet_settings(topology, features=3, max_features=6), 2, CLASSES).to(kind)


class Penalised(nn.Module):
    """A network that also gives a penalty of each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv3d(2, CLASSES, 3, padding=1).double()

    def forward(self, images: Tensor) -> list[Tensor]:
        scores = self.inner(images)
        return [scores, scores.flatten(1).square().mean(1)]


def levels_of(outputs: Tensor | list[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else outputs


def gradients(
    model: nn.Module, loss: nn.Module, at_once: int, together: int = SAMPLES, *, factor: float = 1.0
) -> tuple[float, list[Tensor]]:
    """The loss and the gradient of every parameter."""
    supervised = DeepSupervision(loss)
    kind = next(model.parameters()).dtype
    model.zero_grad()
    torch.manual_seed(2)
    value = add_gradients(
        lambda part: levels_of(model(IMAGES[part].to(kind))),
        lambda outputs: supervised(outputs, TARGETS),
        Portions(samples=SAMPLES, at_once=at_once, together=together),
        scale=lambda loss: loss * factor,
        device=CPU,
    )
    found = [parameter.grad for parameter in model.parameters()]
    return value.item(), [gradient if gradient is not None else torch.zeros(()) for gradient in found]


@pytest.mark.parametrize(("at_once", "together"), [(1, SAMPLES), (2, SAMPLES), (SAMPLES, 2)])
def test_penalties_of_parts_are_those_of_the_whole(at_once: int, together: int) -> None:
    """Parts of unlike sizes too: each sample counts once."""
    model = Penalised()
    value, whole = gradients(model, CrossEntropy(), SAMPLES)
    without, _ = gradients(model.inner, CrossEntropy(), SAMPLES)
    found, parted = gradients(model, CrossEntropy(), at_once, together)

    assert found == pytest.approx(value, rel=1e-12)
    assert value - without == pytest.approx(model.inner(IMAGES).square().mean().item(), rel=1e-9)
    torch.testing.assert_close(parted, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("at_once", "together"), [(1, SAMPLES), (2, SAMPLES), (3, SAMPLES), (SAMPLES, 1), (SAMPLES, 2), (3, 2), (2, 3)]
)
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_parts_is_that_of_the_whole_batch(name: str, at_once: int, together: int) -> None:
    value, expected = gradients(network(), LOSSES[name], SAMPLES)
    in_parts, found = gradients(network(), LOSSES[name], at_once, together)

    assert in_parts == pytest.approx(value, rel=1e-12)
    largest = max(one.abs().max() for one in expected)
    assert largest > 1e-3
    for one, other in zip(expected, found, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12 * float(largest))


def test_added_up_part_by_part_it_would_be_another_for_the_dice_of_a_batch() -> None:
    """What the two passes are for."""
    model, supervised = network(), DeepSupervision(DiceLoss(per_batch=True))
    _, expected = gradients(model, DiceLoss(per_batch=True), SAMPLES)
    model.zero_grad()
    for part in parts(SAMPLES, 1):
        (supervised(model(IMAGES[part]), [level[part] for level in TARGETS]) / SAMPLES).backward()

    first = next(model.parameters()).grad
    assert first is not None
    assert (first - expected[0]).norm() > 0.05 * expected[0].norm()


def test_in_single_precision_and_with_a_scaled_loss_too() -> None:
    _, expected = gradients(network(torch.float32), LOSSES["default"], SAMPLES)
    value, found = gradients(network(torch.float32), LOSSES["default"], 2, factor=1024.0)

    assert value == pytest.approx(gradients(network(), LOSSES["default"], SAMPLES)[0], rel=1e-5)
    for one, other in zip(expected, found, strict=True):
        assert torch.allclose(other / 1024, one, rtol=1e-3, atol=1e-6)


def test_a_network_that_draws_random_numbers_draws_the_same_both_times() -> None:
    class Noisy(nn.Module):
        """A network whose loss and gradient tell what it drew."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
            self.drawn: list[Tensor] = []

        def forward(self, images: Tensor) -> list[Tensor]:
            self.drawn.append(torch.rand(len(images), CLASSES, 8, 8, 8))
            return [self.weight * self.drawn[-1]]

    model = Noisy()
    gradients(model, CrossEntropy(), 2)

    assert len(model.drawn) == 6
    assert all(torch.equal(one, other) for one, other in zip(model.drawn[:3], model.drawn[3:], strict=True))
    assert not torch.equal(model.drawn[0], model.drawn[1])


def test_parts_that_are_kept_go_through_the_network_once() -> None:
    model, sizes = network(), []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))

    gradients(model, LOSSES["default"], SAMPLES, 2)
    assert sizes == [2, 2, 1]
    sizes.clear()
    gradients(model, LOSSES["default"], 2, SAMPLES)
    assert sizes == [2, 2, 1] * 2


def test_on_a_cpu_as_many_samples_go_together_as_its_caches_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CACHED_VOXELS", 2 * 8**3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    small, large = torch.zeros(20, 2, 8, 8, 8), torch.zeros(20, 2, 16, 16, 16)

    assert samples_together(network(), small) == 6
    assert samples_together(network(), large) == 3
    assert samples_together(network(), small.to("meta")) == 20
    assert samples_together(with_batch_norm(network()), small) == 20
    assert samples_together(nn.Conv3d(2, 3, 1), small) == 20  # of whose samples nothing is known


def test_outputs_of_parts_are_those_of_the_whole_batch() -> None:
    model = network()
    with torch.no_grad():
        for whole, joined in zip(
            model(IMAGES), outputs_in_parts(lambda part: model(IMAGES[part]), SAMPLES, 2), strict=True
        ):
            assert torch.allclose(whole, joined, rtol=1e-10)


# ------------------------------------------------------------------------------- running out of memory


def attempt_of(largest: int) -> tuple[list[int], Callable[[int], str]]:
    tried: list[int] = []

    def attempt(number: int) -> str:
        tried.append(number)
        if number > largest:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return f"with {number}"

    return tried, attempt


def test_fewer_samples_are_tried_until_they_fit_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    tried, attempt = attempt_of(2)
    samples = samples_at_once(9)
    with caplog.at_level(logging.WARNING, logger="autoseg"):
        assert [samples.run(attempt) for _ in range(3)] == ["with 2"] * 3

    assert tried == [9, 5, 3, 2, 2, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "the GPU's memory does not hold 9 samples at once, so from now on they are computed 2 at a time; the gradient is "
        "that of the whole batch, but a step takes about a third longer"
    ]


def test_with_one_sample_too_many_it_is_said_what_to_do() -> None:
    tried, attempt = attempt_of(0)
    message = (
        r"cuda: the GPU's memory ran out, and a smaller part of the batch does not help \(CUDA out of memory\. Tried to "
        r"allocate 2 GiB\); see with nvidia-smi what else is in it, or plan for less memory"
    )
    with pytest.raises(TrainingError, match=message), memory_explained(torch.device("cuda")):
        samples_at_once(2).run(attempt)
    assert tried == [2, 1]


@pytest.mark.parametrize(
    "words",
    [
        "GET was unable to find an engine to execute this computation",
        "FIND was unable to find an engine to execute this computation",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "MPS backend out of memory (MPS allocated: 8.98 GB, other allocations: 16 KB, max allowed: 9.07 GB)",
    ],
)
def test_memory_that_ran_out_is_known_by_whichever_words_say_it(words: str) -> None:
    """As cuDNN, cuBLAS and Apple's GPU put it (pytorch#108645)."""
    tried: list[int] = []

    def attempt(number: int) -> str:
        tried.append(number)
        if number > 1:
            raise RuntimeError(words)
        return "with 1"

    def hopeless(_: int) -> None:
        raise RuntimeError(words)

    assert samples_at_once(4).run(attempt) == "with 1"
    assert tried == [4, 2, 1]
    with pytest.raises(TrainingError, match="the GPU's memory ran out"), memory_explained(torch.device("mps")):
        samples_at_once(4).run(hopeless)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: out of memory in the text alone"), MemoryError(), ValueError("shape")]
)
def test_no_other_error_is_taken_for_it(error: Exception) -> None:
    tried: list[int] = []

    def attempt(number: int) -> None:
        tried.append(number)
        raise error

    with pytest.raises(type(error)) as caught, memory_explained(torch.device("cuda")):
        samples_at_once(4).run(attempt)
    assert caught.value is error
    assert tried == [4]


def test_samples_that_see_each_other_are_not_parted() -> None:
    require_independent_samples(network())
    with pytest.raises(
        TrainingError, match=r"cannot be computed in parts, as the network normalises over the batch; train"
    ):
        require_independent_samples(with_batch_norm(network()))
