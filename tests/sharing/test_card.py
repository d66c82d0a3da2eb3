"""The model card: scores beside the Dice, of fractions and of several raters, where there are any."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoseg.dataset.target import Exclusive, Masks, Target, stored_target
from autoseg.evaluation.summary import CaseScores, Summary
from autoseg.sharing.card import AboutData, ModelCard, ModelEntry, card_text, load_card, save_card
from autoseg.sharing.models import dice_by_label

MORE = {"Soft Dice": 0.9, "Mean Absolute Error": 0.0123, "Dice Between Raters": 0.75}


def card_of(target: Target, **scores: Any) -> ModelCard:
    cases = tuple(
        CaseScores(test=name, reference=name, scores={number: {"Dice": 0.5, **extra} for number in target.scored})
        for name, extra in (("a.nii.gz", scores), ("b.nii.gz", {}))
    )
    summary = Summary(name="", task="", timestamp="", labels=tuple(target.scored), cases=cases)
    model = ModelEntry(
        configuration="2d",
        trainer="Trainer",
        plans="autoseg",
        folds=("0",),
        epochs=(1,),
        custom_network=False,
        previous=None,
        spacing=(1.0, 1.0, 1.0),
        patch_size=(8, 8),
        scored_folds=("0",),
        dice=dice_by_label(summary, target.labels),
    )
    return ModelCard(
        autoseg="0.1.0",
        torch="2",
        task="Task001_Balls",
        about=AboutData(),
        channels=("MRI",),
        labels=target.labels,
        target_kind=stored_target(target),
        training_cases=None,
        selection=False,
        models=(model,),
    )


def test_scores_of_fractions_and_raters_stand_beside_the_dice() -> None:
    """Also where one fold has no case of several raters."""
    text = card_text(card_of(Masks(names=("axon",), soft=True), **MORE))

    assert "| label | mean | std | cases | soft Dice | mean absolute error | Dice between raters |\n" in text
    assert "|---|---|---|---|---|---|---|\n| 1 axon | 0.5000 | 0.0000 | 2 | 0.9000 | 0.0123 | 0.7500 |\n" in text


def test_the_command_names_the_trainer_and_the_plans_where_they_are_not_the_usual() -> None:
    card = card_of(Exclusive(names=("background", "liver")))
    (model,) = card.models
    other = replace(card, models=(replace(model, trainer="my_recipe", plans="big"),))

    assert card_text(card).endswith("## Use\n\n    autoseg_predict -i IN -o OUT -t Task001_Balls -m 2d\n")
    assert card_text(other).endswith(" -t Task001_Balls -m 2d -tr my_recipe -p big\n")
    chosen = card_text(replace(card, selection=True))
    assert "## Use\n\n    autoseg_predict --best -i IN -o OUT -t Task001_Balls\n    autoseg_predict -i IN" in chosen


def test_cards_without_such_scores_say_nothing_of_them(tmp_path: Path) -> None:
    plain = card_of(Exclusive(names=("background", "liver")))
    both = {False: plain, True: card_of(Masks(names=("axon",), soft=True), **MORE)}
    for has_more, card in both.items():
        save_card(card, tmp_path / "model_card.json")
        (entry,) = json.loads((tmp_path / "model_card.json").read_text())["models"][0]["dice"]
        assert ({"soft_dice", "absolute_error", "between_raters"} <= entry.keys()) is has_more
        assert load_card(tmp_path / "model_card.json") == card
    assert "| label | mean | std | cases |\n|---|---|---|---|\n| 1 liver | 0.5000 | 0.0000 | 2 |\n" in card_text(plain)
