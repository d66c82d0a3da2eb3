"""Label files of every kind, verified by output; and what planning and preparing make of such tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.commands import plan_and_preprocess, verify_dataset
from autoseg.dataset import Masks, Regions
from autoseg.geometry import Geometry
from autoseg.images import write_image
from autoseg.planning.verification import verify_dataset as verify
from autoseg.plans import load_plans
from autoseg.preprocessing.store import PreparedCases

SHAPE = (12, 16, 14)
CASES = tuple(f"case_{number}" for number in range(5))
REGIONS: dict[str, Any] = {"labels": {"background": 0, "whole": [1, 3], "core": 3}, "regions_class_order": [1, 3]}
LABELS: dict[str, Any] = {"labels": {"0": "background", "1": "anterior", "2": "posterior"}}
MASKS: dict[str, Any] = {"masks": ["axon", "myelin"]}
Told = pytest.CaptureFixture[str]


def labels_of(*values: float) -> Any:
    """Background, and a block of each value."""
    labels = np.zeros(SHAPE, np.float32)
    for number, value in enumerate(values):
        labels[2 + number : 4 + number, 4:9, 3 : 8 + number] = value
    return labels if any(value != int(value) for value in values if value == value) else labels.astype(np.int16)


def task(home: Path, content: dict[str, Any], files: dict[str, Any], usual: dict[str, Any]) -> Path:
    """A raw task of five cases with these label files; of other cases `usual`, whose names follow the case's."""
    raw = home / "raw_data" / "Task001_Kinds"
    geometry = Geometry(spacing=(1.0, 1.0, 1.0))
    own = {case: {name: data for name, data in files.items() if name.startswith(case)} for case in CASES}
    for number, case in enumerate(CASES):
        image = np.random.default_rng(number).normal(100, 10, SHAPE).astype(np.float32)
        write_image(raw / "imagesTr" / f"{case}_0000.nii.gz", image, geometry)
        for name, data in (own[case] or {case + ending: data for ending, data in usual.items()}).items():
            write_image(raw / "labelsTr" / f"{name}.nii.gz", np.roll(data, number, axis=1), geometry)
    listed = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in CASES]
    (raw / "dataset.json").write_text(json.dumps({"modality": {"0": "MRI"}, "training": listed, **content}))
    return raw


@pytest.mark.parametrize(
    ("content", "usual"),
    [
        (REGIONS, {"": labels_of(1, 3)}),
        ({**LABELS, "ignore": 255}, {"": labels_of(1, 2, 255)}),
        ({**LABELS, "annotated": {case: ["anterior"] for case in CASES[:2]}}, {"": labels_of(1)}),
        (MASKS, {"_axon": labels_of(1), "_myelin": labels_of(1, 1)}),
        (MASKS, {"_axon_rater1": labels_of(1), "_axon_rater2": labels_of(1, 1), "_myelin": labels_of(1)}),
        (LABELS, {"_rater1": labels_of(1, 2), "_rater2": labels_of(2, 1)}),
        ({**MASKS, "soft_labels": True}, {"_axon": labels_of(0.3), "_myelin": labels_of(0.5, 1)}),
        ({"labels": {"0": "background", "1": "a"}, "soft_labels": True}, {"": labels_of(51, 255)}),
    ],
    ids=["regions", "ignore", "annotated", "masks", "raters of masks", "raters", "soft masks", "soft label"],
)
def test_a_sound_task_of_each_kind_has_no_errors(
    tmp_path: Path, content: dict[str, Any], usual: dict[str, Any]
) -> None:
    report = verify(task(tmp_path, content, {}, usual), workers=1)
    assert not report.errors, str(report)


