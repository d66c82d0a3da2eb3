"""Small files: what goes in comes back, a failing write changes nothing, and nothing that is read can run."""

from __future__ import annotations

import math
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.errors import DiskError, StorageError, WorkspaceError
from autoseg.files.pickles import LARGEST_PICKLE, read_plain_pickle, write_plain_pickle
from autoseg.files.storage import (
    DEEPEST_NESTING,
    STALE_SECONDS,
    ask_before_writing,
    atomic_path,
    content_hash,
    decode,
    encode,
    file_hash,
    read_bytes,
    read_json,
    stale_files,
    write_bytes,
    write_json,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    side: float
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    pair: tuple[int, str]
    inner: Inner
    by_name: Mapping[str, Inner]
    flag: bool
    maybe: int | None


OUTER = Outer(
    name="a",
    pair=(1, "b"),
    inner=Inner(side=0.5, steps=(1, 2)),
    by_name={"x": Inner(side=2.0, steps=())},
    flag=True,
    maybe=None,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
finite = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | finite | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
inners = st.builds(Inner, side=finite, steps=st.lists(st.integers()).map(tuple))
outers = st.builds(
    Outer,
    name=text,
    pair=st.tuples(st.integers(), text),
    inner=inners,
    by_name=st.dictionaries(text, inners, max_size=3),
    flag=st.booleans(),
    maybe=st.none() | st.integers(),
)


@given(value=plain)
def test_plain_values_survive_both_kinds_of_file(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("files") / "value"

    write_plain_pickle(path, value)
    assert read_plain_pickle(path) == value
    write_json(path, value)
    assert read_json(path) == value


@given(value=outers)
def test_typed_values_survive_both_kinds_of_file(tmp_path_factory: pytest.TempPathFactory, value: Outer) -> None:
    path = tmp_path_factory.mktemp("files") / "value"

    write_plain_pickle(path, value)
    assert decode(Outer, read_plain_pickle(path), "file") == value
    write_json(path, value)
    assert decode(Outer, read_json(path), "file") == value


def test_numbers_of_numpy_become_plain_numbers(tmp_path: Path) -> None:
    value = {"a": np.float64(0.25), "b": np.int64(3), "c": np.float32(0.5), "d": np.str_("x")}

    write_plain_pickle(tmp_path / "p", value)
    back = read_plain_pickle(tmp_path / "p")

    assert back == {"a": 0.25, "b": 3, "c": 0.5, "d": "x"}
    assert [type(item) for item in back.values()] == [float, int, float, str]


def test_a_value_that_is_not_plain_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="ndarray is not a plain value"):
        write_plain_pickle(tmp_path / "p", {"a": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []


def test_json_is_readable_and_never_holds_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "v.json", {"dice": math.nan, "far": [math.inf, 1.5], "name": "Straße"})

    assert (tmp_path / "v.json").read_text() == (
        '{\n "dice": null,\n "far": [\n  null,\n  1.5\n ],\n "name": "Straße"\n}\n'
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a": 1, "a": 2}', "not valid JSON: the key 'a' stands twice in one object"),
        (b'{"a": NaN}', "not valid JSON: NaN is not a JSON value"),
        (b'{"a": -Infinity}', "not valid JSON: -Infinity is not a JSON value"),
        (b'{"a": 1e999}', "not valid JSON: 1e999 is too large a number"),
        (b'{"a": 1', "not valid JSON: Expecting ',' delimiter: line 1 column 8 (char 7)"),
        (b'{\n"a" 1}', "not valid JSON: Expecting ':' delimiter: line 2 column 5 (char 6)"),
        (b"", "not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'"\xff"', "not valid JSON: byte 1 is no text in UTF-8"),
        (b"[" * 70 + b"]" * 70, f"nested deeper than {DEEPEST_NESTING} levels"),
        (b"[" * 100_000, "nested deeper than 64 levels"),
    ],
)
def test_json_that_is_wrong_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "v.json"
    path.write_bytes(content)

    with pytest.raises(StorageError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


def test_a_file_that_is_absent_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"absent\.json: cannot be read: No such file or directory"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(StorageError, match=r"cannot be read: Is a directory"):
        read_json(tmp_path)
    (tmp_path / "big").write_bytes(b"0" * 11)
    assert read_bytes(tmp_path / "big", limit=11) == b"0" * 11
    with pytest.raises(StorageError, match="big: larger than 10 bytes, which no file of this kind is"):
        read_bytes(tmp_path / "big", limit=10)
    os.truncate(tmp_path / "big", LARGEST_PICKLE + 1)
    with pytest.raises(StorageError, match=f"big: larger than {LARGEST_PICKLE} bytes"):
        read_plain_pickle(tmp_path / "big")


def test_one_of_several_values_is_that_value_of_its_own_type() -> None:
    assert decode(Literal[0, 1], 1, "f") == 1
    for value in (True, 2, "1"):
        with pytest.raises(StorageError, match=f"f: expected 0 or 1, found {value!r}"):
            decode(Literal[0, 1], value, "f")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "f.name: expected str, found 3"),
        ({"flag": 1}, "f.flag: expected bool, found 1"),
        ({"maybe": "x"}, "f.maybe: expected int, found 'x'"),
        ({"maybe": True}, "f.maybe: expected int, found True"),
        ({"pair": [1]}, "f.pair: expected 2 entries, found 1"),
        ({"pair": [1, 2]}, "f.pair[1]: expected str, found 2"),
        ({"pair": "ab"}, "f.pair: expected tuple, found 'ab'"),
        ({"inner": []}, "f.inner: expected an object with named fields, found list"),
        ({"inner": {"side": "wide", "steps": []}}, "f.inner.side: expected float, found 'wide'"),
        ({"inner": {"side": 1.0, "steps": [1, 2.0]}}, "f.inner.steps[1]: expected int, found 2.0"),
        ({"inner": {"side": 1.0, "step": []}}, "f.inner: wrong fields: missing steps; unknown step"),
        ({"inner": {"side": 1.0, "steps": [], 7: 0, "b": 0}}, "f.inner: wrong fields: unknown 7, b"),
        ({"by_name": {"x": {"side": None, "steps": []}}}, "f.by_name.x.side: expected float, found None"),
        ({"by_name": {4: {}}}, "f.by_name: expected str, found 4"),
        ({"by_name": []}, "f.by_name: expected Mapping, found []"),
        ({"name": list(range(100))}, "f.name: expected str, found [0, 1, 2, 3, 4, 5, ...]"),
    ],
)
def test_decoding_names_the_exact_field_that_does_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StorageError) as caught:
        decode(Outer, encode(OUTER) | change, "f")
    assert str(caught.value) == message


