"""What may be written where: inputs by any name, files that say nothing, files of other work, a record that two begin."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import ModelError, WorkspaceError
from autoseg.files.locking import create_json
from autoseg.files.storage import read_json
from autoseg.geometry import Geometry
from autoseg.images import Told, write_image
from autoseg.outputs import (
    AVERAGING,
    POSTPROCESSING,
    PREDICTION,
    Origin,
    copy_beside,
    read_origin,
    require_apart,
    require_known_origin,
    require_one_origin,
    require_own_file,
    require_room_for_copy,
)

ONE, OTHER = "1" * 32, "2" * 32
GRID = Geometry(spacing=(1.0, 1.0, 1.0))
FOLDERS = {"the folder of the images; name one of its own": [Path("images")]}


def write(path: Path, origin: Origin | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.zeros((2, 3, 4), np.uint8), GRID, Told(description="" if origin is None else str(origin)))
    return path


# ---------------------------------------------------------------------------------- what is read


def alone(*outputs: Path) -> dict[Path, list[Path]]:
    return {output: [output] for output in outputs}


@pytest.mark.parametrize(
    "name", ["images", "./images/", "images/../images", "elsewhere/../images", "link", "link/../link", "chain"]
)
def test_what_is_read_is_no_output_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    (tmp_path / "chain").symlink_to(tmp_path / "link")

    with pytest.raises(WorkspaceError, match="is the folder of the images; name one of its own"):
        require_apart([Path(name)], FOLDERS)
    require_apart([Path("images/below"), Path(), Path("beside")], FOLDERS)


def test_a_file_is_known_by_its_other_names(tmp_path: Path) -> None:
    image, hard, soft = (tmp_path / name for name in ("image.nii.gz", "hard.nii.gz", "soft.nii.gz"))
    image.write_bytes(b"voxels")
    os.link(image, hard)
    soft.symlink_to(image)

    for name in (image, hard, soft):
        with pytest.raises(WorkspaceError, match=f"{name}: is one of the images"):
            require_apart([name], {"one of the images": [image]})


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr", "labelsTr/mine/deep", "LabelsTr"])
def test_the_training_data_of_a_task_are_no_output(tmp_path: Path, folder: str) -> None:
    (tmp_path / "Task001_A" / folder).mkdir(parents=True)
    require_apart([tmp_path / "Task001_A" / folder], {})
    (tmp_path / "Task001_A" / "dataset.json").write_text("{}")

    with pytest.raises(WorkspaceError, match="which holds a task's own data; name another output"):
        require_apart([tmp_path / "Task001_A" / folder / "x.nii.gz"], {})
    require_apart([tmp_path / "Task001_A" / "predictions"], {})


def test_references_and_trained_models_are_no_output(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.json").write_text("{}")
    with pytest.raises(WorkspaceError, match="gt_segmentations, which holds a task's own data"):
        require_apart([tmp_path / "gt_segmentations"], {})
    (tmp_path / "Trainer__autoseg" / "fold_0").mkdir(parents=True)
    (tmp_path / "Trainer__autoseg" / "plans.pkl").write_bytes(b"")
    with pytest.raises(WorkspaceError, match="Trainer__autoseg, the folder of a trained model; name another output"):
        require_apart([tmp_path / "Trainer__autoseg" / "fold_0" / "validation_raw"], {})


# --------------------------------------------------------------------------------- what is there


@pytest.mark.parametrize("mark", ["", "mean", "rules"])
def test_the_header_says_what_made_it(tmp_path: Path, mark: str) -> None:
    origin = Origin(model=ONE, inputs=OTHER, mark=mark)
    assert len(str(origin)) < 80
    assert read_origin(write(tmp_path / "a.nii.gz", origin)) == origin


def test_what_says_nothing_is_kept_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drawn, ours = write(tmp_path / "a.nii.gz"), write(tmp_path / "b.nii.gz", Origin(model=ONE, inputs=ONE))

    assert require_known_origin(alone(drawn, ours, tmp_path / "c.nii.gz"), ONE, AVERAGING) == [drawn]
    assert caplog.messages == [
        f"{tmp_path}: a.nii.gz: there already and kept, though nothing says what made it (`overwrite` replaces it)"
    ]


def test_each_work_replaces_its_own_only(tmp_path: Path) -> None:
    files = {
        mark: write(tmp_path / f"x{mark}.nii.gz", Origin(model=ONE, inputs=ONE, mark=mark))
        for mark in ("", "mean", "rules")
    }
    for work in (PREDICTION, AVERAGING, POSTPROCESSING):
        for mark, path in files.items():
            assert require_known_origin(alone(path), ONE, work) == [], "made alike"
            if work.mark and mark == work.mark:
                assert require_known_origin(alone(path), OTHER, work) == []
            else:
                with pytest.raises(ModelError, match=r"x.*\.nii\.gz: .*`overwrite`"):
                    require_known_origin(alone(path), OTHER, work)


def test_another_programs_archive_is_not_taken_for_probabilities(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=np.zeros(3))
    with pytest.raises(ModelError, match=r"a\.npz: there already, and no probabilities that autoseg wrote"):
        require_known_origin(alone(tmp_path / "a.nii.gz"), ONE)
    (tmp_path / "b.npz").write_text("no archive")
    with pytest.raises(ModelError, match=r"b\.npz: there already"):
        require_known_origin(alone(tmp_path / "b.nii.gz"), ONE)


def test_a_folder_is_of_one_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.nii.gz", Origin(model=ONE, inputs=ONE))
    write(tmp_path / "drawn.nii.gz")
    ours = [tmp_path / "b.nii.gz"]

    require_one_origin(tmp_path, ONE, ours, overwrite=False)
    with pytest.raises(ModelError, match=r"a\.nii\.gz: predicted with other weights or settings; name another output"):
        require_one_origin(tmp_path, OTHER, ours, overwrite=False)
    require_one_origin(tmp_path, OTHER, ours, overwrite=True)
    assert caplog.messages == [
        f"{tmp_path}: a.nii.gz: predicted with other weights or settings, and not among the cases that are predicted "
        "now; they stay"
    ]
    require_one_origin(tmp_path, OTHER, [tmp_path / "a.nii.gz"], overwrite=False)
    require_one_origin(tmp_path / "absent", OTHER, ours, overwrite=False)


def test_a_file_of_another_program_is_not_replaced(tmp_path: Path) -> None:
    require_own_file(tmp_path / "a.json", lambda _: False)
    (tmp_path / "a.json").write_text("{}")
    require_own_file(tmp_path / "a.json", lambda _: True)
    with pytest.raises(WorkspaceError, match=r"a\.json: there already, and not written by autoseg"):
        require_own_file(tmp_path / "a.json", lambda _: False)


def test_a_copy_replaces_an_earlier_copy_only(tmp_path: Path) -> None:
    source, folder = tmp_path / "rules.json", tmp_path / "out"
    folder.mkdir()
    source.write_text("new")
    require_room_for_copy(source, folder, AVERAGING)
    copy_beside(source, folder)
    source.write_text("newer")
    with pytest.raises(
        WorkspaceError, match=r"out/rules\.json: another file than .*rules\.json, a copy of which would"
    ):
        require_room_for_copy(source, folder, AVERAGING)
    write(folder / "x.nii.gz", Origin(model=ONE, inputs=ONE, mark="mean"))
    require_room_for_copy(source, folder, AVERAGING)
    copy_beside(source, folder)
    assert (folder / "rules.json").read_text() == "newer"
    copy_beside(folder / "rules.json", folder)
    assert (folder / "rules.json").read_text() == "newer"


def test_an_image_that_cannot_be_written_leaves_what_it_would_replace(tmp_path: Path) -> None:
    path, removed = write(tmp_path / "a.nii.gz"), []
    before = path.read_bytes()

    def fail() -> None:
        removed.append(path.read_bytes() == before)
        raise ModelError("no room for what belongs to it")

    with pytest.raises(ModelError, match="no room"):
        write_image(path, np.ones((2, 3, 4), np.uint8), GRID, before_it_is_there=fail)
    assert (removed, path.read_bytes(), [one.name for one in tmp_path.iterdir()]) == ([True], before, ["a.nii.gz"])


def test_of_many_that_create_a_file_at_once_one_does(tmp_path: Path) -> None:
    path, start, created = tmp_path / "record.json", threading.Barrier(16), []

    def create(number: int) -> None:
        start.wait()
        if create_json(path, {"number": number}):
            created.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(created) == 1
    assert read_json(path) == {"number": created[0]}
    assert [one.name for one in tmp_path.iterdir()] == ["record.json"]


def test_a_disk_without_hard_links_has_one_creator_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("hard links are not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert create_json(tmp_path / "a.json", [1])
    assert not create_json(tmp_path / "a.json", [2])
    assert read_json(tmp_path / "a.json") == [1]