@pytest.mark.parametrize(
    ("content", "files", "usual", "message"),
    [
        (
            REGIONS,
            {"case_1": labels_of(1, 2)},
            {"": labels_of(1, 3)},
            "case case_1, labelsTr/case_1.nii.gz: holds the value 2, which dataset.json does not declare (0, 1, 3); declare",
        ),
        (
            {**LABELS, "ignore": 255},
            {"case_1": np.full(SHAPE, 255, np.int16)},
            {"": labels_of(1, 2, 255)},
            "case case_1, labelsTr/case_1.nii.gz: is ignored everywhere: nothing is annotated; leave the case out",
        ),
        (
            {**LABELS, "ignore": 255},
            {"case_1": labels_of(1, 254)},
            {"": labels_of(1, 2, 255)},
            "case_1.nii.gz: holds the value 254, which dataset.json does not declare (0 to 2); declare",
        ),
        (
            {**LABELS, "annotated": {"case_1": ["anterior"]}},
            {},
            {"": labels_of(1, 2)},
            "case_1.nii.gz: holds label 2, but only anterior is annotated in this case; correct `annotated`, or the file",
        ),
        (
            MASKS,
            {"case_1_axon": labels_of(2)},
            {"_axon": labels_of(1), "_myelin": labels_of(1)},
            "case_1_axon.nii.gz: holds the value 2, and a mask holds 0 and 1; correct the file",
        ),
        (
            MASKS,
            {"case_1_axon": labels_of(0.5)},
            {"_axon": labels_of(1), "_myelin": labels_of(1)},
            'case_1_axon.nii.gz: holds fractions, such as 0.5; save masks as 0 and 1, or declare "soft_labels": true',
        ),
        (
            {**MASKS, "soft_labels": True},
            {"case_1_axon": labels_of(-0.5)},
            {"_axon": labels_of(0.3), "_myelin": labels_of(1)},
            "case_1_axon.nii.gz: holds -0.5, which is no fraction; soft labels are from 0 to 1, or whole numbers from 0 to 255",
        ),
        (
            MASKS,
            {"case_1_axom": labels_of(1), "case_1_myelin": labels_of(1)},
            {"_axon": labels_of(1), "_myelin": labels_of(1)},
            "labelsTr/case_1_axom.nii.gz: belongs to no case in dataset.json; list its case in dataset.json, or move",
        ),
        (
            MASKS,
            {"case_1_axon": np.zeros(SHAPE, np.int16)},
            {"_axon": labels_of(1), "_myelin": labels_of(1)},
            "case_1_axon.nii.gz: holds nothing of axon; check whether it was drawn at all",
        ),
        (
            {**LABELS, "annotated": {"case_9": ["anterior"]}},
            {},
            {"": labels_of(1, 2)},
            "dataset.json: annotated: there is no training case 'case_9'",
        ),
    ],
)
def test_what_is_wrong_is_said_by_file(
    tmp_path: Path, content: dict[str, Any], files: dict[str, Any], usual: dict[str, Any], message: str
) -> None:
    assert message in str(verify(task(tmp_path, content, files, usual), workers=1))


def test_a_mask_that_no_case_holds_is_rare(tmp_path: Path) -> None:
    report = verify(task(tmp_path, MASKS, {}, {"_axon": labels_of(1)}), workers=1)
    assert "label 2 (myelin) is in no training case" in str(report)


@pytest.mark.parametrize(
    ("content", "usual", "planes"),
    [
        (REGIONS, {"": labels_of(1, 3)}, 0),
        (MASKS, {"_axon": labels_of(1), "_myelin_rater1": labels_of(1, 1), "_myelin_rater2": labels_of(1)}, 3),
    ],
    ids=["regions", "masks"],
)
def test_a_task_is_planned_and_prepared(
    tmp_path: Path, content: dict[str, Any], usual: dict[str, Any], planes: int
) -> None:
    raw, home = task(tmp_path, content, {}, usual), ["--home", str(tmp_path)]
    assert verify_dataset.main(["-t", "1", *home]) == 0
    assert plan_and_preprocess.main(["-t", "1", "-pl2d", "None", "-tf", "1", *home]) == 0
    folder = tmp_path / "preprocessed" / raw.name
    target = load_plans(folder / "autoseg_plans_3D.pkl").target
    assert target in (
        Regions(names=("whole", "core"), members=((1, 3), (3,)), order=(1, 3)),
        Masks(names=("axon", "myelin")),
    )
    case = PreparedCases(folder / "autoseg_3d_fullres").load("case_1")
    assert case.segmentation is not None
    assert case.segmentation.shape[:-3] == ((planes,) if planes else ())
    assert len(list((folder / "gt_segmentations").iterdir())) == 5 * max(1, planes)

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}
    assert plan_and_preprocess.main(["-t", "1", "-pl2d", "None", "-tf", "1", *home]) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")} == before, "nothing changed"
