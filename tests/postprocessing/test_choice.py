"""Choosing postprocessing: what helps is found, what hurts is not, and what only looks good where it was chosen is not kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Exclusive
from autoseg.errors import CasesFailed, ModelError
from autoseg.evaluation.metrics import Counted, score_arrays
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.postprocessing.choice import (
    choose_postprocessing,
    judge_as_given,
    sources_hash,
    standard_candidates,
)
from autoseg.postprocessing.evidence import Choice, load_choice, save_choice
from autoseg.postprocessing.rules import Rule, apply_rules, load_rules
from autoseg.postprocessing.scoring import DiceTable, ValidationCase

SHAPE = (12, 16, 16)
GEOMETRY = Geometry(spacing=(2.0, 1.0, 1.0))
FOLDS, CASES_A_FOLD = 5, 2

ONE, TWO = Exclusive.numbered(2), Exclusive.numbered(3)

LARGEST = {label: Rule(kind="keep_largest", labels=(label,)) for label in (1, 2)}
ALL_LARGEST = Rule(kind="keep_largest", labels=(1, 2))
FILLED = {label: Rule(kind="fill_holes", labels=(label,)) for label in (1, 2)}

Draw = Callable[[int, int], tuple[np.ndarray, np.ndarray]]
"""From fold and number within the fold to prediction and reference."""


def validation_case(name: str, fold: str, patient: str, prediction: Path, reference: Path) -> ValidationCase:
    return ValidationCase(
        identifier=name, fold=fold, patient=patient, predictions=(prediction,), references=((reference,),)
    )


def write_cases(folder: Path, draw: Draw, *, folds: int = FOLDS) -> list[ValidationCase]:
    cases = []
    for fold in range(folds):
        for number in range(CASES_A_FOLD):
            name = f"case_{fold}{number}"
            paths = folder / "predicted" / f"{name}.nii.gz", folder / "true" / f"{name}.nii.gz"
            for path, data in zip(paths, draw(fold, number), strict=True):
                write_image(path, data, GEOMETRY)
            cases.append(validation_case(name, str(fold), name, *paths))
    return cases


def two_organs() -> np.ndarray:
    truth = np.zeros(SHAPE, np.uint8)
    truth[2:8, 2:8, 2:8] = 1
    truth[2:8, 2:8, 8:12] = 2
    return truth


def dice(choice: Choice, when: str, label: int) -> float | None:
    comparison = choice.evidence.out_of_fold[choice.evidence.labels.index(label)]
    value: float | None = getattr(comparison, when)
    return value


def islands_everywhere(fold: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    truth = two_organs()
    predicted = truth.copy()
    predicted[10, 12 + number : 15, 13] = 1 + fold % 2  # false, and far from both
    return predicted, truth


def test_false_islands_are_found_by_keeping_the_largest_of_all_foreground(tmp_path: Path) -> None:
    choice = choose_postprocessing(write_cases(tmp_path, islands_everywhere), TWO, workers=1)

    assert choice.rules == (ALL_LARGEST,)
    (judged,) = choice.evidence.judged
    assert judged.held_up
    assert judged.chosen_without == ("0", "1", "2", "3", "4")
    # Folds 0, 2, 4 have an island of 3 or 2 voxels of label 1, whose organ has 216; label 2 has 144.
    raw = np.mean([[432 / (432 + 3), 432 / (432 + 2)]] * 3 + [[1, 1]] * 2)
    assert dice(choice, "before", 1) == pytest.approx(raw, abs=1e-12)
    assert (dice(choice, "after", 1), dice(choice, "after", 2)) == (1, 1)
    assert judged.out_of_fold[0].before == pytest.approx(raw, abs=1e-12)
    assert (judged.in_fold[1].after, judged.out_of_fold[1].n_after) == (1, 10)


def test_an_island_beside_the_other_organ_needs_the_rule_of_its_label(tmp_path: Path) -> None:
    def touching(_fold: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        truth = two_organs()
        predicted = truth.copy()
        predicted[4, 5, 12 : 13 + number] = 1
        return predicted, truth

    choice = choose_postprocessing(write_cases(tmp_path, touching), TWO, workers=1)

    assert choice.rules == (LARGEST[1],)
    assert dice(choice, "after", 1) == 1


def test_true_objects_that_are_several_are_left_alone(tmp_path: Path) -> None:
    def lesions(_fold: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        truth = np.zeros(SHAPE, np.uint8)
        truth[1:5, 1:5, 1:5] = 1
        truth[8:11, 8:11, 8:11] = 1
        predicted = truth.copy()
        predicted[1, 1, 1 + number] = 0
        return predicted, truth

    choice = choose_postprocessing(write_cases(tmp_path, lesions), ONE, workers=1)

    assert choice.rules == ()
    assert choice.evidence.judged == ()
    assert dice(choice, "before", 1) == dice(choice, "after", 1) == pytest.approx(2 * 90 / 181, abs=1e-12)


def test_specks_among_true_objects_are_removed_below_the_smallest_true_size(tmp_path: Path) -> None:
    def lesions_and_specks(_fold: int, _number: int) -> tuple[np.ndarray, np.ndarray]:
        truth = np.zeros(SHAPE, np.uint8)
        truth[1:5, 1:5, 1:5] = 1
        truth[8:11, 8:11, 8:11] = 1
        predicted = truth.copy()
        predicted[1, 13:15, 13] = 1
        return predicted, truth

    choice = choose_postprocessing(write_cases(tmp_path, lesions_and_specks), ONE, workers=1)

    # The smaller true object has 27 voxels of 2 mm3.
    assert choice.rules == (Rule(kind="remove_small", labels=(1,), minimum_mm3=54.0),)
    assert dice(choice, "after", 1) == 1


def test_holes_are_filled_after_islands_are_removed(tmp_path: Path) -> None:
    def hollow(_fold: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        truth = two_organs()
        predicted = truth.copy()
        predicted[4:6, 4:6, 4 : 6 - number] = 0
        predicted[4, 4, 9] = 1  # a false island inside the other organ
        return predicted, truth

    choice = choose_postprocessing(write_cases(tmp_path, hollow), TWO, workers=1)

    assert choice.rules == (LARGEST[1], FILLED[1], FILLED[2])
    assert (dice(choice, "after", 1), dice(choice, "after", 2)) == (1, 1)


def one_fold_lies(fold: int, _number: int) -> tuple[np.ndarray, np.ndarray]:
    """In fold 3 the smaller of two objects, 99 voxels beside 125, is false; in all others its 12 voxels are true."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[1:6, 1:6, 1:6] = 1
    predicted = truth.copy()
    if fold == 3:
        predicted[8:12, 8:13, 8:13] = 1
        predicted[8, 8, 8] = 0
    else:
        predicted[8:10, 8:10, 8:11] = truth[8:10, 8:10, 8:11] = 1
    return predicted, truth


