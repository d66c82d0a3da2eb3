"""Files in to files out: exact grids, what is skipped, what fails by name, and what is written beside."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_runs import asked

import autoseg
from autoseg.dataset import Case
from autoseg.dataset.raw_cases import read_case
from autoseg.ensembling.averaging import ensemble_folders
from autoseg.errors import CasesFailed, DatasetError, ModelError
from autoseg.images import read_image, whole_files, write_image
from autoseg.inference.cases import (
    Job,
    predict_cases,
    predict_jobs,
    probabilities_file,
)
from autoseg.inference.found_cases import find_cases, select_part
from autoseg.inference.model import WeightsFile, save_weights, weights_sha256
from autoseg.inference.predictor import Predictor
from autoseg.inference.probabilities import load_probabilities
from autoseg.inference.record import model_hash, predicted_with, read_origin, save_record
from autoseg.inference.settings import Computation, Filing
from autoseg.plans import plan_signature
from autoseg.postprocessing.folders import apply_postprocessing
from autoseg.postprocessing.rules import Rule


@pytest.fixture
def predictor(make: Any) -> Predictor:
    """Reads the labels of the synthetic tasks from their brightness."""
    return Predictor(make.model(make.plans(spacing=(2.0, 1.0, 1.0))), Computation(device="cpu", precision="fp32"))


@pytest.fixture
def task(make_task: Any) -> Path:
    return make_task(cases=3, test_cases=0, spacing=(2.0, 1.0, 1.0), shape=(12, 16, 14))


def outputs(cases: Any, folder: Path) -> list[Path]:
    return [folder / f"{case.identifier}.nii.gz" for case in cases]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nii.gz")}


def remade(folder: Path, before: dict[str, int]) -> list[str]:
    return sorted(name for name, time in written(folder).items() if time != before.get(name))


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(path))


def test_a_folder_is_predicted_on_the_inputs_grids(task: Path, predictor: Predictor, tmp_path: Path) -> None:
    cases = find_cases([task / "imagesTr"], 1)

    predict_cases(predictor, asked(cases, outputs(cases, tmp_path)))

    assert sorted(path.name for path in tmp_path.iterdir()) == [f"case_00{n}.nii.gz" for n in range(3)]
    for case in cases:
        np.testing.assert_array_equal(
            read(tmp_path / f"{case.identifier}.nii.gz"), read(task / "labelsTr" / f"{case.identifier}.nii.gz")
        )
        image, label = sitk.ReadImage(case.image_paths[0]), sitk.ReadImage(tmp_path / f"{case.identifier}.nii.gz")
        assert image.GetSpacing() == label.GetSpacing()
        assert image.GetOrigin() == label.GetOrigin()
        assert image.GetDirection() == label.GetDirection()
        assert label.GetPixelID() == sitk.sitkUInt8


@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        ("Task04_Hippocampus/imagesTs", (1.0, 1.0, 1.0)),
        ("Task101_SunnybrookLV/imagesTr", (10.0, 1.5, 1.5)),
    ],
)
def test_real_images_keep_their_grid_to_the_bit(
    data_folder: Path, make: Any, tmp_path: Path, name: str, spacing: tuple[float, float, float]
) -> None:
    image = min((data_folder / name).glob("[!.]*.nii.gz"))
    model = make.model(make.plans(patch=(8, 32, 32), spacing=spacing))
    (case,) = find_cases([image], 1)

    predict_cases(Predictor(model, Computation(device="cpu")), asked([case], [tmp_path / "out.nii.gz"]))

    given, written = sitk.ReadImage(image), sitk.ReadImage(tmp_path / "out.nii.gz")
    assert written.GetSize() == given.GetSize()
    assert written.GetSpacing() == given.GetSpacing()
    assert written.GetOrigin() == given.GetOrigin()
    assert written.GetDirection() == given.GetDirection()


def test_a_segmentation_says_twice_where_it_lies_as_its_image_does(
    task: Path, predictor: Predictor, tmp_path: Path, coregistered: Any
) -> None:
    """Through the probabilities, an ensemble of them and rules, too."""
    (case, *_) = find_cases([task / "imagesTr"], 1)
    image = read_image(case.image_paths[0])
    forms = coregistered(image.geometry).forms
    write_image(case.image_paths[0], image.data, replace(image.geometry, forms=forms))

    predict_cases(predictor, asked([case], [tmp_path / "one" / "a.nii.gz"], save_npz=True))
    ensemble_folders([tmp_path / "one", tmp_path / "one"], tmp_path / "both", workers=1)
    apply_postprocessing(tmp_path / "both", tmp_path / "ruled", [Rule(kind="keep_largest", labels=(1,))], workers=1)

    for folder in ("one", "both", "ruled"):
        written = read_image(tmp_path / folder / "a.nii.gz").geometry.forms
        assert (written.qform_code, written.sform_code) == (1, 2)
        assert written.as_numbers() == pytest.approx(forms.as_numbers(), rel=1e-6)


def test_what_nobody_knows_the_origin_of_is_kept_and_said_unless_it_is_to_be_overwritten(
    task: Path, predictor: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cases = find_cases([task / "imagesTr"], 1)
    kept, empty, _ = outputs(cases, tmp_path)
    kept.write_bytes(b"something whole")
    empty.write_bytes(b"")

    predict_cases(predictor, asked(cases, outputs(cases, tmp_path)))
    assert kept.read_bytes() == b"something whole"
    assert read(empty).max() == 1
    assert caplog.messages == [
        f"{tmp_path}: case_000.nii.gz: there already and kept, though nothing says what made it "
        "(`overwrite` predicts it)"
    ]

    predict_cases(predictor, asked(cases, outputs(cases, tmp_path), overwrite=True))
    assert read(kept).max() == 1


def test_only_what_was_made_from_other_images_is_predicted_again(
    task: Path, predictor: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cases = find_cases([task / "imagesTr"], 1)
    predict_cases(predictor, asked(cases, outputs(cases, tmp_path)))
    before = written(tmp_path)
    image = read_image(cases[1].image_paths[0])
    write_image(cases[1].image_paths[0], np.flip(image.data), image.geometry)

    predict_cases(predictor, asked(cases, outputs(cases, tmp_path)))

    assert remade(tmp_path, before) == ["case_001.nii.gz"]
    np.testing.assert_array_equal(
        read(tmp_path / "case_001.nii.gz"), np.flip(read(task / "labelsTr" / "case_001.nii.gz"))
    )
    assert caplog.messages == [
        "2 of 3 cases: predicted already, and kept (`overwrite` predicts them again)",
        "1 case: there already, but not with all that is asked for, or what it was made from has changed; predicted again",
    ]


def test_what_another_model_predicted_is_refused_until_it_is_discarded(
    task: Path, predictor: Predictor, tmp_path: Path
) -> None:
    cases = find_cases([task / "imagesTr"], 1)
    predict_cases(predictor, asked(cases[:1], outputs(cases[:1], tmp_path), folder=tmp_path))
    other = Predictor(predictor.model, Computation(device="cpu", precision="fp32", step_size=0.7))

    with pytest.raises(
        ModelError, match=r"case_000.nii.gz: predicted with other weights or settings; name another out"
    ):
        predict_cases(other, asked(cases, outputs(cases, tmp_path)))
    assert not (tmp_path / "case_001.nii.gz").exists()

    cases[2].image_paths[0].write_bytes(b"no image")
    with pytest.raises(CasesFailed):
        predict_cases(other, asked(cases, outputs(cases, tmp_path), overwrite=True))
    predict_cases(other, asked(cases[:2], outputs(cases[:2], tmp_path)))
    assert {read_origin(path).model for path in outputs(cases[:2], tmp_path)} == {model_hash(other, ())}


def test_a_folder_of_other_weights_under_the_same_names_is_refused(task: Path, make: Any, tmp_path: Path) -> None:
    cases = find_cases([task / "imagesTr"], 1)[:1]
    plans = make.plans(spacing=(2.0, 1.0, 1.0))
    networks = [
        make.constant(torch.zeros(2, *plans.configuration("3d_fullres").sampling.patch_size) + n) for n in (0, 1)
    ]
    one, other = (Predictor(make.model(plans, network), Computation(device="cpu")) for network in networks)
    predict_cases(one, asked(cases, outputs(cases, tmp_path), folder=tmp_path))

    with pytest.raises(
        ModelError, match=r"holds predictions made with something else \(other weights under the same name\)"
    ):
        predict_cases(other, asked(cases, outputs(cases, tmp_path), folder=tmp_path))


def test_probabilities_of_what_was_replaced_do_not_stay(task: Path, predictor: Predictor, tmp_path: Path) -> None:
    cases = find_cases([task / "imagesTr"], 1)[:1]
    predict_cases(predictor, asked(cases, outputs(cases, tmp_path), save_npz=True))
    predict_cases(predictor, asked(cases, outputs(cases, tmp_path)))
    assert (tmp_path / "case_000.npz").is_file(), "they are still those of the segmentation"

    image = read_image(cases[0].image_paths[0])
    write_image(cases[0].image_paths[0], np.flip(image.data), image.geometry)
    predict_cases(predictor, asked(cases, outputs(cases, tmp_path)))
    assert names(tmp_path) == ["case_000.nii.gz"]


def test_of_a_validation_counts_what_the_weights_that_are_there_predicted(
    task: Path, predictor: Predictor, tmp_path: Path
) -> None:
    weights = tmp_path / "weights_final.pt"
    values = dict(predictor.model.networks[0].state_dict())
    file = WeightsFile(trainer="Trainer", custom_network=False, mirror_axes=(), epoch=1, weights=values)
    save_weights(weights, file)
    cases = find_cases([task / "imagesTr"], 1)
    paths = outputs(cases, tmp_path)
    predict_cases(predictor, asked(cases, paths))
    assert predicted_with(paths, weights) == paths, "nothing is known"

    save_record(tmp_path / "prediction.json", predictor, ())
    image = read_image(paths[2])
    write_image(paths[2], image.data, image.geometry)
    assert predicted_with(paths, weights) == paths[:2]
    assert predicted_with(paths, tmp_path / "absent.pt") == paths

    save_weights(weights, replace(file, weights={name: value + 1 for name, value in values.items()}))
    assert predicted_with(paths, weights) == ()
    assert predicted_with([], weights) == []


def test_probabilities_are_written_beside_and_are_part_of_being_done(
    task: Path, predictor: Predictor, tmp_path: Path
) -> None:
    cases = find_cases([task / "imagesTr"], 1)[:1]
    (output,) = outputs(cases, tmp_path)
    predict_cases(predictor, asked(cases, [output]))
    assert not probabilities_file(output).exists()

    predict_cases(predictor, asked(cases, [output], save_npz=True))

    assert probabilities_file(output) == tmp_path / "case_000.npz"
    np.testing.assert_array_equal(load_probabilities(tmp_path / "case_000.npz").argmax(axis=0), read(output))


def test_failing_cases_are_named_and_the_others_finished(task: Path, predictor: Predictor, tmp_path: Path) -> None:
    cases = list(find_cases([task / "imagesTr"], 1))
    cases[0].image_paths[0].write_bytes(b"no image")
    blocked = tmp_path / "file"
    blocked.write_text("")
    extra = Case(identifier="double", images=cases[1].images * 2)

    with pytest.raises(CasesFailed) as error:
        predict_cases(
            predictor,
            asked(
                [*cases, extra],
                [*outputs(cases[:2], tmp_path), blocked / "case_002.nii.gz", tmp_path / "double.nii.gz"],
            ),
        )

    assert [case for case, _ in error.value.failures] == ["case_000", "case_002", "double"]
    text = str(error.value)
    assert "predicting: 3 of 4 cases failed; the others are finished" in text
    assert "case_000_0000.nii.gz" in text
    assert str(blocked) in text
    assert "  double: expected 1 channel (MRI), found 2" in text
    assert read(tmp_path / "case_001.nii.gz").max() == 1
    assert not (tmp_path / "double.nii.gz").exists()


def test_a_bug_in_one_case_is_named_by_its_type(predictor: Predictor, tmp_path: Path) -> None:
    def fails() -> Any:
        raise ZeroDivisionError("of ours")

    jobs = [Job(identifier="a", prepare=fails, output=tmp_path / "a.nii.gz")]

    with pytest.raises(CasesFailed, match="a: ZeroDivisionError: of ours"):
        predict_jobs(predictor, jobs)


def test_the_models_rules_are_applied_unless_disabled(task: Path, predictor: Predictor, tmp_path: Path) -> None:
    (case,) = find_cases([task / "imagesTr"], 1)[:1]
    image = sitk.ReadImage(case.image_paths[0])
    image[0, 0, 0] = 100.0  # an island, far from the ball
    sitk.WriteImage(image, case.image_paths[0])
    model = replace(predictor.model, rules=(Rule(kind="keep_largest", labels=(1,)),))
    ruled = Predictor(model, Computation(device="cpu", precision="fp32"))

    predict_cases(ruled, asked([case], [tmp_path / "ruled.nii.gz"]))
    predict_cases(ruled, asked([case], [tmp_path / "raw.nii.gz"], postprocess=False))

    label = read(task / "labelsTr" / "case_000.nii.gz")
    np.testing.assert_array_equal(read(tmp_path / "ruled.nii.gz"), label)
    label[0, 0, 0] = 1
    np.testing.assert_array_equal(read(tmp_path / "raw.nii.gz"), label)


def test_only_a_few_prepared_cases_wait_in_memory(task: Path, predictor: Predictor, tmp_path: Path) -> None:
    (case,) = find_cases([task / "imagesTr"], 1)[:1]
    raw, lock, alive, most = read_case(case), threading.Lock(), [0], [0]

    def prepare() -> Any:
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        return predictor.prepare(raw)

    class Slow(Predictor):
        def predict_prepared(self, prepared: Any, **settings: Any) -> Any:
            time.sleep(0.02)
            with lock:
                alive[0] -= 1
            return super().predict_prepared(prepared, **settings)

    jobs = [Job(identifier=f"{n}", prepare=prepare, output=tmp_path / f"{n}.nii.gz") for n in range(8)]
    predict_jobs(Slow(predictor.model, Computation(device="cpu")), jobs, Filing(preprocessing_threads=2))

    assert most[0] <= 3
    assert len(list(tmp_path.iterdir())) == 8


def test_the_record_says_with_what_was_predicted(predictor: Predictor, tmp_path: Path) -> None:
    save_record(tmp_path / "prediction.json", predictor, [Rule(kind="keep_largest", labels=(1,))])

    assert json.loads((tmp_path / "prediction.json").read_text()) == {
        "format": 1,
        "version": autoseg.__version__,
        "dataset": "Task001_Balls",
        "plans": "autoseg",
        "configuration": "3d_fullres",
        "trainer": "Trainer",
        "folds": ["0"],
        "checkpoint": "final",
        "plan": plan_signature(predictor.model.plans, "3d_fullres"),
        "weights": [weights_sha256(predictor.model.networks[0].state_dict())],
        "step_size": 0.5,
        "mirror_axes": [],
        "mode": "normal",
        "device": "cpu",
        "precision": "fp32",
        "postprocessing": [{"kind": "keep_largest", "labels": [1], "minimum_mm3": None}],
    }


def test_predicting_writes_the_record_where_it_is_wanted(task: Path, predictor: Predictor, tmp_path: Path) -> None:
    cases = find_cases([task / "imagesTr"], 1)[:1]

    predict_cases(predictor, asked(cases, outputs(cases, tmp_path), folder=tmp_path))

    assert json.loads((tmp_path / "prediction.json").read_text())["folds"] == ["0"]


def test_one_case_may_be_given_as_its_files(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("liver_0000.nii.gz", "liver_0001.nii.gz")]
    for path in [*files, tmp_path / "scan.nii"]:
        path.write_bytes(b"x")

    assert find_cases(files, 2) == [Case(identifier="liver", images=whole_files(files))]
    assert find_cases([tmp_path / "scan.nii"], 1) == [
        Case(identifier="scan", images=whole_files([tmp_path / "scan.nii"]))
    ]
    with pytest.raises(DatasetError, match="1 file given, but the model takes 2 channels; give one file for each"):
        find_cases(files[:1], 2)
    with pytest.raises(DatasetError, match="absent: no such file or folder"):
        find_cases([tmp_path / "absent"], 1)


def test_a_folder_without_images_or_with_missing_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no images here; name them <case>_0000\.nii\.gz"):
        find_cases([tmp_path], 1)
    (tmp_path / "a_0000.nii.gz").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"a: expected channels \[0, 1\], found \[0\]"):
        find_cases([tmp_path], 2)


def test_files_that_are_no_images_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a_0000.nii.gz", "notes.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"x")

    with caplog.at_level(logging.WARNING):
        find_cases([tmp_path], 1)

    assert caplog.messages == [f"{tmp_path}: not images, left alone: notes.txt"]


def test_parts_share_the_cases_without_overlap() -> None:
    cases = [Case(identifier=str(number), images=()) for number in range(7)]

    assert [case.identifier for case in select_part(cases, 1, 3)] == ["1", "4"]
    assert sorted(case.identifier for part in range(3) for case in select_part(cases, part, 3)) == list("0123456")
    with pytest.raises(DatasetError, match="part 3 of 3: parts are numbered from 0 to 2; check `part`"):
        select_part(cases, 3, 3)
