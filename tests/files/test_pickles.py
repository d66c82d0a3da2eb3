"""Pickles: plain values come back, and nothing that is read can build or run anything."""

from __future__ import annotations

import datetime
import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.errors import StorageError
from autoseg.files.pickles import read_plain_pickle, write_plain_pickle
from autoseg.files.storage import encode


class Runs:
    """What an attacker would pickle: `os.system` with a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch owned",)


class Thing:
    pass


@pytest.mark.parametrize(
    ("content", "opcode"),
    [
        (pickle.dumps({"a": Runs()}, protocol=4), "STACK_GLOBAL"),
        (pickle.dumps({"a": Runs()}, protocol=2), "BINPUT"),
        (pickle.dumps(Runs(), protocol=0), "GLOBAL"),
        (b"cos\nsystem\n(S'touch owned'\ntR.", "GLOBAL"),
        (b"\x80\x04(S'touch owned'\nios\nsystem\n.", "STRING"),
        (b"\x80\x04(\x8c\x05touch\x94ios\nsystem\n.", "INST"),
        (b"\x80\x04N)R.", "EMPTY_TUPLE"),
        (b"\x80\x04NNR.", "REDUCE"),
        (b"\x80\x04NN\x81.", "NEWOBJ"),
        (b"\x80\x04NNN\x92.", "NEWOBJ_EX"),
        (b"\x80\x04NNb.", "BUILD"),
        (b"\x80\x04(N\x6f.", "OBJ"),
        (b"\x80\x04NQ.", "BINPERSID"),
        (b"\x80\x04\x82\x01.", "EXT1"),
        (pickle.dumps(Thing(), protocol=4), "STACK_GLOBAL"),
        (pickle.dumps(OrderedDict(a=1), protocol=4), "STACK_GLOBAL"),
        (pickle.dumps(datetime.date(2021, 1, 1), protocol=4), "STACK_GLOBAL"),
        (pickle.dumps(np.float64(1.0), protocol=4), "STACK_GLOBAL"),
        (pickle.dumps(np.zeros(2), protocol=5), "STACK_GLOBAL"),
        (pickle.dumps((1, 2), protocol=4), "TUPLE2"),
        (pickle.dumps({1, 2}, protocol=4), "EMPTY_SET"),
        (pickle.dumps(b"raw", protocol=4), "SHORT_BINBYTES"),
        (pickle.dumps(bytearray(b"raw"), protocol=5), "BYTEARRAY8"),
    ],
)
def test_a_pickle_that_could_build_or_run_something_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, opcode: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plans.pkl"
    path.write_bytes(content)

    with pytest.raises(StorageError) as caught:
        read_plain_pickle(path)

    assert str(caught.value).startswith(f"{path}: refused: the pickle opcode {opcode} at byte ")
    assert "could build or run something; plans hold plain values only. Do not trust this file." in str(caught.value)
    assert not (tmp_path / "owned").exists()


def shared_list() -> bytes:
    """A list that doubles sixty times when it is walked."""
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    return pickle.dumps(value, protocol=4)


def list_in_itself() -> bytes:
    value: list[Any] = []
    value.append(value)
    return pickle.dumps(value, protocol=4)


@pytest.mark.parametrize("make", [shared_list, list_in_itself])
def test_a_pickle_that_grows_without_end_is_refused(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "plans.pkl"
    path.write_bytes(make())

    with pytest.raises(StorageError, match=r"refused: the pickle opcode BINGET at byte .* refers to something that is"):
        read_plain_pickle(path)


def test_text_that_occurs_twice_may_be_shared(tmp_path: Path) -> None:
    name = "hippocampus" * 3
    value = [{name: name}, {name: [name]}]

    write_plain_pickle(tmp_path / "p", value)

    assert read_plain_pickle(tmp_path / "p") == value


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04", b"\x80\x04N", b"\x80\x04a.", b"\x80\x63N.", b"\x80\x04\x8c\xffab.", b"\x80\x04u.", b"\x00"],
)
def test_a_broken_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plans.pkl"
    path.write_bytes(content)

    with pytest.raises(StorageError, match=r"plans\.pkl: not a whole pickle: "):
        read_plain_pickle(path)


@given(data=st.data())
def test_a_damaged_pickle_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("files") / "p"
    write_plain_pickle(
        path,
        {
            "inner": {"name": "a", "numbers": [1, 2.5]},
            "by_name": {"b": {"name": "", "numbers": []}},
            "flag": True,
            "maybe": None,
        },
    )
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)

    try:
        value = read_plain_pickle(path)
    except StorageError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        json.dumps(encode(value), default=str)
