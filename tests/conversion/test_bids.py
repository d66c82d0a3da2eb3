from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.conversion.bids import label_names
from autoseg.conversion.bids_files import is_bids, read_tree
from autoseg.conversion.layouts import convert_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.dataset import Dataset, Exclusive, read_dataset
from autoseg.dataset.raw_cases import read_case
from autoseg.errors import AutosegError
from autoseg.geometry import Geometry
from autoseg.images import read_label, write_image

SHAPE = (3, 4, 5)
GRID = Geometry(spacing=(2.0, 1.0, 1.0))
LEFT, RIGHT = ("_seg-left", "_seg-right")


def box(x: slice, value: int = 1) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[1, 1:3, x] = value
    return label


def image(folder: Path, stem: str, spacing: float = 1.0) -> None:
    subject = stem.partition("_")[0]
    data = np.random.default_rng(len(stem)).normal(size=SHAPE).astype(np.float32)
    write_image(folder / subject / "anat" / f"{stem}.nii.gz", data, Geometry(spacing=(2.0, 1.0, spacing)))


def label(folder: Path, stem: str, data: np.ndarray, derivative: str = "labels") -> Path:
    path = folder / "derivatives" / derivative / stem.partition("_")[0] / "anat" / f"{stem}.nii.gz"
    write_image(path, data, GRID)
    return path


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """Three subjects of T1w, of which two are labelled and one has T2w too, on the same grid."""
    folder = tmp_path / "study"
    for number in (1, 2, 3):
        image(folder, f"sub-{number:02d}_T1w")
    image(folder, "sub-01_T2w")
    for stem in ("sub-01_T1w", "sub-02_T1w", "sub-01_T2w"):
        label(folder, stem + LEFT, box(slice(0, 2)))
        label(folder, stem + RIGHT, box(slice(3, 5), 255))
    (folder / "participants.tsv").write_text("participant_id\tsex\tage\nsub-01\tF\t30\nsub-02\tM\t-\nsub-03\tM\t50\n")
    (folder / "T1w.json").write_text(json.dumps({"Manufacturer": "GE", "EchoTime": 0.1, "List": [1]}))
    (folder / "sub-01/anat/sub-01_T1w.json").write_text(json.dumps({"EchoTime": 0.2}))
    (folder / "dataset_description.json").write_text("{}")
    return folder


def convert(folder: Path, **asked: object) -> Dataset:
    settings = ConversionSettings(number=1, name="Study", **asked)  # type: ignore[arg-type]
    return read_dataset(convert_dataset(folder, folder.parent / "raw_data", settings).folder)


def refusal(folder: Path, **asked: object) -> str:
    with pytest.raises(AutosegError) as refused:
        convert(folder, **asked)
    assert not list((folder.parent / "raw_data").glob("*")) if (folder.parent / "raw_data").is_dir() else True
    return str(refused.value).replace(str(folder), "BIDS")


def test_suffixes_become_labels_of_one_map_and_unlabelled_subjects_test_cases(bids: Path) -> None:
    dataset = convert(bids, contrasts=("T1w",), label_suffixes=(LEFT, RIGHT))

    assert [case.identifier for case in dataset.training] == ["sub-01_T1w", "sub-02_T1w"]
    assert [case.identifier for case in dataset.test] == ["sub-03_T1w"]
    assert (dataset.channels, dataset.target.labels) == (("T1w",), ("background", "left", "right"))
    segmentation = read_case(dataset.training[0], dataset.target).segmentation
    assert segmentation is not None
    np.testing.assert_array_equal(segmentation, box(slice(0, 2)) + box(slice(3, 5), 2))


def test_participants_and_inherited_json_files_become_metadata(bids: Path) -> None:
    dataset = convert(bids, contrasts=("T1w", "T2w"), label_suffixes=(LEFT,))

    facts = {case: dict(dataset.facts.of(case).known) for case in ("sub-01_T1w", "sub-02_T1w", "sub-01_T2w")}
    common = {"patient": "sub-01", "sex": "F", "age": "30"}
    assert facts["sub-01_T1w"] == {**common, "contrast": "T1w", "Manufacturer": "GE", "EchoTime": "0.2"}
    assert facts["sub-01_T2w"] == {**common, "contrast": "T2w"}
    assert facts["sub-02_T1w"] == {
        "patient": "sub-02",
        "contrast": "T1w",
        "sex": "M",
        "Manufacturer": "GE",
        "EchoTime": "0.1",
    }


