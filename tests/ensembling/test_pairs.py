"""Ensembles of cross-validations: made where both members predicted, and made anew only where something changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Exclusive
from autoseg.ensembling.pairs import case_probabilities, ensemble_validation, hash_probabilities
from autoseg.errors import CasesFailed, StorageError
from autoseg.geometry import Geometry
from autoseg.images import Told, read_image, write_image
from autoseg.inference.probabilities import Packer, save_probabilities
from autoseg.postprocessing.scoring import ValidationCase
from autoseg.training.trial import untouched

SHAPE = (2, 3, 3)
GEOMETRY = Geometry(spacing=(1.0, 1.0, 1.0))


def write_probabilities(path: Path, foreground: np.ndarray) -> None:
    properties = untouched("case", SHAPE, GEOMETRY)
    packer = Packer(properties, Exclusive.numbered(2))
    for plane in foreground.astype(np.float32):
        packer.add_array(np.stack([1 - plane, plane]))
    save_probabilities(path, packer.finish())


def member(folder: Path, folds: dict[str, list[str]], value: float) -> list[ValidationCase]:
    cases = []
    for fold, names in folds.items():
        for name in names:
            prediction = folder / f"fold_{fold}" / "validation_raw" / f"{name}.nii.gz"
            foreground = np.zeros(SHAPE)
            foreground[0, 0] = value
            foreground[1, 1, 1] = 0.7
            write_probabilities(prediction.with_name(f"{name}.npz"), foreground)
            cases.append(
                ValidationCase(
                    identifier=name,
                    fold=fold,
                    patient=name,
                    predictions=(prediction,),
                    references=((folder / "none",),),
                )
            )
    return cases


def ensemble(members: list[list[ValidationCase]], folder: Path) -> tuple[ValidationCase, ...]:
    hashes = {path: digest for cases in members for path, digest in hash_probabilities(cases, workers=1).items()}
    return ensemble_validation(members, folder, hashes, Exclusive.numbered(2), workers=1)


def written_times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.nii.gz")}


def test_cases_that_both_predicted_in_the_same_fold_are_averaged(tmp_path: Path) -> None:
    one = member(tmp_path / "one", {"0": ["a", "b"], "3": ["c"]}, 0.9)
    other = member(tmp_path / "other", {"0": ["b"], "2": ["a"], "3": ["c", "d"]}, 0.2)

    cases = ensemble([one, other], tmp_path / "pair")

    assert [(case.fold, case.identifier) for case in cases] == [("0", "b"), ("3", "c")]
    assert cases[0].predictions[0] == tmp_path / "pair" / "fold_0" / "b.nii.gz"
    assert (cases[0].references, cases[0].patient) == (one[1].references, "b")
    expected = np.zeros(SHAPE)
    expected[0, 0] = expected[1, 1, 1] = 1
    np.testing.assert_array_equal(read_image(cases[1].predictions[0]).data, expected)


def test_only_what_changed_is_made_anew(tmp_path: Path) -> None:
    members = [member(tmp_path / name, {"0": ["a", "b"], "1": ["c", "d"]}, 0.9) for name in ("one", "other")]
    cases = ensemble(members, tmp_path / "pair")
    before = written_times(tmp_path / "pair")

    again = ensemble(members, tmp_path / "pair")
    assert (again, written_times(tmp_path / "pair")) == (cases, before)

    write_probabilities(case_probabilities(members[1][1]), np.zeros(SHAPE))  # b was predicted anew
    cases[2].predictions[0].write_bytes(cases[0].predictions[0].read_bytes()[:-1])  # c's labels were changed
    cases[3].predictions[0].unlink()
    expected_c = np.zeros(SHAPE)
    expected_c[0, 0] = expected_c[1, 1, 1] = 1
    ensemble(members, tmp_path / "pair")

    after = written_times(tmp_path / "pair")
    assert {name for name in before if after[name] != before[name]} == {"b.nii.gz", "c.nii.gz", "d.nii.gz"}
    assert read_image(cases[1].predictions[0]).data.sum() == 0  # (0.9 + 0) / 2 and (0.7 + 0) / 2 are below a half
    np.testing.assert_array_equal(read_image(cases[2].predictions[0]).data, expected_c)


@pytest.mark.parametrize("description", ["", "by hand", f"autoseg {'0' * 32} {'0' * 32}"])
def test_labels_that_do_not_say_to_be_made_from_the_same_are_not_trusted(tmp_path: Path, description: str) -> None:
    members = [member(tmp_path / name, {"0": ["a"]}, 0.9) for name in ("one", "other")]
    (case,) = ensemble(members, tmp_path / "pair")
    image = read_image(case.predictions[0])
    write_image(case.predictions[0], image.data, image.geometry, Told(description=description))
    before = written_times(tmp_path / "pair")

    ensemble(members, tmp_path / "pair")

    assert written_times(tmp_path / "pair") != before


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    members = [member(tmp_path / name, {"0": ["a", "b"]}, 0.9) for name in ("one", "other")]
    path = case_probabilities(members[0][0])
    path.write_bytes(b"no archive")

    with pytest.raises(CasesFailed, match=r"a: .*one/fold_0/validation_raw/a\.npz: damaged"):
        ensemble(members, tmp_path / "pair")
    assert (tmp_path / "pair" / "fold_0" / "b.nii.gz").is_file()

    path.unlink()
    with pytest.raises((CasesFailed, StorageError), match=r"a\.npz: cannot be read"):
        hash_probabilities(members[0], workers=1)
