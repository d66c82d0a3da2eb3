"""Files of ours that say their format: every way in which one can be another's, by its message."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import autoseg
from autoseg.errors import ModelError, StorageError
from autoseg.files.records import RecordFormat, decode_record, is_record, read_record, require_format, write_record

HERE = autoseg.__version__
NOTES = RecordFormat(
    number=3,
    what="notes",
    error=ModelError,
    another="install a matching version or take notes again",
    damaged="take notes again",
    older=(2,),
    completed=lambda content: {"weight": 1.0, **content},
)
PLAIN = RecordFormat(number=3)
SOUND = {"format": 3, "text": "a", "weight": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    text: str
    weight: float

    def __post_init__(self) -> None:
        if not self.text:
            raise ModelError("notes need a text")


def file(folder: Path, content: object) -> Path:
    path = folder / "notes.json"
    path.write_text(json.dumps(content))
    return path


def test_what_is_written_says_its_format_first_and_is_read_back(tmp_path: Path) -> None:
    path, notes = tmp_path / "notes.json", Notes(text="a", weight=0.5)
    write_record(path, notes, NOTES)

    assert list(json.loads(path.read_text()).items()) == list(SOUND.items())
    assert read_record(path, Notes, NOTES) == notes


def test_plain_values_are_written_alike(tmp_path: Path) -> None:
    write_record(tmp_path / "notes.json", {"text": "a"}, NOTES)

    assert json.loads((tmp_path / "notes.json").read_text()) == {"format": 3, "text": "a"}


@pytest.mark.parametrize("number", [2, 3])
def test_older_files_are_completed(number: int, tmp_path: Path) -> None:
    assert read_record(file(tmp_path, {"format": number, "text": "a"}), Notes, NOTES) == Notes(text="a", weight=1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 4, "version": "9.1"}, f"notes of format 4 (autoseg 9.1), but this is autoseg {HERE}, which"),
        ({"format": 1}, "notes of format 1, but this autoseg"),
        ({"format": True}, "notes of format True, but this autoseg"),
        ({"format": 3.0}, "notes of format 3.0, but this autoseg"),
        ({"format": "x" * 99}, f"notes of format '{'x' * 39}, but this autoseg"),
        ({"text": "a"}, "notes of format None, but this autoseg"),
        ([3], "notes of format None, but this autoseg"),
    ],
)
def test_another_format_is_refused_with_both(content: object, message: str, tmp_path: Path) -> None:
    path = file(tmp_path, content)
    with pytest.raises(ModelError) as refused:
        read_record(path, Notes, NOTES)

    assert str(refused.value) == (
        f"{path}: {message} reads format 2 and 3; install a matching version or take notes again"
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"text": 7}, ".text: expected str, found 7"),
        ({"weight": "heavy"}, ".weight: expected float, found 'heavy'"),
        ({"colour": "red"}, ": wrong fields: unknown colour"),
        ({"text": ""}, None),
    ],
)
def test_a_field_that_does_not_fit_is_named(changes: dict[str, Any], problem: str | None, tmp_path: Path) -> None:
    path = file(tmp_path, SOUND | changes)
    with pytest.raises(ModelError) as refused:
        read_record(path, Notes, NOTES)

    told = f"{path}: notes need a text" if problem is None else f"{path}{problem}; take notes again"
    assert str(refused.value) == told


def test_a_field_that_lacks_is_named(tmp_path: Path) -> None:
    path = file(tmp_path, {"format": 3})
    with pytest.raises(ModelError, match="wrong fields: missing text; take notes again"):
        read_record(path, Notes, NOTES)


def test_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{'a': 1}")
    with pytest.raises(ModelError, match=r"not valid JSON: line 1 column 2.*; take notes again"):
        read_record(tmp_path / "notes.json", Notes, NOTES)


def test_what_a_newer_version_wrote_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = file(tmp_path, SOUND | {"version": "99.1"})
    with caplog.at_level(logging.WARNING, "autoseg"):
        assert read_record(path, Notes, NOTES) == Notes(text="a", weight=0.5)

    assert caplog.messages == [
        f"{path}: autoseg 99.1 made it, and this is autoseg {HERE}: a newer one may mean something else by it; "
        "install 99.1 or newer"
    ]


def test_a_newer_version_is_the_remedy_for_what_it_wrote(tmp_path: Path) -> None:
    path = file(tmp_path, SOUND | {"version": "99.1", "colour": "red"})
    with pytest.raises(
        ModelError, match=r"unknown colour; autoseg 99\.1 made it, and this is .*; install 99.1 or newer"
    ):
        read_record(path, Notes, NOTES)


def test_without_a_name_the_format_alone_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^expected format 3, found 4$"):
        require_format({"format": 4}, PLAIN, tmp_path)
    with pytest.raises(StorageError, match=r"^notes\.json\.text: expected str, found 7$"):
        decode_record(SOUND | {"text": 7}, Notes, PLAIN, tmp_path / "notes.json", where="notes.json")


def test_whoever_catches_the_error_may_name_the_file() -> None:
    with pytest.raises(ModelError, match=r"^notes of format 4, but this autoseg reads format 3$"):
        require_format({"format": 4}, replace(NOTES, another="", older=()))


@pytest.mark.parametrize(
    ("content", "ours"),
    [
        ({"format": 9, "version": "9", "text": ""}, True),
        ({"format": 9, "text": ""}, False),
        ({"format": 9, "version": "9"}, False),
        (["format", "version", "text"], False),
    ],
)
def test_which_files_are_ours(content: object, ours: bool, tmp_path: Path) -> None:
    assert is_record(file(tmp_path, content), "text") is ours


def test_a_damaged_file_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{")
    assert not is_record(tmp_path / "notes.json", "text")
