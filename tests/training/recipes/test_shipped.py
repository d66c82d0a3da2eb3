"""Every shipped trainer trains, and differs from the default in exactly what it is named for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_plans import changed
from torch import nn

from autoseg.inference.model import load_model, load_weights
from autoseg.networks.activations import SOFTMAX
from autoseg.plans import Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import RECIPES, Split, Trainer, TrainingSettings, find_trainer
from autoseg.training.augmentation.default import OutsideBecomesBackground
from autoseg.training.fold.data import FoldData
from autoseg.training.frequency_bias import label_frequencies
from autoseg.training.losses import FocalLoss, TopKLoss
from autoseg.training.start import new_state

CASES = tuple(f"ball_{number}" for number in range(6))
SPLIT = Split(training=CASES[:4], validation=CASES[4:])
NAMES = sorted(set(RECIPES) - {"mpunet"})
"""Those that train the planned network."""

MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def trainer(store: PreparedCases, references: Path, tmp_path: Path, plans: Plans) -> MakeTrainer:
    def make(name: str, *, configuration: str = "3d_fullres", **settings: Any) -> Trainer:
        return find_trainer(name).build(
            FoldData(
                plans=plans,
                configuration=configuration,
                cases=store,
                split=SPLIT,
                output=tmp_path / name / "fold_0",
                references=references,
            ),
            settings=TrainingSettings(seed=8, workers=0, precision="fp32", **settings),
            device="cpu",
        )

    return make


@pytest.mark.parametrize("name", NAMES)
def test_each_trains(trainer: MakeTrainer, name: str) -> None:
    made = trainer(name, epochs=1, iterations_per_epoch=2)
    before = new_state(made, 8).network.state_dict()
    made.run()

    file = load_weights(made.output / "weights_final.pt")
    assert (file.trainer, file.epoch) == (name, 1)
    assert all(tensor.isfinite().all() for tensor in file.weights.values())
    changed = [key for key in before if not torch.equal(before[key], file.weights[key])]
    assert {"encoder.0.0.0.weight", "decoder.0.1.0.weight", "heads.0.weight"} <= set(changed)


def test_the_multi_planar_u_net_trains_as_its_authors_say(trainer: MakeTrainer) -> None:
    made = trainer("mpunet", configuration="2d", iterations_per_epoch=2, epochs=1, batch_size=4)
    assert trainer("mpunet", configuration="2d").batch_size == 16
    network = made.recipe.network
    made.recipe = replace(made.recipe, network=replace(network, settings=network.settings | {"width": 4, "levels": 2}))
    bias = new_state(made, 8).network.state_dict()["heads.0.bias"]
    made.run()

    recipe = RECIPES["mpunet"]
    assert (recipe.epochs, recipe.learning_rate, recipe.loss[0].name) == (500, 5e-5, "cross_entropy")
    assert (recipe.iterations_per_epoch, recipe.validation_batches) == (156, 218)
    trained = load_weights(made.output / "weights_final.pt").weights["heads.0.bias"]
    shares = label_frequencies(made.cases, CASES[:4], SOFTMAX, 3)
    assert not torch.allclose(bias, trained, atol=0.1)
    torch.testing.assert_close(
        trained, shares.log().float(), atol=2.5e-4, rtol=0
    )  # two steps of 0.00005 and their momentum
    assert "labels are " in (made.output / "training.log").read_text()


@pytest.mark.parametrize("name", ["TrainerDA3", "TrainerDA5", "TrainerBatchNorm", "TrainerFocal"])
def test_flat_patches_are_trained_too(trainer: MakeTrainer, name: str) -> None:
    trainer(name, configuration="2d", epochs=1, iterations_per_epoch=2).run()


def test_the_residual_encoder_trains_is_described_and_loads_without_naming_a_trainer(
    trainer: MakeTrainer, plans: Plans
) -> None:
    one = changed(
        plans.configuration("3d_fullres"), network="residual_unet", convs_per_stage=1, blocks_per_stage=(1, 3)
    )
    made = trainer("Trainer", epochs=1, iterations_per_epoch=2)
    made.data = replace(made.data, plans=replace(plans, configurations={"3d_fullres": one}))
    made.run()

    (network,) = load_model(made.output.parent, "3d_fullres").networks
    assert type(network).__name__ == "ResidualUNet"
    assert not load_weights(made.output / "weights_final.pt").custom_network
    assert "a stem and 1, 3 residual blocks" in (made.output / "architecture.txt").read_text()


def test_lengths(trainer: MakeTrainer) -> None:
    lengths = {name: trainer(name).epochs for name in NAMES if "Epochs" in name}

    assert lengths == {f"Trainer{epochs}Epochs": epochs for epochs in (5, 20, 50, 100, 250, 500, 2000, 4000)}
    assert trainer("Trainer").epochs == 1000
    assert trainer("Trainer100Epochs", epochs=7).epochs == 7
    assert trainer("Trainer100Epochs").learning_rate(50) == pytest.approx(0.01 * 0.5**0.9, rel=1e-9)


class TestAugmentation:
    def test_without_mirroring_no_axis_is_mirrored_in_training_or_prediction(self, trainer: MakeTrainer) -> None:
        made = trainer("TrainerNoMirroring", epochs=1, iterations_per_epoch=1)
        kinds = [type(transform).__name__ for transform in made.build_augmentation().transforms]
        made.run()

        assert "RandomMirroring" not in kinds
        assert "RandomGamma" in kinds
        assert load_weights(made.output / "weights_final.pt").mirror_axes == ()
        assert trainer("Trainer").mirror_axes == (0, 1, 2)

    def test_without_augmentation_nothing_changes_a_patch(self, trainer: MakeTrainer) -> None:
        made = trainer("TrainerNoAugmentation")
        augmentation = made.build_augmentation()

        assert (augmentation.spatial, augmentation.transforms) == (None, (OutsideBecomesBackground(),))
        assert made.mirror_axes == ()

    @pytest.mark.parametrize(("name", "window"), [("TrainerDA3", (22, 24, 22)), ("TrainerDA5", (20, 22, 20))])
    def test_the_strong_ones_read_a_window(self, trainer: MakeTrainer, name: str, window: tuple[int, ...]) -> None:
        """The patch is 8 x 12 x 8; turned by 30 degrees it needs 12.93 or, along the long axis, 14.39 voxels.

        Times 1.6 or 1.43, the greatest scale, and enlarged by as much on both sides.
        """
        augmentation = trainer(name).build_augmentation()

        assert augmentation.spatial is None
        assert augmentation.window == window


# Two samples of three labels, one voxel high and two wide; probabilities are what softmax makes of the logits.
PROBABILITIES = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], [[0.2, 0.2, 0.6], [0.7, 0.2, 0.1]]])
LOGITS = PROBABILITIES.log().permute(0, 2, 1)[:, :, None]
TARGET = torch.tensor([[[0, 1]], [[2, 0]]])
RIGHT = (0.5, 0.8, 0.6, 0.7)
"""Probability of each voxel's own label."""

