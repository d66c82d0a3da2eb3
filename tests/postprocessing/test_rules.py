"""Rules: their order, their file, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset.target import Exclusive, Masks, Regions, Target
from autoseg.errors import ModelError
from autoseg.postprocessing.rules import Rule, apply_rules, load_evidence, load_rules, save_rules, target_of_rules

UNION, FIRST = Rule(kind="keep_largest", labels=(1, 2)), Rule(kind="keep_largest", labels=(1,))
TWO = Exclusive.numbered(3)
SMALL = Rule(kind="remove_small", labels=(1,), minimum_mm3=2.5)


def test_rules_are_applied_in_their_order() -> None:
    segmentation = np.array([[[1, 2, 1, 1, 0, 1, 1, 1]]], dtype=np.uint8)

    union_first = apply_rules(segmentation, (1, 1, 1), [UNION, FIRST], TWO)
    label_first = apply_rules(segmentation, (1, 1, 1), [FIRST, UNION], TWO)

    np.testing.assert_array_equal(union_first, [[[0, 2, 1, 1, 0, 0, 0, 0]]])
    np.testing.assert_array_equal(label_first, [[[0, 0, 0, 0, 0, 1, 1, 1]]])


def test_saved_rules_load_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "postprocessing.json"

    save_rules([UNION, SMALL], path, evidence={"cases": 12, "dice": {"1": 0.9}})

    assert load_rules(path) == (UNION, SMALL)
    assert load_evidence(path) == {"cases": 12, "dice": {"1": 0.9}}
    assert json.loads(path.read_text()) == {
        "format": 1,
        "rules": [
            {"kind": "keep_largest", "labels": [1, 2], "minimum_mm3": None},
            {"kind": "remove_small", "labels": [1], "minimum_mm3": 2.5},
        ],
        "evidence": {"cases": 12, "dice": {"1": 0.9}},
    }


def test_a_file_written_by_hand_needs_the_rules_only(tmp_path: Path) -> None:
    path = tmp_path / "postprocessing.json"
    path.write_text(
        """{"format": 1, "rules": [{"kind": "fill_holes", "labels": [1]},
                                    {"kind": "remove_small", "labels": [1], "minimum_mm3": 3}]}"""
    )
    segmentation = np.array([[[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 1, 0, 1]]], dtype=np.uint8)

    processed = apply_rules(segmentation, (1, 1, 1), load_rules(path), TWO)

    np.testing.assert_array_equal(processed, [[[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]])
    assert load_evidence(path) is None


@pytest.mark.parametrize(
    "target", [Masks(names=("a", "b")), Regions(names=("a", "b"), members=((1, 2), (2,)), order=(1, 2))]
)
def test_rules_of_masks_and_regions_say_whose_numbers_they_name(tmp_path: Path, target: Target) -> None:
    path = tmp_path / "postprocessing.json"

    save_rules([UNION], path, target=target)
    assert (load_rules(path), target_of_rules(path)) == ((UNION,), target)
    save_rules([UNION], path, target=TWO)
    assert target_of_rules(path) is None, "of labels the numbers are the values"
    with pytest.raises(ModelError, match=r"keep_largest of 1\+2 touches the labels \[2\], but there are only \[1\]"):
        apply_rules(np.zeros((1, 1, 1), np.uint8), (1, 1, 1), [UNION], Exclusive.numbered(2))


def test_a_rule_reads_as_a_sentence() -> None:
    assert [str(rule) for rule in (UNION, SMALL)] == ["keep_largest of 1+2", "remove_small of 1 below 2.5 mm3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 2, "rules": [], "evidence": None}, "postprocessing of format 2, but this autoseg reads format 1"),
        ([], "postprocessing of format None, but this autoseg reads format 1"),
        ({"format": 1}, "no rules; an empty list does nothing"),
        ({"format": 1, "rules": {}}, "rules: expected tuple"),
        ({"format": 1, "rules": [], "evidence": None, "rule": 1}, "unknown fields: rule"),
        ({"format": 1, "rules": [{"kind": "keep_largest"}]}, r"rules\[0\]: wrong fields: missing labels"),
        (
            {"format": 1, "rules": [{"kind": "keep_largest", "labels": [1], "minimum_mm3": 3}]},
            "minimum_mm3 belongs to remove_small only, found it at keep_largest",
        ),
        (
            {"format": 1, "rules": [{"kind": "remove_small", "labels": [1]}]},
            "remove_small needs minimum_mm3, a volume above 0, found None",
        ),
        (
            {"format": 1, "rules": [{"kind": "remove_small", "labels": [1], "minimum_mm3": -2}]},
            "remove_small needs minimum_mm3, a volume above 0, found -2",
        ),
        (
            {"format": 1, "rules": [{"kind": "shave", "labels": [1]}], "evidence": None},
            "the rule 'shave' is not known; known are keep_largest, remove_small, fill_holes",
        ),
        (
            {"format": 1, "rules": [{"kind": "keep_largest", "labels": [0, 1]}], "evidence": None},
            r"a rule needs labels above background, found \[0, 1\]",
        ),
        (
            {"format": 1, "rules": [{"kind": "keep_largest", "labels": ["1"]}], "evidence": None},
            r"rules\[0\]\.labels\[0\]: expected int, found '1'",
        ),
        ({"format": 1, "rules": [], "labels": {"background": 0, "a": 1}}, "unknown fields: labels"),
        ({"format": 1, "rules": [], "masks": "axon"}, r"masks: expected a list of names such as \[.*found 'axon'"),
        ({"format": 1, "rules": [], "masks": ["axon", "axon"]}, "masks: given twice: axon; name each mask differently"),
        (
            {"format": 1, "rules": [], "labels": {"background": 0, "a": [1, 2]}, "regions_class_order": [3]},
            "regions_class_order: 3: no region covers it",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "postprocessing.json"
    path.write_text(json.dumps(content))

    with pytest.raises(ModelError, match=message) as error:
        load_rules(path), target_of_rules(path)

    assert str(path) in str(error.value)


def test_rules_are_applied_without_the_training_stack() -> None:
    code = "import sys, autoseg.postprocessing.rules; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
