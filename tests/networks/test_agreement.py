"""Whether two answers agree: exact ones, rounded ones, and wrong ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from autoseg.networks.agreement import MOST_DISAGREEMENT, disagreement, largest_disagreement
from autoseg.networks.precision import Precision

CPU = torch.device("cpu")
FP32, BF16 = (Precision(name=name, device="cpu") for name in ("fp32", "bf16"))


def test_the_processor_agrees_with_itself_in_fp32_and_nearly_in_bf16() -> None:
    assert largest_disagreement(CPU, FP32) == 0
    assert 0.001 < largest_disagreement(CPU, BF16) < MOST_DISAGREEMENT


class OffInHalf(nn.Module):
    """Right in fp32; in autocast its output or its gradient is off."""

    def __init__(self, output: float, gradient: float) -> None:
        super().__init__()
        self.inner = nn.Conv3d(1, 2, 3, padding=1)
        self.output, self.gradient = output, gradient

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.inner(image.float())
        if not torch.is_autocast_enabled("cpu"):
            return answer
        answer = answer.float() * self.output
        answer.register_hook(lambda gradient: gradient * self.gradient)
        return answer


@pytest.mark.parametrize(
    ("output", "gradient", "expected"),
    [(1.0, 1.0, 0.0), (1.5, 1.0, 1.25), (1.0, 3.0, 2.0), (1.0, math.nan, math.inf), (math.inf, 1.0, math.inf)],
)
def test_what_is_off_is_measured_by_the_size_of_what_is_right(output: float, gradient: float, expected: float) -> None:
    """The loss is a square, so that an output of 1.5 times has a gradient of 2.25 times."""
    found = disagreement(OffInHalf(output, gradient), (1, 6, 6, 6), CPU, BF16)

    assert found == pytest.approx(expected, abs=0.02)


def test_the_network_that_is_asked_stays_as_it_was() -> None:
    network = nn.Conv3d(1, 2, 3, padding=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    disagreement(network, (1, 6, 6, 6), CPU, BF16)

    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(weights.grad is None for weights in network.parameters())
