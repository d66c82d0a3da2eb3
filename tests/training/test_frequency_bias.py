"""Answers that begin at the labels' frequencies."""

from __future__ import annotations

import pytest
import torch
from small_networks import CHANNELS, SMALL, image, side_of, small
from torch import nn

from autoseg.dataset.coding import BACKGROUND
from autoseg.errors import TrainingError
from autoseg.networks.activations import SOFTMAX, Sigmoid
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.frequency_bias import answering_layers, begin_at, label_frequencies

WITHOUT = {"dense_single", "dense_dual", "dense_dual_single", "dense_voxel", "resnet_med3d", "unet_2017"}
"""Whose answers are sums, or enlarged, or whose last layer has no bias."""


def test_frequencies_are_counted_over_cases(store: PreparedCases) -> None:
    cases = [f"ball_{number}" for number in range(4)]
    found = label_frequencies(store, cases, SOFTMAX, 3)
    maps = torch.cat([torch.from_numpy(store.load(case).segmentation.clip(min=BACKGROUND)).flatten() for case in cases])
    whole = label_frequencies(store, cases, Sigmoid(members=((1, 2), (2,)), order=(1, 2)), 2)

    torch.testing.assert_close(found, torch.bincount(maps, minlength=3) / len(maps), check_dtype=False)
    torch.testing.assert_close(whole, torch.stack([found[1] + found[2], found[2]]))


def test_scores_say_the_frequencies() -> None:
    frequencies = torch.tensor([0.9, 0.08, 0.02], dtype=torch.float64)

    torch.testing.assert_close(SOFTMAX.probabilities(SOFTMAX.scores_of(frequencies)[None])[0], frequencies)
    sigmoid = Sigmoid()
    torch.testing.assert_close(sigmoid.probabilities(sigmoid.scores_of(frequencies)), frequencies)
    assert sigmoid.scores_of(torch.ones(1)).isfinite()


@pytest.mark.parametrize("name", SMALL)
def test_networks_that_end_in_a_bias_begin_there(name: str) -> None:
    network, scores = small(name, 2), torch.tensor([0.9, 0.08, 0.02]).log()
    sample = image(1, CHANNELS.get(name, 1), side_of(name), side_of(name))
    if name in WITHOUT:
        with pytest.raises(TrainingError, match=r"frequency_bias: .* ends in no layer with a bias for each of its 3"):
            begin_at(network, scores, sample)
        return
    begin_at(network, scores, sample)
    weights = [(layer, layer.get_parameter("weight")) for layer in answering_layers(network, sample, 3)]
    with torch.no_grad():
        for _, weight in weights:
            nn.init.zeros_(weight)
        answers = network.eval()(sample)
    finest = answers if isinstance(answers, torch.Tensor) else answers[0]

    assert network.training is False
    torch.testing.assert_close(finest.softmax(1).mean((0, 2, 3)), torch.tensor([0.9, 0.08, 0.02]))