def test_a_rule_that_looks_good_only_where_it_was_chosen_is_not_kept(tmp_path: Path) -> None:
    rule = LARGEST[1]
    cases = write_cases(tmp_path, one_fold_lies)
    table = DiceTable(cases, ONE, workers=1)
    table.measure([((), rule)])
    gain = (table.dice((rule,)) - table.dice(())).reshape(FOLDS, CASES_A_FOLD)
    assert gain.mean() == pytest.approx((2 * (1 - 250 / 349) + 8 * (250 / 262 - 1)) / 10, abs=1e-12)
    assert gain.mean() > 0.01  # on all cases it was chosen on it looks good ...
    assert gain[3].min() > 0.2
    assert gain[[0, 1, 2, 4]].max() < 0  # ... but all of that comes from one fold

    choice = choose_postprocessing(cases, ONE, workers=1, candidates=[rule])

    assert choice.rules == ()
    (judged,) = choice.evidence.judged
    assert not judged.held_up
    assert judged.chosen_without == ("0", "1", "2", "4")  # fold 3 judges what was not chosen without it
    (in_fold,), (out_of_fold,) = judged.in_fold, judged.out_of_fold
    assert in_fold.after - in_fold.before == pytest.approx(gain.mean(), abs=1e-12)
    assert out_of_fold.after - out_of_fold.before == pytest.approx(gain[[0, 1, 2, 4]].sum() / gain.size, abs=1e-12)
    assert dice(choice, "before", 1) == dice(choice, "after", 1) == pytest.approx(0.8 + 0.2 * 250 / 349, abs=1e-12)


