"""Conversion of Decathlon tasks: what comes out, what is refused, and what an interruption leaves."""

from __future__ import annotations

import gzip
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.conversion.building import built_beside
from autoseg.conversion.decathlon import convert_decathlon_task, write_decathlon_task
from autoseg.dataset import read_dataset
from autoseg.errors import DatasetError, StorageError, WorkspaceError
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.planning.verification import verify_dataset

OBLIQUE = Geometry(spacing=(3.5, 0.5, 0.75), origin=(1, 2, 3), direction=(1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))
MODALITIES = {"0": "FLAIR", "1": "T1w"}
EXTRA = {"name": "Brain", "licence": "CC-BY-SA 4.0", "tensorImageSize": "4D"}

FEW = "dataset.json: 3 cases are too few for 5 folds; train fold `all`, or write splits_final.json yourself"


def verified(folder: Path) -> list[str]:
    return [str(finding) for finding in verify_dataset(folder, workers=1).findings]


def write_volumes(path: Path, volumes: np.ndarray) -> None:
    """`(T, Z, Y, X)` as a 4D file: a 3D header with its dimensions changed."""
    plain = path.with_name("plain.nii")
    write_image(plain, volumes[0], OBLIQUE)
    content = bytearray(plain.read_bytes()[:352])
    struct.pack_into("<5h", content, 40, 4, *volumes.shape[::-1])
    struct.pack_into("<f", content, 92, 1)
    path.write_bytes(gzip.compress(bytes(content) + volumes.astype("<f4").tobytes(), 1))
    plain.unlink()


@pytest.fixture
def source(tmp_path) -> Path:
    """Three 4D training cases of two channels and a test case."""
    folder = tmp_path / "Task01_Brain"
    generator = np.random.default_rng(0)
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / part).mkdir(parents=True)
    for number in range(4):
        volumes = generator.normal(100, 10, (2, 3, 4, 5)).astype(np.float32)
        write_volumes(folder / ("imagesTr" if number < 3 else "imagesTs") / f"brain_{number}.nii.gz", volumes)
        if number < 3:
            write_image(folder / "labelsTr" / f"brain_{number}.nii.gz", (volumes[0] > 100).astype(np.uint8), OBLIQUE)
    describe(
        folder,
        **EXTRA,
        modality=MODALITIES,
        labels={"0": "background", "1": "tumour"},
        numTraining=3,
        numTest=1,
        training=[{"image": f"./imagesTr/brain_{n}.nii.gz", "label": f"./labelsTr/brain_{n}.nii.gz"} for n in range(3)],
        test=["./imagesTs/brain_3.nii.gz"],
    )
    return folder


def describe(folder: Path, **changes: Any) -> None:
    path = folder / "dataset.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **changes}))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# -------------------------------------------------------------- what comes out


@pytest.mark.parametrize("workers", [1, 2])
def test_volumes_become_channels_on_the_same_grid(source, tmp_path, workers):
    before = contents(source)

    folder = convert_decathlon_task(source, tmp_path / "raw_data", workers=workers)

    assert folder == tmp_path / "raw_data" / "Task001_Brain"
    stored = np.frombuffer(gzip.decompress((source / "imagesTr" / "brain_1.nii.gz").read_bytes())[352:], "<f4")
    for channel, voxels in enumerate(stored.reshape(2, 3, 4, 5)):
        image = read_image(folder / "imagesTr" / f"brain_1_000{channel}.nii.gz")
        np.testing.assert_array_equal(image.data, voxels)
        assert image.geometry.differences(OBLIQUE) == ()
        assert image.geometry == read_image(folder / "labelsTr" / "brain_1.nii.gz").geometry
    assert contents(source) == before
    assert [path.name for path in (tmp_path / "raw_data").iterdir()] == ["Task001_Brain"]


def test_the_result_is_a_sound_task_of_ours(source, tmp_path):
    folder = convert_decathlon_task(source, tmp_path)

    dataset = read_dataset(folder)

    assert dataset.channels == ("FLAIR", "T1w")
    assert [case.identifier for case in (*dataset.training, *dataset.test)] == [
        "brain_0",
        "brain_1",
        "brain_2",
        "brain_3",
    ]
    assert verified(folder) == [FEW]
    assert json.loads((folder / "dataset.json").read_text()) == json.loads((source / "dataset.json").read_text())


