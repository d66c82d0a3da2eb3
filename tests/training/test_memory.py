from __future__ import annotations

import logging

import pytest
import torch
from small_plans import unet_settings
from torch import Tensor, nn

from autoseg.errors import TrainingError
from autoseg.networks.batch_norm import with_batch_norm
from autoseg.networks.memory import LIBRARIES, StepMemory, estimate_step
from autoseg.networks.unet import UNet
from autoseg.plans import Topology
from autoseg.training.memory import compare, require_memory


def unet() -> UNet:
    topology = Topology(strides=((1, 1, 1), (2, 2, 2)), kernels=((3, 3, 3),) * 2)
    return UNet(unet_settings(topology, convs_per_stage=2), 2, 3)


def test_one_convolution_as_counted_by_hand() -> None:
    """It keeps its input; the loss keeps three times the logits; weights, gradients and momentum are as many."""
    convolution = nn.Conv3d(2, 5, 3, padding=1)
    image, logits, weights = 2 * 8**3 * 4, 5 * 8**3 * 4, (5 * 2 * 27 + 5) * 4

    for batch_size in (1, 7):
        found = estimate_step(convolution, (2, 8, 8, 8), batch_size, torch.float32)
        kept = batch_size * (image + 3 * logits) + 3 * weights
        assert found == StepMemory(kept=kept, peak=kept + batch_size * 2 * image + LIBRARIES)


@pytest.mark.parametrize("change", [lambda network: network, with_batch_norm])
def test_a_network_keeps_as_much_as_with_real_numbers_and_is_left_as_it_was(change: object) -> None:
    network = change(unet())  # type: ignore[operator]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    estimates = [estimate_step(network, (2, 16, 16, 16), batch, torch.float32).kept for batch in (1, 3)]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())

    own = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = network(torch.randn(1, 2, 16, 16, 16))
    real = sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in own)
    loss = 3 * sum(level.numel() * 4 for level in outputs)
    assert (estimates[1] - estimates[0]) / 2 == pytest.approx(real + loss, rel=0.02)


def test_half_the_precision_keeps_nearly_half() -> None:
    full, half = (estimate_step(unet(), (2, 16, 16, 16), 100, kind).kept for kind in (torch.float32, torch.bfloat16))

    assert 0.5 < half / full < 0.65


@pytest.mark.parametrize(
    ("batch_size", "remedy"),
    [
        (4, "use a smaller `batch_size` than 4"),
        (1, r"plan for less memory \(`PlannerChoice.gpu_memory_target`\)"),
    ],
)
def test_what_cannot_fit_is_refused_and_what_may_not_is_warned_of(
    batch_size: int, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    needed = StepMemory(kept=3_000_000_000, peak=4_000_000_000)
    with caplog.at_level(logging.WARNING, logger="autoseg"):
        compare(needed, 4_000_000_000, batch_size)
        assert caplog.text == ""
        compare(needed, 3_500_000_000, batch_size)
    assert "takes about 4.0 GB of memory, and 3.5 GB are free; if it is killed, " in caplog.text

    message = f"a step of this training takes at least 3.0 GB of memory, and 2.9 GB are free; {remedy}$"
    with pytest.raises(TrainingError, match=message):
        compare(needed, 2_900_000_000, batch_size)


def test_a_network_that_needs_real_numbers_is_not_estimated() -> None:
    class Looking(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image / image.max().item()

    require_memory(Looking(), (1, 4, 4), 10**12, torch.float32)
