"""Pickles of plain builtins, as plans are stored: every opcode that could import, call or build an object is refused, by
name, before anything is built."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autoseg.errors import StorageError
from autoseg.files.storage import encode, read_bytes, write_bytes

LARGEST_PICKLE = 16 * 2**20
"""Bytes; plans take a few thousand, whatever the size of the dataset."""


PICKLE_PROTOCOL = 4


TEXT_OPCODES = frozenset({"SHORT_BINUNICODE", "BINUNICODE"})


REFERENCE_OPCODES = frozenset({"BINGET", "LONG_BINGET"})


PLAIN_OPCODES = (
    TEXT_OPCODES
    | REFERENCE_OPCODES
    | frozenset(
        "PROTO FRAME STOP MARK MEMOIZE NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT "
        "EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS".split()
    )
)
"""All that protocol 4 needs for plain values; everything else is refused before anything is built."""


def write_plain_pickle(path: Path, value: Any) -> None:
    """Pickle a frozen dataclass or plain builtins as plain builtins."""
    write_bytes(path, pickle.dumps(encode(value), protocol=PICKLE_PROTOCOL))


def read_plain_pickle(path: Path) -> Any:
    """Read a pickle of plain builtins (dict, list, str, int, float, bool, None).

    Raises:
        StorageError: Naming the first opcode that is not allowed; nothing has been built then.
    """
    content = read_bytes(path, limit=LARGEST_PICKLE)
    try:
        _refuse_all_but_plain(pickletools.genops(content), path)
        return pickle.loads(content)
    except StorageError:
        raise
    except Exception as error:
        raise StorageError(f"{path}: not a whole pickle: {error}") from error


def _refuse_all_but_plain(operations: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]], path: Path) -> None:
    """Refuse opcodes that import, call or build, and references to anything but text.

    A container referred to twice could hold itself, or double at every level until memory ends.
    """
    memo: dict[int, bool] = {}
    before = ""
    for opcode, argument, position in operations:
        if opcode.name not in PLAIN_OPCODES:
            raise StorageError(
                f"{path}: refused: the pickle opcode {opcode.name} at byte {position} could build or run something; "
                "plans hold plain values only. Do not trust this file."
            )
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = before in TEXT_OPCODES
        elif opcode.name in REFERENCE_OPCODES and not memo.get(argument, False):
            raise StorageError(
                f"{path}: refused: the pickle opcode {opcode.name} at byte {position} refers to something that is not "
                "text; plans hold plain values only. Do not trust this file."
            )
        before = opcode.name