CROSS_ENTROPY = sum(-math.log(p) for p in RIGHT) / 4
WORST = -math.log(0.5)
"""A tenth of four voxels is at least one."""
FOCAL = sum(0.5 * (1 - p) ** 2 * -math.log(p) for p in RIGHT) / 4


def dice(smooth: float) -> float:
    """Minus the mean over samples and foreground labels, from sums over the two voxels of each sample."""
    overlaps = [[0.8, 0.0], [0.0, 0.6]]
    predicted = [[1.05, 0.35], [0.4, 0.7]]
    truth = [[1, 0], [0, 1]]
    values = [
        (2 * overlaps[sample][label] + smooth) / (predicted[sample][label] + truth[sample][label] + smooth + 1e-8)
        for sample in range(2)
        for label in range(2)
    ]
    return -sum(values) / 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Trainer", dice(1e-5) + CROSS_ENTROPY),
        ("TrainerCrossEntropy", CROSS_ENTROPY),
        ("TrainerDice", dice(1e-5)),
        ("TrainerNoSmoothing", dice(0.0) + CROSS_ENTROPY),
        ("TrainerTopK10", WORST),
        ("TrainerDiceTopK10", dice(1e-5) + WORST),
        ("TrainerFocal", FOCAL),
        ("TrainerDiceFocal", dice(1e-5) + FOCAL),
    ],
)
def test_losses_by_hand(trainer: MakeTrainer, name: str, expected: float) -> None:
    assert trainer(name).build_loss()(LOGITS, TARGET).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("Trainer", torch.optim.SGD, {"lr": 1e-2, "momentum": 0.99, "nesterov": True, "weight_decay": 3e-5}),
        ("TrainerAdam", torch.optim.Adam, {"lr": 3e-4, "amsgrad": True, "weight_decay": 3e-5, "betas": (0.9, 0.999)}),
        ("TrainerAdamW", torch.optim.AdamW, {"lr": 1e-3, "amsgrad": False, "weight_decay": 3e-5}),
    ],
)
def test_optimisers(
    trainer: MakeTrainer, name: str, kind: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    made = trainer(name)
    optimizer = made.build_optimizer(nn.Linear(2, 2))

    assert type(optimizer) is kind
    assert {key: optimizer.param_groups[0][key] for key in settings} == settings
    assert made.learning_rate(0) == settings["lr"]


class TestBatchNorm:
    def test_every_normalisation_is_exchanged(self, trainer: MakeTrainer) -> None:
        network = new_state(trainer("TrainerBatchNorm"), 8).network
        plain = new_state(trainer("Trainer"), 8).network

        exchanged = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm3d)}
        kept = [name for name, layer in plain.named_modules() if isinstance(layer, nn.InstanceNorm3d)]
        assert list(exchanged) == kept and len(kept) == 6
        assert {layer.eps for layer in exchanged.values()} == {1e-5}
        assert not any(isinstance(layer, nn.InstanceNorm3d) for layer in network.modules())

    def test_the_weights_say_which_network_of_ours_they_are_of(self, trainer: MakeTrainer) -> None:
        made = trainer("TrainerBatchNorm", epochs=1, iterations_per_epoch=2)
        made.run()
        file = load_weights(made.output / "weights_final.pt")
        assert (file.custom_network, file.network.settings) == (False, {"normalisation": "batch"})

        (network,) = load_model(made.output.parent, "3d_fullres").networks
        found = network.state_dict()
        assert all(torch.equal(found[name], tensor) for name, tensor in file.weights.items())
        assert found["encoder.0.0.1.num_batches_tracked"] == 2


