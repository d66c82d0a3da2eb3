from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from small_plans import unet_settings
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.networks import UNet
from autoseg.networks.bf16_convolutions import _say_once, is_sound
from autoseg.networks.instance_norm import CHANNELS_LAST
from autoseg.networks.precision import Precision
from autoseg.plans import Topology

BF16 = Precision(name="bf16", device="cpu")
ROUNDING = 0.03
"""Of a result's largest value; bf16 itself was off by 0.006 at most."""

THIN = [  # batch, channels before and after, sides, kernel, stride
    (2, 16, 32, (2, 8, 8), (3, 3, 3), 1),
    (2, 16, 32, (2, 8, 8), (3, 3, 3), (1, 2, 2)),
    (3, 4, 8, (2, 6, 4), (3, 1, 1), 1),
    (1, 32, 32, (2, 9, 9), (5, 3, 3), 1),
    (1, 1, 32, (1, 8, 8), (3, 3, 3), 1),
    (2, 32, 32, (4, 8, 2), (3, 3, 3), 2),
    (2, 8, 16, (4, 4, 2), (1, 3, 3), (1, 2, 2)),
    (2, 16, 16, (8, 2), (3, 3), 1),
    (2, 16, 16, (8, 2), (3, 3), 2),
    (2, 33, 33, (6, 12, 8), (3, 1, 3), (1, 2, 1)),
    (3, 64, 32, (3, 3, 4), (7, 7, 3), 2),
]


def as_it_should_be(found: Tensor, expected: Tensor) -> bool:
    return bool((found.float() - expected).abs().max() <= ROUNDING * expected.abs().max())


def dirty_memory() -> None:
    """What is freed here, arrays that nobody fills show."""
    _ = [torch.full((size,), torch.nan) for size in (64, 256, 1000, 4000, 16000, 60000)]


def results(layer: nn.Module, image: Tensor, precision: Precision) -> tuple[Tensor, ...]:
    """What a layer makes of an image, and the gradients of a fixed sum of it by image and weights."""
    image = image.clone(memory_format=torch.preserve_format).requires_grad_()
    dirty_memory()
    with precision.autocast():
        output = layer(image)
    weight = torch.linspace(-1, 2, output.numel()).reshape(output.shape)
    return output, *torch.autograd.grad((output.float() * weight).sum(), (image, *layer.parameters()))