def test_contrasts_are_channels_of_one_case_where_all_are_there_on_one_grid(bids: Path) -> None:
    image(bids, "sub-02_T2w", spacing=1.5)
    chosen = ConversionSettings(
        number=1, contrasts=("T2w", "T1w"), multichannel=True, label_suffixes=(LEFT, RIGHT), labels=("L", "R")
    )
    conversion = convert_dataset(bids, bids.parent / "raw_data", chosen)
    dataset = read_dataset(conversion.folder)

    assert [case.identifier for case in dataset.training] == ["sub-01"] and dataset.channels == ("T2w", "T1w")
    assert dataset.target.labels == ("background", "L", "R")
    assert conversion.understood.notes[0] == "left out, without T2w: sub-03"
    assert conversion.understood.notes[1].startswith(
        "left out, for its contrasts lie on different grids: sub-02 (sub-02: "
    )


def test_labels_that_overlap_are_masks_or_the_last_one_counts(bids: Path) -> None:
    label(bids, "sub-01_T1w_lesion", box(slice(1, 4)))
    chosen = {"contrasts": ("T1w",), "label_suffixes": (LEFT, "_lesion")}
    dataset = convert(bids, **chosen)
    assert dataset.target.drawn_apart and dataset.target.outputs == ("seg-left", "lesion")
    assert [path.name for path in dataset.training[0].label_paths] == [
        "sub-01_T1w_seg-left.nii.gz",
        "sub-01_T1w_lesion.nii.gz",
    ]
    assert dataset.training[1].annotated == ("seg-left",)  # nobody drew a lesion there

    moved = bids.rename(bids.with_name("again"))
    settings = ConversionSettings(number=2, overlap="last", **chosen)  # type: ignore[arg-type]
    dataset = read_dataset(convert_dataset(moved, bids.parent / "raw_data", settings).folder)
    expected = box(slice(0, 1)) + box(slice(1, 4), 2)
    np.testing.assert_array_equal(read_label(dataset.training[0].label_paths[0]).data, expected)
    assert dataset.training[1].annotated == ("seg-left",)


def test_one_file_of_several_labels_is_taken_by_its_numbers(bids: Path) -> None:
    for stem in ("sub-01", "sub-02"):
        label(bids, f"{stem}_desc-atlas_dseg", box(slice(0, 2)) + box(slice(3, 5), 2), "atlas")
    dataset = convert(bids, contrasts=("T1w",), label_suffixes=("_desc-atlas_dseg",))
    assert dataset.target.labels == ("background", "label_1", "label_2")
    assert len(dataset.training) == 2


def test_the_same_label_in_several_derivatives_is_of_several_raters(bids: Path) -> None:
    label(bids, "sub-01_T1w_seg-left", box(slice(0, 3)), "second")
    dataset = convert(bids, contrasts=("T1w",), label_suffixes=(LEFT,))
    assert [path.name for path in dataset.training[0].label_paths] == [
        "sub-01_T1w_rater1.nii.gz",
        "sub-01_T1w_rater2.nii.gz",
    ]


def test_subjects_are_chosen_by_what_is_known_of_them(bids: Path) -> None:
    dataset = convert(bids, contrasts=("T1w",), label_suffixes=(LEFT,), where="age <= 30 and sex=F")
    assert [case.identifier for case in (*dataset.training, *dataset.test)] == ["sub-01_T1w"]


def test_sessions_runs_and_labels_with_longer_names_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    for stem in ("sub-1_ses-a_run-1_T1w", "sub-1_ses-a_run-2_T1w", "sub-1_ses-b_T1w"):
        image(folder, stem)
        label(folder, f"{stem}_seg", box(slice(0, 2)))
        label(folder, f"{stem}_seg-manual", box(slice(0, 2)))
    (folder / "sub-1/sub-1_sessions.tsv").write_text("session_id\tscanner\nses-b\tnew\n")
    tree = read_tree(folder)
    assert tree.label_suffixes == {"_seg": {"T1w": 3}, "_seg-manual": {"T1w": 3}}
    dataset = convert(folder, label_suffixes=("_seg",))
    assert len(dataset.training) == 3
    assert {case: dataset.facts.of(case).get("scanner") for case in ("sub-1_ses-a_run-1_T1w", "sub-1_ses-b_T1w")} == {
        "sub-1_ses-a_run-1_T1w": None,
        "sub-1_ses-b_T1w": "new",
    }
    assert dataset.facts.of("sub-1_ses-a_run-2_T1w").get("run") == "2"


