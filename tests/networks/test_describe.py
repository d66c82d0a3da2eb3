from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_plans import changed, unet_plan, unet_settings
from torch import nn

from autoseg.files.model_folder import FoldFolder
from autoseg.networks import UNet, build_network
from autoseg.networks.describe import count_parameters, level_shapes, receptive_field, write_architecture
from autoseg.plans import ConfigurationPlan, Topology


def plan() -> ConfigurationPlan:
    return unet_plan(
        name="3d_fullres",
        spacing=(3.0, 1.0, 1.0),
        median_shape=(8, 20, 20),
        patch_size=(8, 16, 16),
        batch_size=2,
        poolings=((1, 2, 2), (2, 2, 2)),
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        in_plane=False,
        normalisation=("nonCT",),
        masked=(False,),
        batch_dice=False,
        previous=None,
        network="unet",
        features=4,
        max_features=8,
        convs_per_stage=2,
    )


@pytest.mark.parametrize(
    ("topology", "expected"),
    [
        (Topology(strides=((1,) * 3,), kernels=((3,) * 3,)), (5, 5, 5)),
        # level 0: +2 +2; first convolution of level 1 still steps by 1: +2; then the step is 2: +4
        (Topology(strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3))), (11, 11)),
        (Topology(strides=((1, 1), (1, 2)), kernels=((1, 3), (3, 3))), (5, 11)),
    ],
)
def test_receptive_field_of_small_topologies(topology: Topology, expected: tuple[int, ...]) -> None:
    assert receptive_field(topology, (2,) * len(topology.strides)) == expected


def test_receptive_field_is_where_a_gradient_arrives() -> None:
    """Normalisation is left out, because it lets every voxel see all others."""
    topology = Topology(strides=((1, 1), (1, 2), (2, 2)), kernels=((1, 3), (3, 3), (3, 3)))
    model = UNet(unet_settings(topology, features=2, max_features=4, convs_per_stage=2), 1, 2)
    encoder = nn.Sequential(*model.encoder)
    for stage in encoder:
        for block in stage:
            block[1] = nn.Identity()
            nn.init.constant_(block[0].weight, 1.0)
    image = torch.ones(1, 1, 64, 64, requires_grad=True)
    deepest = encoder(image)
    deepest[0, 0, deepest.shape[2] // 2, deepest.shape[3] // 2].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].nonzero()

    assert tuple((seen.amax(0) - seen.amin(0) + 1).tolist()) == receptive_field(topology, (2, 2, 2))


def test_feature_maps_shrink_by_the_strides() -> None:
    assert level_shapes(plan().topology, (8, 16, 16)) == ((8, 16, 16), (8, 8, 8), (4, 4, 4))


def test_the_text_says_levels_parameters_and_receptive_field(tmp_path: Path) -> None:
    network = build_network(plan(), 1, 3)
    write_architecture(FoldFolder(folder=tmp_path), network, plan(), 1)
    text = (tmp_path / "architecture.txt").read_text()

    assert f"parameters: {count_parameters(network):,}" in text
    assert "receptive field of the deepest level: 11x23x23 voxels, 33 x 23 x 23 mm" in text
    rows = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert rows[:3] == [
        ["0", "4", "8x16x16", "1x3x3", "1x1x1"],
        ["1", "8", "8x8x8", "3x3x3", "1x2x2"],
        ["2", "8", "4x4x4", "3x3x3", "2x2x2"],
    ]
    assert (tmp_path / "architecture.png").read_bytes().startswith(b"\x89PNG")


def test_a_users_own_network_is_described_without_a_picture(tmp_path: Path) -> None:
    write_architecture(FoldFolder(folder=tmp_path), nn.Conv3d(1, 2, 3), plan(), 1)

    assert (tmp_path / "architecture.txt").read_text().startswith("Conv3d\nparameters: 56\n")
    assert not (tmp_path / "architecture.png").exists()


def test_the_residual_encoder_is_described_with_its_blocks(tmp_path: Path) -> None:
    """Levels of 1 + 2, 6 and 8 convolutions, the first of the second and third level still at the finer step."""
    residual = changed(plan(), network="residual_unet", convs_per_stage=1, blocks_per_stage=(1, 3, 4))
    write_architecture(FoldFolder(folder=tmp_path), build_network(residual, 1, 3), residual, 1)
    text = (tmp_path / "architecture.txt").read_text()

    assert (
        "a stem and 1, 3, 4 residual blocks of two convolutions on the levels of the encoder, 1 convolution on" in text
    )
    in_plane = 1 + 3 * 2 + 2 + 5 * 4 + 4 + 7 * 8
    through = 1 + 0 + 2 + 5 * 2 + 2 + 7 * 4
    assert f"receptive field of the deepest level: {through}x{in_plane}x{in_plane} voxels" in text
    assert (tmp_path / "architecture.png").read_bytes().startswith(b"\x89PNG")