def test_after_a_rule_is_rejected_the_choice_is_made_anew(tmp_path: Path) -> None:
    """What followed on top of the rejected rule was chosen for another image, and is chosen again without it."""
    both = [Rule(kind="keep_largest", labels=(1,)), Rule(kind="remove_small", labels=(1,), minimum_mm3=6)]

    def lies_and_specks(fold: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        predicted, truth = one_fold_lies(fold, number)
        predicted[1:3, 14, 14] = 1  # 4 mm3, which keep-largest would remove too
        return predicted, truth

    choice = choose_postprocessing(write_cases(tmp_path, lies_and_specks), ONE, workers=1, candidates=both)

    assert choice.rules == (Rule(kind="remove_small", labels=(1,), minimum_mm3=6.0),)
    assert [(rule.rule.kind, rule.held_up) for rule in choice.evidence.judged] == [
        ("keep_largest", False),
        ("remove_small", True),
    ]


def test_labels_without_a_score_do_not_stop_the_choice(tmp_path: Path) -> None:
    """Label 2 is in no reference and label 3 nowhere at all; a false label 2 removed takes the case from its mean."""

    def absent(fold: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        predicted, truth = islands_everywhere(fold, number)
        truth[truth == 2] = 0
        predicted[predicted == 2] = 0
        predicted[10, 12, 13] = 1
        if fold == 0:
            predicted[11, 0, 0] = 2
        return predicted, truth

    choice = choose_postprocessing(write_cases(tmp_path, absent), Exclusive.numbered(4), workers=1)

    assert choice.rules == (Rule(kind="keep_largest", labels=(1, 2, 3)),)
    second, third = choice.evidence.out_of_fold[1:]
    assert (second.before, second.n_before, second.after, second.n_after) == (0, 2, None, 0)
    assert (third.before, third.n_before, third.after, third.n_after) == (None, 0, None, 0)


@pytest.mark.parametrize("folds", [0, 1])
def test_the_cases_of_a_single_fold_are_divided_to_judge_one_another(tmp_path: Path, folds: int) -> None:
    cases = write_cases(tmp_path, islands_everywhere, folds=folds)

    choice = choose_postprocessing(cases, TWO, workers=1)

    assert choice.rules == ((ALL_LARGEST,) if folds else ())
    if folds:
        assert choice.evidence.judged[0].chosen_without == ("part 0", "part 1")
        assert [case.fold for case in choice.evidence.cases] == ["0", "0"]


def test_with_one_patient_only_nothing_is_chosen(tmp_path: Path) -> None:
    cases = [replace(case, fold="0", patient="the one") for case in write_cases(tmp_path, islands_everywhere, folds=1)]

    assert choose_postprocessing(cases, TWO, workers=1).rules == ()


def test_cases_of_one_patient_do_not_judge_what_was_chosen_on_another_of_them(tmp_path: Path) -> None:
    """Only the patient with an image in every fold has islands; without that patient no case shows them."""

    def islands_of_one(fold: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        predicted, truth = islands_everywhere(fold, number)
        return (predicted, truth) if number == 0 else (truth, truth)

    cases = write_cases(tmp_path, islands_of_one)
    shared = [replace(case, patient="shared" if case.identifier.endswith("0") else case.patient) for case in cases]

    assert choose_postprocessing(cases, TWO, workers=1).rules == (ALL_LARGEST,)
    assert choose_postprocessing(shared, TWO, workers=1).rules == ()


def noisy(fold: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng([fold, number])
    truth = two_organs()
    noise = generator.integers(0, 3, SHAPE).astype(np.uint8)
    return np.where(generator.random(SHAPE) < 0.12, noise, truth).astype(np.uint8), truth


def test_the_scores_are_those_of_the_rules_applied_to_whole_images(tmp_path: Path) -> None:
    """Scores are put together from boxes and single rules; the plain way is to apply all rules and count all voxels."""
    cases = write_cases(tmp_path, noisy)

    choice = choose_postprocessing(cases, TWO, workers=2)

    assert {rule.kind for rule in choice.rules} >= {"keep_largest", "fill_holes"}
    for case, kept in zip(cases, choice.evidence.cases, strict=True):
        for rules, expected in (((), kept.before), (choice.evidence.chosen_without[case.fold], kept.after)):
            assert plain_dice(case, rules) == pytest.approx(expected, abs=1e-12)
    for column, comparison in enumerate(choice.evidence.in_fold):
        plain = np.mean([plain_dice(case, choice.rules)[column] for case in cases])
        assert comparison.after == pytest.approx(plain, abs=1e-12)


def plain_dice(case: ValidationCase, rules: Sequence[Rule]) -> list[float | None]:
    processed = apply_rules(read_image(case.predictions[0]).data, GEOMETRY.spacing, rules, TWO)
    scores = score_arrays(processed, read_image(case.references[0][0]).data, Counted.of((1, 2)))
    return [scores[label]["Dice"] for label in (1, 2)]


def test_rules_that_were_given_are_scored_as_they_are(tmp_path: Path) -> None:
    cases = write_cases(tmp_path, noisy)
    rules = (LARGEST[2], FILLED[2], Rule(kind="remove_small", labels=(1, 2), minimum_mm3=9))

    choice = judge_as_given(cases, TWO, rules, workers=1)

    assert choice.rules == rules
    np.testing.assert_allclose(choice.evidence.after, [plain_dice(case, rules) for case in cases], atol=1e-12)


def test_the_candidates_come_in_steps() -> None:
    """Thresholds are quantiles of the true volumes, rounded down to two digits."""
    volumes = {1: np.array([123.0, 4567.0, 4567.0, 4567.0]), 2: np.array([]), 5: np.array([0.0123])}

    together, fewer, fuller = standard_candidates(volumes)

    assert together == ((Rule(kind="keep_largest", labels=(1, 2, 5)),),)
    assert [[rule.minimum_mm3 for rule in slot] for slot in fewer] == [[None, 120, 780, 3400], [None], [None, 0.012]]
    assert fuller == tuple((Rule(kind="fill_holes", labels=(label,)),) for label in (1, 2, 5))
    assert standard_candidates({3: np.array([8.0])})[0] == ()


def test_a_rule_for_a_label_that_is_not_there_is_refused(tmp_path: Path) -> None:
    cases = write_cases(tmp_path, islands_everywhere, folds=2)

    for choose in (
        lambda rules: choose_postprocessing(cases, TWO, workers=1, candidates=rules),
        lambda rules: judge_as_given(cases, TWO, rules, workers=1),
    ):
        with pytest.raises(
            ModelError, match=r"keep_largest of 2\+7 touches the labels \[7\], but there are only \[1, 2\]"
        ):
            choose((Rule(kind="keep_largest", labels=(2, 7)),))


def test_a_case_that_cannot_be_compared_is_named(tmp_path: Path) -> None:
    cases = write_cases(tmp_path, islands_everywhere, folds=2)
    write_image(cases[2].predictions[0], np.zeros((3, 3, 3), np.uint8), GEOMETRY)

    with pytest.raises(CasesFailed, match=r"case_10: .* lie on different grids"):
        choose_postprocessing(cases, TWO, workers=1)


@pytest.mark.parametrize("candidates", [None, (ALL_LARGEST,)])
def test_a_choice_is_read_again_as_it_was_saved(tmp_path: Path, candidates: tuple[Rule, ...] | None) -> None:
    path = tmp_path / "postprocessing.json"
    cases = write_cases(tmp_path, islands_everywhere)
    choice = choose_postprocessing(cases, TWO, workers=1, candidates=candidates, sources="a")

    save_choice(choice, path)

    assert load_choice(path) == choice
    assert (choice.evidence.sources, choice.evidence.candidates) == ("a", candidates)
    assert load_rules(path) == choice.rules


def test_a_file_of_the_user_is_no_choice(tmp_path: Path) -> None:
    path = tmp_path / "postprocessing.json"

    assert load_choice(path) is None
    path.write_text('{"format": 1, "rules": []}')
    assert load_choice(path) is None
    path.write_text('{"format": 1, "rules": [{"kind": "shave", "labels": [1]}]}')
    with pytest.raises(ModelError, match="the rule 'shave' is not known"):
        load_choice(path)


def test_the_hash_of_the_sources_tells_every_change(tmp_path: Path) -> None:
    cases = write_cases(tmp_path, islands_everywhere, folds=2)
    before = sources_hash(cases, TWO, workers=1)

    assert sources_hash(cases[::-1], TWO, workers=2) == before
    assert sources_hash(cases, ONE, workers=1) != before
    assert sources_hash(cases[1:], TWO, workers=1) != before
    assert sources_hash([replace(cases[0], fold="7"), *cases[1:]], TWO, workers=1) != before
    assert sources_hash([replace(cases[0], patient="7"), *cases[1:]], TWO, workers=1) != before
    for path in cases[0].files:
        data = read_image(path).data
        write_image(path, np.where(data == 0, 2, data), GEOMETRY)
        assert sources_hash(cases, TWO, workers=1) != before
        write_image(path, data, GEOMETRY)
    assert sources_hash(cases, TWO, workers=1) == before


def test_what_nobody_knows_is_no_part_of_any_dice(tmp_path: Path) -> None:
    """Rules see all of a prediction; only what is known of it is scored."""
    prediction, reference = np.zeros((2, 12, 10, 10), dtype=np.uint8)
    reference[2:5, 2:8, 2:8] = 1
    prediction[2:5, 2:8, 2:7] = 1
    prediction[8, 4, 4] = 1  # an island, and beside it what nobody labelled
    reference[9:] = 9
    prediction[9:] = 1
    geometry = Geometry(spacing=(1.0, 1.0, 1.0))
    paths = tmp_path / "prediction.nii.gz", tmp_path / "reference.nii.gz"
    for path, data in zip(paths, (prediction, reference), strict=True):
        write_image(path, data, geometry)
    target = Exclusive(names=("background", "label"), ignore=9)
    table = DiceTable([validation_case("case", "0", "case", *paths)], target, workers=1)

    assert table.dice(()).tolist() == [[2 * 90 / (91 + 108)]]
    largest = (Rule(kind="keep_largest", labels=(1,)),)
    table.measure([((), largest[0])])
    assert table.dice(largest).tolist() == [[2 * 0 / 108]], "the largest part is the one that nobody labelled"


def test_of_labels_that_nobody_drew_in_a_case_nothing_is_said(tmp_path: Path) -> None:
    prediction = np.zeros((6, 6, 6), dtype=np.uint8)
    prediction[1:3], prediction[3:5] = 1, 2
    geometry = Geometry(spacing=(1.0, 1.0, 1.0))
    write_image(tmp_path / "one.nii.gz", prediction, geometry)
    case = validation_case("case", "0", "case", tmp_path / "one.nii.gz", tmp_path / "one.nii.gz")
    table = DiceTable([replace(case, undrawn=(2,))], TWO, workers=1)
    rule = Rule(kind="keep_largest", labels=(1, 2))
    table.measure([((), rule)])

    np.testing.assert_equal(table.dice(()), [[1.0, np.nan]])
    np.testing.assert_equal(table.dice((rule,)), [[1.0, np.nan]])