def test_a_whole_number_fits_where_a_float_is_due() -> None:
    side = decode(Inner, {"side": 2, "steps": []}, "f").side
    assert side == 2.0
    assert type(side) is float


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    write_bytes(path, b"old")

    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise RuntimeError

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_is_whole_or_absent_and_keeps_the_ending(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "label.nii.gz"

    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.endswith("label.nii.gz")
        temporary.write_bytes(b"new")
        assert not path.exists()

    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()

    with pytest.raises(StorageError, match="file/a: cannot be written: File exists; move away what has this name"):
        write_bytes(tmp_path / "file" / "a", b"")
    with pytest.raises(StorageError, match="folder: cannot be written: Is a directory; a folder has this name"):
        write_bytes(tmp_path / "folder", b"")
    with pytest.raises(StorageError, match="cannot be written: File name too long; use shorter names"):
        write_bytes(tmp_path / ("n" * 300), b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def put(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def copy(path: Path) -> None:
    source = path.parent.parent / "source"
    source.write_bytes(bytes(20_000))
    shutil.copyfile(source, path)


def save(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(20_000))


@pytest.mark.parametrize("write", [put(bytes(20_000)), copy, save])
def test_on_a_full_disk_it_is_said_so_and_the_old_file_stays(
    small_disk: Callable[[int], Path], write: Callable[[Path], object]
) -> None:
    path = small_disk(16_384) / "file"
    write_bytes(path, b"old")

    with pytest.raises(DiskError) as caught, atomic_path(path) as temporary:
        write(temporary)

    assert re.fullmatch(
        rf"{path}: cannot be written: (No space left on device|Not enough free space .*|20000 requested .*); "
        "check space and permissions",
        str(caught.value),
    )
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_read_only_folder_is_like_a_full_disk(small_disk: Callable[[int], Path]) -> None:
    path = small_disk(16_384) / "file"
    write_bytes(path, b"old")
    subprocess.run(["mount", "-o", "remount,ro", path.parent], check=True)

    with pytest.raises(DiskError, match="file: cannot be written: Read-only file system; check space and permissions"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_file_that_may_not_grow_so_large_is_this_files_trouble_alone(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(
            StorageError,
            match="a: cannot be written: File too large; this process may write files of 10 kB \\(ulimit -f\\); raise it",
        ) as caught:
            write_bytes(tmp_path / "a", bytes(20_000))
        write_bytes(tmp_path / "b", bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert not isinstance(caught.value, DiskError)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_what_is_wrong_with_another_file_is_not_blamed_on_the_one_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="label"), atomic_path(tmp_path / "copy") as temporary:
        shutil.copyfile(tmp_path / "label", temporary)


def test_a_folder_taken_away_meanwhile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"

    with pytest.raises(StorageError, match="file: cannot be written: No such file or directory"), atomic_path(path):
        path.parent.rmdir()


def test_what_a_killed_writer_left_a_day_ago_is_cleared_by_the_next(tmp_path: Path) -> None:
    old, fresh, other = (tmp_path / name for name in (".writing-7-a.npy", ".writing-8-b.npy", "c.npy"))
    for path in (old, fresh, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (time.time() - STALE_SECONDS - 60,) * 2)
    os.utime(fresh, (time.time() - STALE_SECONDS + 60,) * 2)
    assert list(stale_files(tmp_path)) == [old]
    assert list(stale_files(tmp_path / "absent")) == []

    write_bytes(tmp_path / "d", b"")

    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, "c.npy", "d"]


def test_hashes_differ_exactly_where_contents_do(tmp_path: Path) -> None:
    assert content_hash(OUTER, [1, 2]) == content_hash(OUTER, (1, 2))
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert len({content_hash(1), content_hash("1"), content_hash([1]), content_hash(1, 1), content_hash(1.5)}) == 5

    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    (tmp_path / "b").write_bytes(b"x" * 3_000_000)
    (tmp_path / "c").write_bytes(b"x" * 2_999_999 + b"y")
    assert file_hash(tmp_path / "a") == file_hash(tmp_path / "b") != file_hash(tmp_path / "c")
    with pytest.raises(StorageError, match="absent: cannot be read: No such file or directory"):
        file_hash(tmp_path / "absent")


def test_two_writers_of_one_file_with_one_number_do_not_mix(tmp_path: Path) -> None:
    """As in two containers, or two threads: the process's number is the same."""
    path = tmp_path / "file"
    with atomic_path(path) as first, first.open("wb") as half:
        half.write(b"a" * 10)
        half.flush()
        with atomic_path(path) as second:
            second.write_bytes(b"b" * 20)
        assert path.read_bytes() == b"b" * 20
        half.write(b"a" * 10)
    assert path.read_bytes() == b"a" * 20
    assert list(tmp_path.iterdir()) == [path]


def test_a_temporary_name_tells_computer_and_process_and_keeps_the_ending(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "label.nii.gz") as temporary:
        temporary.write_bytes(b"x")
        host = re.escape(socket.gethostname()[:12])
        assert re.fullmatch(rf"\.writing-{host}-{os.getpid()}-[0-9a-f]{{8}}-label\.nii\.gz", temporary.name)


def test_what_must_not_be_written_is_not(tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise WorkspaceError(f"not {path.name}")

    write_bytes(tmp_path / "file", b"old")
    with ask_before_writing(refuse), pytest.raises(WorkspaceError, match="not file"):
        write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    write_bytes(tmp_path / "file", b"new")