def test_three_dimensional_images_and_labels_keep_every_byte(source, tmp_path):
    for number in range(4):
        path = source / ("imagesTr" if number < 3 else "imagesTs") / f"brain_{number}.nii.gz"
        write_image(path, np.random.default_rng(number).normal(0, 1, (3, 4, 5)), OBLIQUE)
    describe(source, modality={"0": "FLAIR"})

    folder = convert_decathlon_task(source, tmp_path)

    expected = {name.replace(".nii", "_0000.nii") if name.startswith("images") else name for name in contents(source)}
    assert contents(folder).keys() == expected
    for name, content in contents(source).items():
        assert (
            folder / (name.replace(".nii", "_0000.nii") if name.startswith("images") else name)
        ).read_bytes() == content


def test_hidden_files_and_notes_are_left_out_and_stay(source, tmp_path):
    for name in ("._brain_0.nii.gz", ".DS_Store", "notes.txt"):
        (source / "imagesTr" / name).write_text("")

    folder = convert_decathlon_task(source, tmp_path)

    assert verified(folder) == [FEW]
    assert (source / "imagesTr" / "._brain_0.nii.gz").exists()


def test_files_that_nobody_lists_are_converted_for_verification_to_tell(source, tmp_path):
    (source / "labelsTr" / "odd.nii.gz").write_bytes((source / "labelsTr" / "brain_0.nii.gz").read_bytes())

    folder = convert_decathlon_task(source, tmp_path)

    (finding,) = verify_dataset(folder, workers=1).errors
    assert str(finding).startswith("labelsTr/odd.nii.gz: belongs to no case in dataset.json")


def test_a_task_without_its_test_images_loses_its_test_cases(source, tmp_path, caplog):
    (source / "imagesTs" / "brain_3.nii.gz").unlink()
    (source / "imagesTs").rmdir()

    folder = convert_decathlon_task(source, tmp_path)

    description = json.loads((folder / "dataset.json").read_text())
    assert (description["test"], description["numTest"], description["licence"]) == ([], 0, "CC-BY-SA 4.0")
    assert verified(folder) == [FEW]
    assert f"{source}: has no imagesTs; its test cases are taken off the list" in caplog.text


@pytest.mark.parametrize(("number", "name"), [(None, "Task001_Brain"), (0, "Task000_Brain"), (523, "Task523_Brain")])
def test_the_number_has_three_digits(source, tmp_path, number, name):
    assert convert_decathlon_task(source, tmp_path, number).name == name


def test_a_link_counts_by_its_name_and_a_dot_by_its_folder(source, tmp_path, monkeypatch):
    (tmp_path / "Task77_Linked").symlink_to(source)
    monkeypatch.chdir(source)

    assert convert_decathlon_task(tmp_path / "Task77_Linked", tmp_path).name == "Task077_Linked"
    assert convert_decathlon_task(Path(), tmp_path).name == "Task001_Brain"


# ------------------------------------------------------------- what is refused


def test_an_existing_task_of_the_number_is_never_touched(source, tmp_path):
    for name in ("Task001_Brain", "Task001_Other"):
        (tmp_path / "raw_data" / name).mkdir(parents=True)
        (tmp_path / "raw_data" / name / "mine").write_text("work of months")

        with pytest.raises(WorkspaceError) as caught:
            convert_decathlon_task(source, tmp_path / "raw_data")

        assert str(caught.value) == (
            f"{tmp_path / 'raw_data' / name}: this task exists already, and nothing is overwritten; "
            "move it away or delete it, or give the new one another number with `number`"
        )
        assert contents(tmp_path / "raw_data") == {f"{name}/mine": b"work of months"}
        (tmp_path / "raw_data" / name / "mine").unlink()
        (tmp_path / "raw_data" / name).rmdir()


