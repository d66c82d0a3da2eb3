"""Instance normalisation that is summed by the whole GPU: the same numbers as torch's, taken where it is faster."""

from __future__ import annotations

import pytest
import torch
from small_plans import unet_settings
from torch import Tensor, nn

from autoseg.networks import Precision, UNet, place_network
from autoseg.networks.agreement import ANISOTROPIC
from autoseg.networks.instance_norm import InstanceNorm3d, OurInstanceNorm
from autoseg.networks.spread_norm import (
    NormTrial,
    is_spread_taken,
    is_spread_worthwhile,
    said_of,
    spread_instance_norm,
    torch_instance_norm,
    try_normalisations,
)

SHAPES = [(2, 5, 9, 7), (3, 4, 5, 6, 7), (1, 3, 2, 1, 1)]


def small_network() -> UNet:
    torch.manual_seed(0)
    return UNet(unet_settings(ANISOTROPIC, convs_per_stage=2), 1, 3)


def given(shape: tuple[int, ...], *, dtype: torch.dtype = torch.float32, offset: float = 0.5) -> list[Tensor]:
    """A batch, scales, shifts and a gradient of the output; channels and samples differ in mean and spread."""
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(shape, generator=generator) * torch.linspace(0.5, 2, shape[1]).reshape(
        -1, *[1] * (len(shape) - 2)
    )
    batch = batch + offset * torch.arange(1.0, shape[0] + 1).reshape(-1, *[1] * (len(shape) - 1))
    scales, shifts = torch.linspace(0.5, 1.5, shape[1]), torch.linspace(-0.3, 0.3, shape[1])
    return [batch.to(dtype), scales, shifts, torch.randn(shape, generator=generator).to(dtype)]


def both_ways(form: object, batch: Tensor, scales: Tensor, shifts: Tensor, direction: Tensor) -> list[Tensor]:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (batch, scales, shifts)]
    output = form(*leaves, 1e-5)  # type: ignore[operator]
    output.backward(direction)
    return [output.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("shape", SHAPES[:2])
@pytest.mark.parametrize("offset", [0.0, 0.5, 20.0])
def test_outputs_and_gradients_are_torchs(shape: tuple[int, ...], offset: float) -> None:
    inputs = given(shape, offset=offset)
    exact = both_ways(torch_instance_norm, *(tensor.double() for tensor in inputs))

    for found, expected in zip(both_ways(spread_instance_norm, *inputs), exact, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5 * max(1.0, offset))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("offset", [0.5, 20.0])
def test_half_precision_is_summed_in_fp32(dtype: torch.dtype, offset: float) -> None:
    """Off by what storing an output rounds, however far from zero the batch lies."""
    inputs = given((2, 3, 16, 16, 16), dtype=dtype, offset=offset)
    exact = both_ways(torch_instance_norm, *(tensor.double() for tensor in inputs))
    rounding = torch.finfo(dtype).eps

    for found, expected in zip(both_ways(spread_instance_norm, *inputs), exact, strict=True):
        scale = float(expected.abs().max())
        torch.testing.assert_close(found.double() / scale, expected / scale, rtol=0, atol=2 * rounding)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_that_of_the_output(shape: tuple[int, ...]) -> None:
    batch, scales, shifts, _ = (tensor.double().requires_grad_() for tensor in given(shape))

    assert torch.autograd.gradcheck(lambda *leaves: spread_instance_norm(*leaves, 1e-3), (batch, scales, shifts))


def test_a_batch_that_is_constant_gives_the_shift() -> None:
    scales, shifts = torch.ones(2), torch.tensor([0.25, -0.5])

    found = spread_instance_norm(torch.full((1, 2, 4, 4, 4), 10.0), scales, shifts, 1e-5)

    torch.testing.assert_close(found, shifts.reshape(1, 2, 1, 1, 1).expand_as(found), rtol=0, atol=5e-4)


def test_under_autocast_the_format_stays() -> None:
    batch, scales, shifts, _ = given((2, 4, 5, 6, 7), dtype=torch.bfloat16)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = spread_instance_norm(batch, scales, shifts, 1e-5)

    assert torch.equal(found, spread_instance_norm(batch, scales, shifts, 1e-5)) and found.dtype == torch.bfloat16


def test_a_network_in_the_spread_form_is_the_same_and_stays_so_when_it_is_compiled() -> None:
    network = small_network().eval()
    image = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = network(image)[0]
    for layer in network.modules():
        if isinstance(layer, OurInstanceNorm):
            layer.spread = True

    torch.testing.assert_close(network(image)[0], expected, rtol=1e-4, atol=1e-5)
    torch.compiler.reset()  # from what other tests had it fail at
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert torch.equal(compiled(image)[0], expected)


@pytest.mark.parametrize(
    ("torch_ms", "spread_ms", "difference", "dtype", "expected"),
    [
        (8.0, 1.5, 0.002, torch.bfloat16, True),
        (1.0, 0.95, 0.002, torch.bfloat16, False),  # no more than noise
        (1.0, 2.0, 0.002, torch.bfloat16, False),
        (8.0, 1.5, 0.2, torch.bfloat16, False),
        (8.0, 1.5, 0.002, torch.float32, False),  # far more than fp32 rounds
        (8.0, 1.5, 1e-6, torch.float32, True),
        (8.0, 1.5, float("inf"), torch.float16, False),
        (8.0, 1.5, 0.005, torch.float16, True),
    ],
)
def test_it_is_taken_where_it_agrees_and_is_faster(
    torch_ms: float, spread_ms: float, difference: float, dtype: torch.dtype, expected: bool
) -> None:
    trial = NormTrial(torch_seconds=torch_ms / 1000, spread_seconds=spread_ms / 1000, difference=difference)

    assert is_spread_worthwhile(trial, dtype) is expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_forms_are_timed_and_compared(dtype: torch.dtype) -> None:
    trial = try_normalisations(torch.device("cpu"), dtype, (2, 3, 8, 8, 8))

    assert 0 < trial.torch_seconds < 1 and 0 < trial.spread_seconds < 1
    assert trial.difference < {torch.float32: 1e-6, torch.bfloat16: 0.01}[dtype]


def test_what_was_chosen_is_said_with_both_times() -> None:
    trial = NormTrial(torch_seconds=0.0081, spread_seconds=0.0015, difference=0.002)

    assert said_of(trial, taken=True) == (
        "normalisation summed by the whole GPU: 1.5 ms spread over the GPU, 8.1 ms in torch's form, which differ by 0.002"
    )
    assert said_of(trial, taken=False).startswith("normalisation in torch's form: ")


def test_only_cuda_is_asked_and_nothing_where_the_same_bits_are_wanted() -> None:
    assert not is_spread_taken(torch.device("cpu"), torch.float32)
    assert not is_spread_taken(torch.device("mps"), torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        assert not is_spread_taken(torch.device("cuda"), torch.bfloat16)
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_network_that_comes_back_to_the_cpu_normalises_as_ever() -> None:
    network = small_network()
    layers: list[nn.Module] = [layer for layer in network.modules() if isinstance(layer, OurInstanceNorm)]
    for layer in layers:
        layer.spread = True  # type: ignore[assignment]

    place_network(network, torch.device("cpu"), Precision(name="fp32", device="cpu"))

    assert layers and not any(layer.spread for layer in layers)
    assert InstanceNorm3d(2).spread is False
