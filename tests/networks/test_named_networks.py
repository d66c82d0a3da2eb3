"""What holds for every network that a recipe may name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from small_networks import CASES, CHANNELS, SMALL, built, image, plan_of, scores, side_of, small
from torch import Tensor
from torch.nn import functional as F

from autoseg.catalogue import meanings
from autoseg.errors import PlanError
from autoseg.files.storage import encode
from autoseg.inference.model import WeightsFile, fill_network, load_weights, save_weights
from autoseg.networks.build import RECIPE_NETWORKS, build_named_network
from autoseg.networks.fitted import require_fitting
from autoseg.networks.named import NAMED_NETWORKS
from autoseg.plans import ConfigurationPlan


def test_every_network_is_tried_here() -> None:
    assert set(SMALL) == set(NAMED_NETWORKS) == set(RECIPE_NETWORKS.entries) - {"planned"}


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_every_setting_is_explained_and_the_paper_named(name: str) -> None:
    entry = NAMED_NETWORKS[name]
    settings = RECIPE_NETWORKS.part(name).settings

    assert set(settings) <= set(meanings(entry))
    assert "Source: " in str(entry.__doc__)


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_scores_have_the_size_of_the_patch_for_any_number_of_channels_and_outputs(name: str, axes: int) -> None:
    plan = plan_of((side_of(name), 2 * side_of(name), side_of(name))[:axes])
    for in_channels, out_channels in ((CHANNELS.get(name, 1), 2), (3, 5)):
        network = built(name, plan, in_channels, out_channels, **SMALL[name]).eval()
        with torch.no_grad():
            found = scores(network, image(1, in_channels, *plan.sampling.patch_size))
        assert found[0].shape == (1, out_channels, *plan.sampling.patch_size)


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_gradients_reach_every_parameter(name: str, axes: int) -> None:
    network = small(name, axes, **({"coarse_outputs": True} if "coarse_outputs" in settings_of(name) else {}))
    outputs = scores(network, image(2, CHANNELS.get(name, 1), *(side_of(name),) * axes))
    torch.stack([(output.square() + output).mean() for output in outputs]).sum().backward()

    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.ndim == 1 or parameter.grad.abs().max() > 0, key


MOST_STEPS = 200


@pytest.mark.parametrize("name", SMALL)
def test_one_batch_is_learned_by_heart(name: str) -> None:
    network = small(name, 2)
    labels = balls(side_of(name))
    batch = labels[:, None] * 1.5 + 0.3 * image(2, CHANNELS.get(name, 1), *labels.shape[1:])
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    dice = 0.0
    for step in range(1, MOST_STEPS + 1):
        optimiser.zero_grad()
        F.cross_entropy(scores(network.train(), batch)[0], labels).backward()
        optimiser.step()
        if step % 10 == 0:
            with torch.no_grad():
                dice = worst_dice(scores(network.eval(), batch)[0].argmax(1), labels)
        if dice > 0.95:
            break

    assert dice > 0.95


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_saved_and_the_network_built_again_by_its_name(name: str, tmp_path: Path) -> None:
    network, path = small(name, 2).eval(), tmp_path / "weights.pt"
    part = RECIPE_NETWORKS.part(name, **SMALL[name])
    save_weights(
        path,
        WeightsFile(
            trainer="mine", custom_network=False, mirror_axes=(), epoch=1, weights=network.state_dict(), network=part
        ),
    )

    file = load_weights(path)
    again = RECIPE_NETWORKS.completed(file.network)
    plan = plan_of((side_of(name),) * 2)
    filled = fill_network(build_named_network(again, plan, CHANNELS.get(name, 1), 3), file, path)

    assert again == part
    batch = image(2, CHANNELS.get(name, 1), *plan.sampling.patch_size)
    with torch.no_grad():
        assert torch.equal(scores(filled, batch)[0], scores(network, batch)[0])


@pytest.mark.parametrize("name", SMALL)
def test_a_network_is_built_on_the_meta_device_and_fits(name: str) -> None:
    plan = plan_of((side_of(name),) * 3)

    require_fitting(lambda: built(name, plan, 2, 3, **SMALL[name]), name, (2, 2, *plan.sampling.patch_size), 3)


def settings_of(name: str) -> set[str]:
    return set(RECIPE_NETWORKS.part(name).settings)


def balls(side: int) -> Tensor:
    """Labels `(2, side, side)`: a disc with a core, in two places."""
    places = torch.stack(torch.meshgrid(*[torch.arange(float(side))] * 2, indexing="ij"))
    distances = [(places - centre * side).square().sum(0).sqrt() / side for centre in (0.44, 0.53)]
    return torch.stack([(distance < 0.38).long() + (distance < 0.22) for distance in distances])


def worst_dice(found: Tensor, labels: Tensor) -> float:
    return min(
        float(2 * ((found == label) & (labels == label)).sum() / ((found == label).sum() + (labels == label).sum()))
        for label in (1, 2)
    )


PAGE = (Path(__file__).resolve().parents[2] / "documentation" / "networks.md").read_text()


@pytest.mark.parametrize("name", RECIPE_NETWORKS.entries)
def test_every_network_stands_on_the_page_with_its_settings(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|(.+)\|$", PAGE, re.MULTILINE)
    found = dict(re.findall(r"`(\w+)` ([^,|`]+)", row.rpartition("|")[2]))

    assert {key: json.loads(text) for key, text in found.items()} == encode(RECIPE_NETWORKS.part(name).settings)
    assert all(f"| `{key}` |" in PAGE for key in found)


# ----------------------------------------------------------------------------------- patches and axes


ANISOTROPIC = plan_of(
    (4, 16, 16), ((1, 2, 2), (2, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("unet_2016", {"levels": 3}),
        ("unet_2016", {"levels": 3, "blocks": "residual"}),
        ("unet_2016", {"levels": 3, "attention_gates": True, "upsampling": "linear"}),
        ("vnet", {"levels": 3}),
        ("unet_dropout", {"levels": 3, "attention_gates": True}),
        ("unet_bilinear", {"levels": 3}),
        ("unet_multiplanar", {"levels": 3}),
    ],
)
def test_poolings_and_flat_kernels_are_those_of_the_plan(name: str, settings: dict[str, object]) -> None:
    network = built(name, ANISOTROPIC, 1, 2, **{"width": 4, **settings})
    sizes = []
    for stage in network.encoder:
        stage.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[2:])))

    assert scores(network, image(2, 1, 4, 16, 16))[0].shape == (2, 2, 4, 16, 16)
    assert sizes == [(4, 16, 16), (4, 8, 8), (2, 4, 4)]
    kernels = [layer.kernel_size for layer in network.encoder[0].modules() if isinstance(layer, torch.nn.Conv3d)]
    assert {kernel[0] for kernel in kernels} == {1}


@pytest.mark.parametrize(
    ("name", "settings", "plan", "message"),
    [
        (
            "unet_2016",
            {},
            plan_of((12, 20, 16), ((1, 2, 2), (2, 2, 2))),
            "3d_fullres: unet_2016 takes patches whose sides are multiples of 4x8x8, found 12x20x16; give it fewer "
            "`levels`, or a plan with such a patch",
        ),
        (
            "vnet",
            {},
            plan_of((24, 24), ((2, 2),)),
            "3d_fullres: vnet takes patches whose sides are multiples of 16x16, found 24x24; give it fewer `levels`, or a "
            "plan with such a patch",
        ),
        ("vnet", {"levels": 1}, plan_of((16, 16)), "3d_fullres: vnet needs at least 2 levels, found 1"),
        ("unet_2016", {"levels": 0}, plan_of((16, 16)), "3d_fullres: unet_2016 needs at least 1 level, found 0"),
    ],
)
def test_a_patch_that_a_network_cannot_take_is_refused_with_those_that_it_can(
    name: str, settings: dict[str, object], plan: ConfigurationPlan, message: str
) -> None:
    with pytest.raises(PlanError) as caught:
        built(name, plan, 1, 2, **settings)
    assert str(caught.value) == message


def test_a_network_that_does_not_take_the_batch_is_refused_before_it_is_trained() -> None:
    flat = torch.nn.Conv3d(1, 2, 3)
    with pytest.raises(PlanError) as caught:
        require_fitting(lambda: flat.to("meta"), "mine", (2, 1, 8, 8, 8), 2)
    assert str(caught.value) == (
        "mine answers a batch of 2x1x8x8x8 with 2x2x6x6x6, expected 2x2x8x8x8: the scores of every output in every voxel; "
        "give it other settings, or name another network"
    )
    plan = plan_of((16, 16))
    with pytest.raises(
        PlanError, match=r"unet_2017 does not take a batch of 2x1x16x16 .*: Expected more than 1 spatial el"
    ):
        require_fitting(lambda: built("unet_2017", plan), "unet_2017", (2, 1, 16, 16), 3)
    with pytest.raises(PlanError) as caught:
        require_fitting(lambda: flat, "mine", (2, 3, 8, 8, 8), 2)
    assert str(caught.value) == (
        "mine does not take a batch of 2x3x8x8x8 (samples, channels, patch): Invalid channel dimensions; give it other "
        "settings, or a plan with another patch"
    )