def test_a_folder_of_another_name_is_refused(source, tmp_path):
    with pytest.raises(DatasetError, match="a Decathlon task's folder is called TaskXX_Name, for example Task04_Hippo"):
        convert_decathlon_task(source / "imagesTr", tmp_path)


def test_a_folder_without_description_is_refused(tmp_path):
    (tmp_path / "Task02_Heart").mkdir()

    with pytest.raises(DatasetError, match=r"Task02_Heart/dataset\.json: not found"):
        convert_decathlon_task(tmp_path / "Task02_Heart", tmp_path)


def test_a_task_of_our_own_layout_needs_no_conversion(source, tmp_path):
    folder = convert_decathlon_task(source, tmp_path / "raw_data")

    with pytest.raises(DatasetError) as caught:
        convert_decathlon_task(folder, tmp_path / "elsewhere")

    assert str(caught.value) == (
        f"{folder}: its images carry channel numbers already, so it needs no conversion; "
        "copy the folder into raw_data as TaskXXX_Name, with three digits"
    )


def test_listed_files_that_are_missing_are_all_named(source, tmp_path):
    for name in ("imagesTr/brain_0.nii.gz", "labelsTr/brain_2.nii.gz", "imagesTs/brain_3.nii.gz"):
        (source / name).unlink()

    with pytest.raises(DatasetError) as caught:
        convert_decathlon_task(source, tmp_path / "raw_data")

    assert str(caught.value) == (
        f"{source}: 3 of the files that dataset.json lists are missing\n"
        "  imagesTr/brain_0.nii.gz\n  labelsTr/brain_2.nii.gz\n  imagesTs/brain_3.nii.gz\n"
        "Extract the archive again, or take these cases off the list."
    )
    assert not (tmp_path / "raw_data").exists()