def test_top_k_takes_whole_voxels_rounded_down() -> None:
    """Thirty voxels: a tenth are the three worst; 35 % of them are ten."""
    right = torch.linspace(0.05, 0.95, 30)
    logits = torch.stack([right, 1 - right]).log()[None]
    target = torch.zeros(1, 30, dtype=torch.long)

    assert TopKLoss(percent=10)(logits, target).item() == pytest.approx(-right[:3].log().mean().item(), rel=1e-5)
    assert TopKLoss(percent=35)(logits, target).item() == pytest.approx(-right[:10].log().mean().item(), rel=1e-5)


def test_focal_loss_weighs_foreground_by_alpha() -> None:
    expected = 0.0
    for p, target in zip(RIGHT, (0, 1, 2, 0), strict=True):
        expected += (0.75 if target else 0.25) * (1 - p) ** 3 * -math.log(p) / 4

    assert FocalLoss(gamma=3, alpha=0.75)(LOGITS, TARGET).item() == pytest.approx(expected, rel=1e-5)


def test_every_shipped_trainer_and_planner_is_documented() -> None:
    from autoseg import planning

    text = (Path(__file__).resolve().parents[3] / "documentation" / "variants.md").read_text()
    kinds = [getattr(planning, name) for name in planning.__all__]
    planners = [one for one in kinds if isinstance(one, type) and issubclass(one, planning.Planner)]
    shipped = [*NAMES, *(one.__name__ for one in planners if one is not planning.Planner)]

    assert [name for name in shipped if f"`{name}`" not in text] == []


@pytest.mark.parametrize(("name", "order"), [("Trainer", 3), ("TrainerLinearInterpolation", 1), ("TrainerDA5", 3)])
def test_images_are_interpolated_as_the_class_wants(trainer: MakeTrainer, name: str, order: int) -> None:
    made = trainer(name)
    assert made.interpolation == order
    spatial = made.build_augmentation().spatial
    if spatial is not None:
        assert spatial.order == order
