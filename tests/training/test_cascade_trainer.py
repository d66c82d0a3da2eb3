"""The one trainer trains the cascade: from images that show nothing it learns what only the previous stage tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.errors import Interrupted, TrainingError
from autoseg.images import read_image, write_image
from autoseg.inference.model import load_model
from autoseg.plans import Plans
from autoseg.preprocessing.previous import PreviousMaps
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import RECIPES, Split, Trainer, TrainingSettings
from autoseg.training.augmentation.default import Transform
from autoseg.training.fold.data import FoldData
from autoseg.training.previous_stage import PreviousStage

CASES = tuple(f"ball_{number}" for number in range(6))
SPLIT = Split(training=CASES[:4], validation=CASES[4:])
CASCADE = "3d_cascade_fullres"

MakeTrainer = Callable[..., Trainer]


class Quick(Trainer):
    """Learns within a hundred steps to trust the previous stage, which here is never varied."""

    def build_previous_augmentation(self) -> tuple[Transform, ...]:
        return ()

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), lr=0.01)


@pytest.fixture(scope="module")
def noise(store: PreparedCases, tmp_path_factory: pytest.TempPathFactory) -> PreparedCases:
    """The cases with images of pure noise."""
    cases = PreparedCases(tmp_path_factory.mktemp("noise"))
    for number, identifier in enumerate(CASES):
        case = store.load(identifier)
        data = np.random.default_rng(number).normal(size=case.data.shape).astype(np.float32)
        cases.save(replace(case, data=data), "signature")
    return cases


@pytest.fixture
def trainer(noise: PreparedCases, references: Path, tmp_path: Path, plans: Plans) -> MakeTrainer:
    """Makes trainers of the cascade; the previous stage found every label to the voxel."""
    full = plans.configuration("3d_fullres")
    stages = (replace(full, name="3d_lowres"), full, replace(full, name=CASCADE, previous="3d_lowres"))
    cascade_plans = replace(plans, configurations={stage.name: stage for stage in stages})
    predictions = {case: tmp_path / "lowres" / f"{case}.nii.gz" for case in CASES}
    for case, path in predictions.items():
        image = read_image(references / path.name)
        write_image(path, image.data.astype(np.uint8), image.geometry)
        assert case in noise

    def make(kind: type[Trainer] = Trainer, *, fold: str = "fold_0", **changes: Any) -> Trainer:
        maps = PreviousMaps(tmp_path / "model" / "previous_stage")
        previous = changes.pop("previous", PreviousStage(predictions=predictions, maps=maps))
        recipe = changes.pop("recipe", None)
        settings = {"epochs": 2, "iterations_per_epoch": 3, "seed": 7, "workers": 0, "precision": "fp32", **changes}
        return kind(
            FoldData(
                plans=cascade_plans,
                configuration=CASCADE,
                cases=noise,
                split=SPLIT,
                output=tmp_path / "model" / fold,
                references=references,
                previous=previous,
            ),
            settings=TrainingSettings(**settings),
            device="cpu",
            recipe=recipe,
        )

    return make


def test_it_learns_what_only_the_previous_stage_tells(trainer: MakeTrainer) -> None:
    """In training patches and in the final validation alike; from the noise alone nothing can be learned."""
    made = trainer(Quick, epochs=2, iterations_per_epoch=50)
    made.run()
    summary = made.validate()

    epochs = json.loads((made.output / "history.json").read_text())["epochs"]
    assert epochs[-1]["dice"] > 0.9
    assert min(summary.mean[label]["Dice"] for label in (1, 2)) > 0.9


def test_what_a_cascade_leaves(trainer: MakeTrainer) -> None:
    made = trainer(epochs=1)
    made.run()
    made.validate()

    model = load_model(made.output.parent, CASCADE)
    assert next(iter(model.networks[0].parameters())).shape[1] == 1 + 2
    assert {path.name for path in made.output.parent.iterdir()} == {
        "fold_0",
        "plans.json",
        "plans.pkl",
        "previous_stage",
    }
    assert sorted(path.stem for path in (made.output.parent / "previous_stage").glob("*.npy")) == list(CASES)
    assert json.loads((made.output / "run.json").read_text())["previous"]


def test_a_cascade_stopped_in_between_ends_as_if_it_had_not_been(trainer: MakeTrainer) -> None:
    untouched = trainer(fold="fold_1")
    untouched.run()
    asked = iter([False, True])
    with pytest.raises(Interrupted):
        trainer().run(should_stop=lambda: next(asked))
    trainer(workers=1).run(resume=True)

    one, other = (
        load_model(untouched.output.parent, CASCADE, folds=[fold]).networks[0].state_dict() for fold in ("0", "1")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_going_on_with_other_predictions_of_the_previous_stage_is_refused(
    trainer: MakeTrainer, references: Path
) -> None:
    first = trainer()
    with pytest.raises(Interrupted):
        first.run(should_stop=lambda: True)
    assert first.data.previous is not None
    image = read_image(references / "ball_0.nii.gz")
    write_image(first.data.previous.predictions["ball_0"], np.zeros_like(image.data), image.geometry)

    with pytest.raises(
        TrainingError, match=r"began under other conditions: what the previous stage predicted changed; continue"
    ):
        trainer().run(resume=True)


def test_a_cascade_without_the_previous_stage_is_refused(trainer: MakeTrainer) -> None:
    with pytest.raises(TrainingError, match="3d_cascade_fullres: learns from what 3d_lowres predicted; give the"):
        trainer(previous=None).run()


def test_without_augmentation_the_previous_stage_is_left_alone_too(trainer: MakeTrainer) -> None:
    assert len(trainer().build_previous_augmentation()) == 2
    assert trainer(recipe=RECIPES["TrainerNoAugmentation"]).build_previous_augmentation() == ()
