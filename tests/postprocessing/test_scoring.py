"""The Dice of every kind of target under rules, put together from boxes, beside the plain way on whole images."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset.covering import held
from autoseg.dataset.target import Exclusive, Masks, Regions, Target
from autoseg.errors import CasesFailed
from autoseg.geometry import Geometry
from autoseg.images import write_image
from autoseg.postprocessing.choice import choose_postprocessing, sources_hash
from autoseg.postprocessing.evidence import save_choice
from autoseg.postprocessing.rules import FILL_HOLES, KEEP_LARGEST, REMOVE_SMALL, Rule, apply_rules, target_of_rules
from autoseg.postprocessing.scoring import DiceTable, ValidationCase

SHAPE = (6, 9, 10)
GEOMETRY = Geometry(spacing=(2.0, 1.0, 1.0))
BRATS = Regions(names=("whole", "core", "enhancing"), members=((1, 2, 3), (2, 3), (3,)), order=(1, 2, 3), ignore=9)
KINDS: list[Target] = [
    Exclusive(names=("background", "a", "b", "c"), ignore=9),
    BRATS,
    Masks(names=("a", "b"), ignore=9),
]


def noisy(generator: np.random.Generator, target: Target, *, unknown: bool = False) -> np.ndarray:
    """A segmentation of boxes in each other, with noise."""
    values = list(target.values)
    data = np.zeros(target.shape_of(SHAPE), np.uint8)
    for depth, value in enumerate(values[1:]):
        data[..., 1 : 5 - depth, 1 + depth : 7, 1 + depth : 8] = value
    noise = generator.choice(values + [9] * unknown, data.shape)
    return np.where(generator.random(data.shape) < 0.15, noise, data).astype(np.uint8)


def write_case(folder: Path, seed: int, target: Target, *, raters: int = 1) -> tuple[ValidationCase, list[np.ndarray]]:
    """A case with its files, and the arrays of them: what was predicted, then what each rater says."""
    generator = np.random.default_rng(seed)
    arrays = [noisy(generator, target), *(noisy(generator, target, unknown=True) for _ in range(raters))]
    files = []
    for number, data in enumerate(arrays):
        files.append([folder / f"{seed}_{place}_{number}.nii.gz" for place, _ in enumerate(target.maps_of(data))])
        for file, labels in zip(files[-1], target.maps_of(data), strict=True):
            write_image(file, labels, GEOMETRY)
    case = ValidationCase(
        identifier=f"case {seed}",
        fold=str(seed),
        patient=str(seed),
        predictions=tuple(files[0]),
        references=tuple(zip(*files[1:], strict=True)),
    )
    return case, arrays


def plain_dice(arrays: list[np.ndarray], target: Target, rules: tuple[Rule, ...]) -> list[float]:
    prediction, *raters = arrays
    processed = apply_rules(prediction, GEOMETRY.spacing, rules, target)
    scores = []
    for number in target.scored:
        place = target.map_of(number)
        said = [target.maps_of(rater)[place] for rater in raters]
        known = np.sum([one != 9 for one in said], axis=0)
        true = np.sum([np.isin(one, target.members_of(number)) for one in said], axis=0) > known / 2
        ours = held(processed, target, (number,)) & (known > 0)
        both = ours.sum() + true.sum()
        scores.append(2 * (ours & true).sum() / both if both else np.nan)
    return scores


@pytest.mark.parametrize("raters", [1, 3])
@pytest.mark.parametrize("target", KINDS, ids=lambda target: type(target).__name__)
def test_scores_from_boxes_are_those_of_whole_images(tmp_path: Path, target: Target, raters: int) -> None:
    written = [write_case(tmp_path, seed, target, raters=raters) for seed in (0, 1)]
    table = DiceTable([case for case, _ in written], target, workers=1)
    rules = [Rule(kind=kind, labels=(number,)) for number in target.scored for kind in (KEEP_LARGEST, FILL_HOLES)]
    rules.append(Rule(kind=REMOVE_SMALL, labels=tuple(target.scored), minimum_mm3=5))

    np.testing.assert_allclose(table.dice(()), [plain_dice(arrays, target, ()) for _, arrays in written], atol=1e-12)
    for pair in permutations(rules, 2):
        table.measure([((), pair[0])])
        table.measure([(pair[:1], pair[1])])
        expected = [plain_dice(arrays, target, pair) for _, arrays in written]
        np.testing.assert_allclose(table.dice(pair), expected, atol=1e-12, err_msg=str(pair))


def test_islands_in_nested_regions_are_taken_away_one_region_after_the_other(tmp_path: Path) -> None:
    """Rules of regions in each other change each other's scores, so each is tried after those before it."""

    def island(fold: int) -> ValidationCase:
        truth = np.zeros(SHAPE, np.uint8)
        truth[1:5, 1:8, 1:7], truth[2:4, 2:6, 2:6], truth[2:4, 3:5, 3:5] = 1, 2, 3
        predicted = truth.copy()
        predicted[0, 0, 9], predicted[1, 7, 6], predicted[4, 1, 1] = 1, 2, 3
        paths = tmp_path / f"{fold}_p.nii.gz", tmp_path / f"{fold}_t.nii.gz"
        for path, data in zip(paths, (predicted, truth), strict=True):
            write_image(path, data, GEOMETRY)
        return ValidationCase(
            identifier=str(fold), fold=str(fold), patient=str(fold), predictions=paths[:1], references=(paths[1:],)
        )

    cases = [island(fold) for fold in range(3)]
    choice = choose_postprocessing(cases, BRATS, workers=1)

    assert [(rule.kind, rule.labels) for rule in choice.rules] == [(KEEP_LARGEST, (1, 2, 3)), (KEEP_LARGEST, (2,))]
    assert choice.evidence.after.tolist() == [[1.0, 1.0, 1.0]] * 3
    save_choice(choice, tmp_path / "postprocessing.json", BRATS)
    said = target_of_rules(tmp_path / "postprocessing.json")
    assert said is not None and (said.outputs, said.values) == (BRATS.outputs, BRATS.values)


def test_masks_that_nobody_drew_have_no_score_and_odd_files_are_refused(tmp_path: Path) -> None:
    target = KINDS[2]
    case, _ = write_case(tmp_path, 0, target)
    first, _ = case.references
    undrawn = ValidationCase(
        identifier="case", fold="0", patient="0", predictions=case.predictions, references=(first, ())
    )
    table = DiceTable([undrawn, case], target, workers=1)
    together = Rule(kind=KEEP_LARGEST, labels=(1, 2))
    table.measure([((), together)])

    assert (
        np.isnan(table.dice(())).tolist() == np.isnan(table.dice((together,))).tolist() == [[False, True], [False] * 2]
    )
    assert sources_hash([case], target, workers=1) != sources_hash([undrawn], target, workers=1)
    write_image(case.predictions[1], np.full(SHAPE, 3, np.uint8), GEOMETRY)
    with pytest.raises(CasesFailed, match=r"0_1_0\.nii\.gz: a mask holds 0 and 1, found 3; correct the file"):
        DiceTable([case], target, workers=1).dice(())
