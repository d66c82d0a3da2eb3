"""Instance normalisation: the plain formula in every order of memory, and the order of memory kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autoseg.networks import instance_norm
from autoseg.networks.instance_norm import CHANNELS_LAST, InstanceNorm2d, InstanceNorm3d

SHAPES = {4: (3, 8, 12, 10), 5: (3, 8, 6, 12, 10)}
ROUNDING = 2**-8
"""Of a value's size: what storing it in bf16 may change."""


def layer_for(batch: Tensor) -> nn.Module:
    """With scales and shifts that tell channels apart."""
    layer = {4: InstanceNorm2d, 5: InstanceNorm3d}[batch.ndim](batch.shape[1], eps=1e-5, affine=True)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 1.5, batch.shape[1]))
        layer.bias.copy_(torch.linspace(-0.3, 0.3, batch.shape[1]))
    return layer


def plain(batch: Tensor, layer: nn.Module) -> Tensor:
    """The formula, in double precision: each channel of each sample by itself."""
    values = batch.double().flatten(2)
    scaled = (values - values.mean(2, keepdim=True)) / (values.var(2, correction=0, keepdim=True) + layer.eps).sqrt()
    return (scaled * layer.weight.double()[:, None] + layer.bias.double()[:, None]).reshape(batch.shape)


def batch_of(axes: int, *, samples: int = 3, last: bool = True, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    shape = (samples, *SHAPES[axes][1:])
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    values = values * torch.arange(1, samples + 1).to(dtype).reshape(-1, *[1] * (axes - 1)) + 0.5
    return values.contiguous(memory_format=CHANNELS_LAST[axes] if last else torch.contiguous_format)


@pytest.mark.parametrize("axes", [4, 5])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_channel_of_every_sample_is_normalised_by_itself(
    axes: int, samples: int, last: bool, dtype: torch.dtype
) -> None:
    batch = batch_of(axes, samples=samples, last=last, dtype=dtype)
    layer = layer_for(batch)

    found = layer(batch)

    assert found.dtype == dtype
    tolerance = {"rtol": ROUNDING, "atol": 1e-4} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(found.double(), plain(batch, layer), **tolerance)


@pytest.mark.parametrize("axes", [4, 5])
def test_gradients_are_those_of_the_plain_formula(axes: int) -> None:
    batch = batch_of(axes).requires_grad_()
    layer = layer_for(batch)
    direction = torch.randn(batch.shape, generator=torch.Generator().manual_seed(1))
    (layer(batch).float() * direction).sum().backward()
    found = [batch.grad, layer.weight.grad, layer.bias.grad]

    exact = batch.detach().double().requires_grad_()
    layer.zero_grad()
    (plain(exact, layer) * direction).sum().backward()

    for gradient, expected in zip(found, [exact.grad, layer.weight.grad, layer.bias.grad], strict=True):
        assert gradient is not None and expected is not None
        scale = float(expected.abs().max())
        torch.testing.assert_close(gradient.double() / scale, expected.double() / scale, rtol=0, atol=2 * ROUNDING)


@pytest.mark.parametrize("axes", [4, 5])
def test_channels_that_lie_last_in_bf16_stay_where_they_lie(axes: int) -> None:
    batch = batch_of(axes)

    assert layer_for(batch)(batch).is_contiguous(memory_format=CHANNELS_LAST[axes])


def test_what_batch_normalisation_would_sum_too_coarsely_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(5)
    layer = layer_for(batch)
    whole = nn.functional.instance_norm(batch, weight=layer.weight, bias=layer.bias, eps=layer.eps)

    monkeypatch.setattr(instance_norm, "MOST_VOXELS", batch[0, 0].numel() - 1)

    assert torch.equal(layer(batch), whole)
    assert torch.equal(
        layer(batch.float()), nn.functional.instance_norm(batch.float(), weight=layer.weight, bias=layer.bias)
    )


def test_sums_over_the_largest_sample_are_better_than_what_bf16_rounds() -> None:
    side = round(instance_norm.MOST_VOXELS ** (1 / 3))
    batch = torch.randn(1, 2, side, side, side, generator=torch.Generator().manual_seed(0)).bfloat16()
    batch = batch.contiguous(memory_format=torch.channels_last_3d)

    _, mean, scale = torch.native_batch_norm(batch, None, None, None, None, True, 0, 1e-5)

    exact = batch.double().flatten(2)[0]
    torch.testing.assert_close(mean.double(), exact.mean(1), rtol=0, atol=2**-10)
    torch.testing.assert_close(scale.double(), (exact.var(1, correction=0) + 1e-5).rsqrt(), rtol=2**-10, atol=0)


@pytest.mark.parametrize("axes", [4, 5])
def test_depth_and_height_as_one_axis_change_nothing(axes: int) -> None:
    batch = batch_of(axes, last=False, dtype=torch.float32)
    layer = layer_for(batch)

    torch.testing.assert_close(layer.in_planes(batch).double(), plain(batch, layer), rtol=1e-5, atol=1e-5)  # type: ignore[operator]