def test_images_that_cannot_be_converted_are_named_and_nothing_is_left(source, tmp_path):
    whole = (source / "imagesTr" / "brain_0.nii.gz").read_bytes()
    (source / "imagesTr" / "brain_0.nii.gz").write_bytes(whole[:-50])
    write_image(source / "imagesTs" / "brain_3.nii.gz", np.zeros((2, 2, 2)), OBLIQUE)

    with pytest.raises(DatasetError) as caught:
        convert_decathlon_task(source, tmp_path / "raw_data")

    first, second, third, last = str(caught.value).splitlines()
    assert first == f"{source}: 2 of 7 files cannot be converted"
    assert last == "Nothing was written; put these right, or take them away, and convert again."
    assert second.startswith("  imagesTr/brain_0.nii.gz: ")
    assert "is truncated or damaged" in second
    assert third == (
        "  imagesTs/brain_3.nii.gz: holds 1 volume, but dataset.json names 2 under modality; "
        "correct dataset.json, or export the image with all its channels"
    )
    assert list((tmp_path / "raw_data").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_place_that_cannot_be_written_is_named(source, tmp_path):
    (tmp_path / "raw_data").mkdir(mode=0o500)

    with pytest.raises(StorageError, match="Task001_Brain: cannot be written: Permission denied; check space and perm"):
        convert_decathlon_task(source, tmp_path / "raw_data")


def test_a_file_where_the_raw_data_should_lie_is_named(source, tmp_path):
    (tmp_path / "raw_data").write_text("")

    with pytest.raises(
        StorageError,
        match="Task001_Brain: cannot be written: File exists; move away what has this name, or name another",
    ):
        convert_decathlon_task(source, tmp_path / "raw_data")


# ---------------------------------------------------------------- interruption


def half_written(raw_data: Path, process: int) -> Path:
    folder = raw_data / f".converting-{socket.gethostname()}-{process}-Task001_Brain"
    folder.mkdir(parents=True)
    (folder / "half").write_text("")
    return folder


def test_what_a_dead_run_left_is_replaced(source, tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    half_written(tmp_path / "raw_data", dead.pid)

    convert_decathlon_task(source, tmp_path / "raw_data")

    assert [path.name for path in (tmp_path / "raw_data").iterdir()] == ["Task001_Brain"]


def test_a_run_still_alive_is_left_alone(source, tmp_path):
    alive = half_written(tmp_path / "raw_data", os.getppid())

    with pytest.raises(
        WorkspaceError, match=f"process {os.getppid()} is converting into it right now; wait for it, or"
    ):
        convert_decathlon_task(source, tmp_path / "raw_data")

    assert (alive / "half").exists()


def test_two_conversions_to_one_number_never_both_arrive(source, tmp_path):
    """One that works on another task of the number is named; one that came meanwhile is left as it is."""
    raw_data = tmp_path / "raw_data"
    rival = raw_data / f".converting-{socket.gethostname()}-{os.getppid()}-0123abcd-Task007_Other"
    rival.mkdir(parents=True)
    with pytest.raises(WorkspaceError) as error:
        write_decathlon_task(source, raw_data / "Task007_Brain")
    assert str(error.value) == (
        f"{raw_data}/Task007_Other: process {os.getppid()} is converting into it right now; wait for it, or end it first"
    )
    rival.rmdir()

    with (
        pytest.raises(WorkspaceError, match="Task007_Other: this task exists already, and nothing is overwritten"),
        built_beside(raw_data / "Task007_Brain") as temporary,
    ):
        (temporary / "imagesTr").mkdir()
        (raw_data / "Task007_Other").mkdir()
    assert [path.name for path in raw_data.iterdir()] == ["Task007_Other"]


def test_other_numbers_are_converted_beside_each_other(source, tmp_path):
    raw_data = tmp_path / "raw_data"
    (raw_data / f".converting-{socket.gethostname()}-{os.getppid()}-0123abcd-Task0070_Other").mkdir(parents=True)
    write_decathlon_task(source, raw_data / "Task007_Brain")
    assert (raw_data / "Task007_Brain" / "dataset.json").is_file()


def test_images_of_formats_that_hold_one_volume_are_converted(source, tmp_path):
    generator = np.random.default_rng(0)
    for number, ending in enumerate((".nrrd", ".mha")):
        voxels = generator.normal(size=(3, 4, 5)).astype(np.float32)
        sitk.WriteImage(sitk.GetImageFromArray(voxels), source / "imagesTr" / f"one_{number}{ending}")
        sitk.WriteImage(
            sitk.GetImageFromArray((voxels > 0).astype(np.uint8)), source / "labelsTr" / f"one_{number}{ending}"
        )
    describe(
        source,
        modality={"0": "MRI"},
        training=[
            {"image": f"./imagesTr/one_{n}{ending}", "label": f"./labelsTr/one_{n}{ending}"}
            for n, ending in enumerate((".nrrd", ".mha"))
        ],
        test=[],
    )
    for path in [*source.glob("*/brain_*")]:
        path.unlink()

    folder = convert_decathlon_task(source, tmp_path / "raw_data")

    assert sorted(path.name for path in (folder / "imagesTr").iterdir()) == ["one_0_0000.nrrd", "one_1_0000.mha"]
    assert verify_dataset(folder, workers=1).errors == ()


def test_after_a_kill_there_is_nothing_or_the_whole(data_folder, tmp_path):
    source = data_folder / "Task04_Hippocampus"
    code = (
        "import sys; from pathlib import Path; from autoseg.conversion.decathlon import convert_decathlon_task\n"
        "convert_decathlon_task(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    target = tmp_path / "Task004_Hippocampus"
    with subprocess.Popen([sys.executable, "-c", code, str(source), str(tmp_path)]) as process:
        while process.poll() is None and not list(tmp_path.glob(".converting-*/imagesTr/*_0000.nii.gz")):
            time.sleep(0.001)
        process.kill()

    if not target.exists():
        convert_decathlon_task(source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["Task004_Hippocampus"]
    assert len(contents(target)) == 200 + 200 + 20 + 1


# ------------------------------------------------------------------- real data


def test_the_real_hippocampus_task_is_converted_without_an_error(data_folder, tmp_path):
    folder = convert_decathlon_task(data_folder / "Task04_Hippocampus", tmp_path, workers=2)

    report = verify_dataset(folder, workers=2)

    assert folder.name == "Task004_Hippocampus"
    assert str(report) == "Task004_Hippocampus: 200 training cases, 20 test cases: nothing wrong"