def test_the_only_choice_needs_no_options_and_others_are_listed(bids: Path) -> None:
    assert "labels of several suffixes are in derivatives" in refusal(bids)
    told = refusal(bids, label_suffixes=(LEFT,))
    assert told.startswith(
        "BIDS: images of several contrasts have such labels; name those that are wanted with `contrasts`"
    )
    assert told.splitlines()[1:] == [
        "  contrasts: T1w (3), T2w (1)",
        "  labels _seg-left: 2 of T1w, 1 of T2w",
        "  labels _seg-right: 2 of T1w, 1 of T2w",
    ]
    for path in bids.rglob("*"):
        if "T2w" in path.name or "right" in path.name:
            path.unlink()
    assert convert(bids).target.labels == ("background", "left")


def test_what_tells_suffixes_apart_is_what_labels_are_called() -> None:
    assert label_names(["_seg-axon-manual", "_seg-myelin-manual"]) == ("axon", "myelin")
    assert label_names(["_lesion-manual"]) == ("lesion",)
    assert label_names(["_seg-manual"]) == ("seg",)
    assert label_names(["_seg"]) == ("seg",)
    assert label_names(["_label-GM_mask", "_label-WM_mask"]) == ("GM", "WM")


def test_a_folder_is_bids_where_subjects_have_images(tmp_path: Path, bids: Path) -> None:
    assert is_bids(bids)
    (bids / "dataset_description.json").unlink()
    (bids / "participants.tsv").unlink()
    assert is_bids(bids)
    assert not is_bids(tmp_path)


def test_outside_of_a_region_nobody_knows_and_images_without_one_are_left_out(bids: Path) -> None:
    label(bids, "sub-01_T1w_roi", box(slice(0, 4)))
    settings = ConversionSettings(number=1, contrasts=("T1w",), label_suffixes=(LEFT, RIGHT), roi_suffix="_roi")
    conversion = convert_dataset(bids, bids.parent / "raw_data", settings)
    dataset = read_dataset(conversion.folder)

    assert [case.identifier for case in (*dataset.training, *dataset.test)] == ["sub-01_T1w"]
    assert conversion.understood.notes == (
        "outside of roi nothing is known: neither trained on nor scored",
        "left out, without _roi: sub-02_T1w, sub-03_T1w",
    )
    assert isinstance(dataset.target, Exclusive) and dataset.target.ignore == 255
    expected = np.where(box(slice(0, 4)) == 1, box(slice(0, 2)) + box(slice(3, 5), 2), 255)
    np.testing.assert_array_equal(read_label(dataset.training[0].label_paths[0]).data, expected)


# --------------------------------------------------- a folder for each case


def test_a_folder_of_masks_in_the_folder_of_each_case(tmp_path: Path) -> None:
    folder = tmp_path / "structures"
    for case in ("s1", "s2"):
        write_image(folder / case / "ct.nii.gz", np.random.default_rng(1).normal(size=SHAPE).astype(np.float32), GRID)
        write_image(folder / case / "segmentations" / "liver.nii.gz", box(slice(0, 2)), GRID)
        write_image(folder / case / "segmentations" / "spleen.nii.gz", box(slice(3, 5)), GRID)
    write_image(folder / "s3" / "ct.nii.gz", np.random.default_rng(1).normal(size=SHAPE).astype(np.float32), GRID)
    (folder / "s3" / "segmentations").mkdir()
    dataset = convert(folder)

    assert (dataset.channels, dataset.target.labels) == (("CT",), ("background", "liver", "spleen"))
    assert [case.identifier for case in dataset.test] == ["s3"]
    segmentation = read_case(dataset.training[1], dataset.target).segmentation
    assert segmentation is not None
    np.testing.assert_array_equal(segmentation, box(slice(0, 2)) + box(slice(3, 5), 2))
