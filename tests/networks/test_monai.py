"""Networks of MONAI by their path, where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import plan_of
from torch import nn

from autoseg.errors import PlanError
from autoseg.inference.model import WeightsFile, fill_network, load_weights, save_weights
from autoseg.networks.build import RECIPE_NETWORKS, build_named_network
from autoseg.networks.fitted import answers_of, require_fitting
from autoseg.training.losses import CrossEntropy, DeepSupervision, answer_weights

pytest.importorskip("monai")
pytest.importorskip("einops")

NETS = "monai.networks.nets:"
SWIN = {"feature_size": 12, "depths": [1, 1, 1, 1]}
SUPERVISED: dict[str, Any] = {
    "kernel_size": [3, 3, 3, 3],
    "strides": [1, 2, 2, 2],
    "upsample_kernel_size": [2, 2, 2],
    "filters": [8, 8, 16, 16],
    "deep_supervision": True,
    "deep_supr_num": 2,
}
SMALL: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("SwinUNETR", SWIN, (64, 32, 32)),
    ("SwinUNETR", SWIN, (64, 32)),
    ("UNETR", {"img_size": [16, 32, 16], "hidden_size": 48, "num_heads": 4, "mlp_dim": 64}, (16, 32, 16)),
    ("SegResNet", {"init_filters": 8}, (16, 32, 16)),
    ("UNet", {"channels": [8, 16, 32], "strides": [2, 2]}, (16, 32)),
    ("AttentionUnet", {"channels": [8, 16, 32], "strides": [2, 2]}, (16, 32, 16)),
    ("BasicUNet", {"features": [8, 8, 16, 16, 32, 8]}, (16, 32)),
    ("BasicUNetPlusPlus", {"features": [8, 8, 16, 16, 32, 8], "deep_supervision": True}, (16, 32)),
    (
        "DynUNet",
        {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2]},
        (16, 32, 16),
    ),
    ("DynUNet", SUPERVISED, (16, 32, 16)),
]


def builder(name: str, settings: dict[str, Any], patch: tuple[int, ...]) -> Any:
    plan = plan_of(patch, ((2,) * len(patch),) * 3)
    part = RECIPE_NETWORKS.part(NETS + name, **settings)
    return lambda: build_named_network(part, plan, 2, 3)


@pytest.mark.parametrize(("name", "settings", "patch"), SMALL, ids=[f"{one[0]}-{len(one[2])}d" for one in SMALL])
def test_each_is_tried_without_memory_and_learns_a_batch(
    name: str, settings: dict[str, Any], patch: tuple[int, ...]
) -> None:
    build = builder(name, settings, patch)
    require_fitting(build, NETS + name, (2, 2, *patch), 3)
    torch.manual_seed(0)
    network: nn.Module = build()
    image, labels = torch.randn(2, 2, *patch), torch.randint(0, 3, (2, *patch))
    optimiser, loss = torch.optim.Adam(network.parameters(), lr=1e-3), DeepSupervision(CrossEntropy())
    values = []
    for _ in range(3):
        optimiser.zero_grad()
        outputs = network.train()(image)
        value = loss(answers_of(outputs, len(patch)), [labels])
        value.backward()
        optimiser.step()
        values.append(float(value))

    assert values[-1] < values[0]


def test_answers_that_lie_in_one_tensor_learn_alike_and_one_alone_predicts() -> None:
    network, image = builder("DynUNet", SUPERVISED, (16, 32, 16))(), torch.randn(2, 2, 16, 32, 16)
    stacked = network.train()(image)
    answers = answers_of(stacked, 3)

    assert [tuple(answer.shape) for answer in answers] == [(2, 3, 16, 32, 16)] * 3
    assert all(torch.equal(answer, stacked[:, number]) for number, answer in enumerate(answers))
    assert answer_weights([(16, 32, 16)] * 3) == pytest.approx((1 / 3,) * 3)
    (alone,) = answers_of(network.eval()(image), 3)
    assert alone.shape == (2, 3, 16, 32, 16)


def test_a_patch_that_it_does_not_take_is_refused_in_its_own_words() -> None:
    with pytest.raises(
        PlanError, match=r"SwinUNETR does not take a batch of 2x2x40x56x40 .* must be divisible by 2\*\*5; give"
    ):
        require_fitting(builder("SwinUNETR", SWIN, (40, 56, 40)), NETS + "SwinUNETR", (2, 2, 40, 56, 40), 3)


def test_weights_are_read_back_by_the_path(tmp_path: Path) -> None:
    settings = {"init_filters": 8}
    build = builder("SegResNet", settings, (16, 16))
    network = build().eval()
    path = tmp_path / "weights_final.pt"
    file = WeightsFile(trainer="mine", custom_network=True, mirror_axes=(), epoch=1, weights=network.state_dict())
    save_weights(path, file)
    again = fill_network(build(), load_weights(path), path).eval()
    image = torch.randn(1, 2, 16, 16)

    with torch.no_grad():
        assert torch.equal(again(image), network(image))
    assert json.loads(json.dumps(settings)) == settings