@pytest.mark.parametrize("order", ["contiguous", "channels last"])
@pytest.mark.parametrize(("batch", "before", "after", "sides", "kernel", "stride"), THIN)
def test_thin_feature_maps_give_what_fp32_gives(
    batch: int, before: int, after: int, sides: tuple[int, ...], kernel: tuple[int, ...], stride: Any, order: str
) -> None:
    torch.manual_seed(0)
    conv: Any = nn.Conv3d if len(sides) == 3 else nn.Conv2d
    layer: nn.Module = conv(before, after, kernel, stride, padding=tuple(size // 2 for size in kernel))
    image = torch.randn(batch, before, *sides)
    if order == "channels last":
        image = image.to(memory_format=CHANNELS_LAST[image.ndim])
        layer = layer.to(memory_format=CHANNELS_LAST[image.ndim])  # type: ignore[call-overload]

    expected = results(layer, image, Precision(name="fp32", device="cpu"))
    for _ in range(3):
        found = results(layer, image, BF16)
        assert found[0].dtype == torch.bfloat16
        assert all(map(as_it_should_be, found, expected))


@pytest.mark.parametrize(
    ("sides", "stride", "after"),
    [((5, 4, 1), 2, 3), ((12, 16, 1), (1, 2, 2), 1), ((5, 1), 2, 1), ((9, 5, 4), (1, 4, 4), 16)],
)
def test_thin_maps_are_enlarged_as_in_fp32(sides: tuple[int, ...], stride: Any, after: int) -> None:
    torch.manual_seed(0)
    conv: Any = nn.ConvTranspose3d if len(sides) == 3 else nn.ConvTranspose2d
    layer = conv(8, after, stride, stride)
    image = torch.randn(3, 8, *sides)

    expected = results(layer, image, Precision(name="fp32", device="cpu"))
    assert all(map(as_it_should_be, results(layer, image, BF16), expected))


@pytest.mark.parametrize("patch", [(2, 16, 16), (16, 16, 2), (1, 16, 16)])
def test_a_network_on_thin_patches_learns_from_the_gradient_of_fp32(patch: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    strides = ((1, 1, 1), tuple(2 if side > 2 else 1 for side in patch))
    network = UNet(
        unet_settings(
            Topology(strides=strides, kernels=((3, 3, 3),) * 2), features=8, max_features=16, convs_per_stage=2
        ),
        in_channels=1,
        classes=2,
        deep_supervision=False,
    )
    image = torch.randn(2, 1, *patch)

    found, expected = (
        torch.cat([tensor.float().flatten() for tensor in results(network, image, kind)[2:]])
        for kind in (BF16, Precision(name="fp32", device="cpu"))
    )
    assert (
        found - expected
    ).norm() < 0.25 * expected.norm()  # what crosses zero in bf16 leaves the leaky ReLU elsewhere


class OwnConvolutions(nn.Module):
    """As a user may write them: functions rather than layers."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(8, 4, 3, 3, 3) * 0.1)

    def forward(self, image: Tensor) -> Tensor:
        return F.conv3d(image, weight=self.kernel, padding="same")


def test_functions_in_a_network_of_the_users_own_are_put_right_too() -> None:
    torch.manual_seed(0)
    network, image = OwnConvolutions(), torch.randn(2, 4, 2, 6, 8)

    expected = results(network, image, Precision(name="fp32", device="cpu"))
    assert all(map(as_it_should_be, results(network, image, BF16), expected))


@pytest.mark.parametrize("sides", [(3, 8, 8), (16, 8, 4)])
def test_everything_else_is_computed_in_bf16_bit_for_bit_as_ever(sides: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, image = nn.Conv3d(4, 8, 3, padding=1), torch.randn(2, 4, *sides)

    with torch.autocast("cpu", torch.bfloat16):
        plain = layer(image)
    assert torch.equal(results(layer, image, BF16)[0], plain)
    assert not torch.equal(plain.float(), layer(image))


def conv(sides: tuple[int, ...], kernel: tuple[int, ...], **words: Any) -> bool:
    image, weight = torch.empty(1, 1, *sides, device="meta"), torch.empty(1, 1, *kernel, device="meta")
    return is_sound({"input": image, "weight": weight, **words}, transposed=False)


def upsampling(side: int, stride: int, kernel: int) -> bool:
    image, weight = torch.empty(1, 1, side, side, device="meta"), torch.empty(1, 1, kernel, kernel, device="meta")
    return is_sound({"input": image, "weight": weight, "stride": (stride, stride)}, transposed=True)


def test_what_is_sound() -> None:
    assert conv((3, 3), (3, 3), padding=1)
    assert conv((4, 4), (3, 3), padding=1, stride=2)
    assert conv((1, 8), (1, 3), padding=(0, 1))
    assert conv((5,), (3,), padding="same")
    assert not conv((2, 8), (3, 3), padding=1)
    assert not conv((8, 3), (3, 3), padding=(1, 1), stride=(1, 2))
    assert not conv((8, 8), (1, 3), padding=(0, 1), stride=(2, 2))
    assert not conv((4, 8), (3, 3), padding=2, dilation=2)
    assert not conv((3, 3), (3, 3), padding="valid")
    assert conv((8, 8), (3, 3), stride=[1], padding=[1])
    assert upsampling(2, 2, 2) and upsampling(1, 1, 1) and upsampling(2, 3, 3)
    assert not upsampling(1, 2, 2) and not upsampling(8, 4, 4) and not upsampling(8, 2, 3)


def test_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    _say_once.cache_clear()
    layer, image = nn.Conv3d(1, 1, 3, padding=1), torch.randn(1, 1, 2, 4, 4)
    with caplog.at_level(logging.WARNING, "autoseg"):
        results(layer, image, BF16)
        results(layer, image, BF16)

    (record,) = caplog.records
    assert "so these are computed in fp32" in record.getMessage()
