"""Maps of a layer: caught from the tile in which most is found, and drawn by the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread
from small_plans import unet_plan
from torch import Tensor, nn

from autoseg.commands import plot_activations
from autoseg.dataset import Exclusive
from autoseg.errors import ModelError
from autoseg.inference.model import WeightsFile, save_weights
from autoseg.networks import build_network
from autoseg.plans import Plans, save_plans
from autoseg.reporting.watched_layer import WatchedLayer, layers_with_maps, require_layer

TARGET = Exclusive(names=("background", "ball"))


class Doubling(nn.Module):
    """Doubles the image, changes that in place, and finds label 1 where the image is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Upsample(scale_factor=1)
        self.cut = nn.Threshold(1e9, -1.0, inplace=True)
        self.pair = nn.LSTM(2, 2)

    def forward(self, tiles: Tensor) -> Tensor:
        doubled = self.twice(tiles * 2)
        self.cut(doubled)
        return torch.cat([-tiles, tiles], dim=1)


def test_the_tile_in_which_most_is_found_is_kept_as_the_layer_answered() -> None:
    network = Doubling().eval()
    watched = WatchedLayer(network, "twice", TARGET)
    tiles = torch.full((3, 1, 4, 6, 8), -9.0)
    tiles[1, 0, 2, 3] = 5.0
    tiles[2, 0, 1, 3, :2] = 5.0

    scores = [network(tiles[:1]), network(tiles[1:]), network(tiles[2:])]

    assert torch.equal(scores[1], torch.cat([-tiles[1:], tiles[1:]], dim=1))
    assert watched.seen is not None
    assert watched.seen.image.tolist() == tiles[1, 0, 2].tolist()
    assert watched.seen.maps.tolist() == (2 * tiles[1, :, 2]).tolist()
    assert (watched.seen.found > 0.5).tolist() == (tiles[1, :, 2] > 0).tolist()


def test_layers_are_told_with_their_shapes_and_the_last_before_the_scores_is_found() -> None:
    network = build_network(unet_plan(patch_size=(8, 8)), 1, 2).eval()
    network.deep_supervision = False

    known, last = layers_with_maps(network, (1, 8, 8))

    assert last == "decoder.0"
    assert (known["encoder.0"], known["encoder.1"], known["heads.0"]) == ((4, 8, 8), (8, 4, 4), (2, 8, 8))
    assert {"", "encoder", "decoder"}.isdisjoint(known)
    assert not any(layer._forward_hooks for layer in network.modules())


def test_a_layer_without_maps_and_one_that_is_not_there_are_refused_with_those_that_have() -> None:
    network = Doubling().eval()
    known, last = layers_with_maps(network, (1, 4, 4))
    assert last == "cut"

    listing = ":\n  twice  1 x 4 x 4\n  cut  1 x 4 x 4"
    with pytest.raises(ModelError) as error:
        require_layer(network, "pair", known)
    assert str(error.value) == (
        "layer 'pair': does not answer with one tensor of channels and the axes of the patch, so it has no maps; "
        f"name one that has{listing}"
    )
    with pytest.raises(ModelError) as error:
        require_layer(network, "twise", known)
    assert str(error.value) == (
        f"layer 'twise': the network has none of that name; did you mean twice?; name one{listing}"
    )


@pytest.fixture
def home(make_task: Any, tmp_path: Path) -> Path:
    """A task, and a model of it with the weights that it began with."""
    make_task(parent=tmp_path / "raw_data", shape=(4, 8, 12))
    plan = unet_plan(patch_size=(4, 8, 8))
    plans = Plans(
        format=2,
        version="test",
        identifier="autoseg",
        planner="Planner3D",
        dataset="Task001_Balls",
        channels=("MRI",),
        labels=TARGET.labels,
        transpose_forward=(0, 1, 2),
        transpose_backward=(0, 1, 2),
        intensities=None,
        configurations={plan.name: plan},
    )
    model = tmp_path / "results" / plan.name / plans.dataset / "Trainer__autoseg"
    (model / "fold_0").mkdir(parents=True)
    save_plans(plans, model / "plans.pkl")
    torch.manual_seed(0)
    weights = dict(build_network(plan, 1, 2).state_dict())
    file = WeightsFile(trainer="Trainer", custom_network=False, mirror_axes=(0, 1, 2), epoch=1, weights=weights)
    save_weights(model / "fold_0" / "weights_final.pt", file)
    return tmp_path


def test_the_command_draws_maps_and_the_prediction_beside_the_truth(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, words = home / "pictures", ["--case", "case_001", "-device", "cpu", "--home", str(home)]
    maps, overlay = output / "case_001_decoder.0.png", output / "case_001.png"
    output.mkdir()
    maps.write_bytes(b"mine")

    assert plot_activations.main([*words, "-o", str(output)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1:] == [f"written: {overlay}"]
    assert f"{maps.name}: there already and kept" in told.err
    assert maps.read_bytes() == b"mine"

    assert plot_activations.main([*words, "-o", str(output), "--maps", "3", "--overwrite_existing"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"written: {maps}", f"written: {overlay}"]
    assert imread(maps).std() > 0.1
