"""How a setting is typed: messages of the library name it as Python does, between backticks, and commands as their option."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

NAME = re.compile(r"`(\w[\w.]*(?:\([^`()]*\))?)(?:=([^`\n]*))?`")
"""A setting, a setting with its value, or a call."""

TYPED = {
    "configurations": "-m",
    "ensembling=False": "--disable_ensembling",
    "candidates=..., overwrite=True": "--rules FILE --overwrite",
    "overwrite": "--overwrite_existing",
    "overwrite=True": "--overwrite",
    "plans": "-p",
    "predict(save_npz=True)": "autoseg_predict --save_npz",
    "save_npz": "--save_npz",
    "trainers": "-tr",
}
"""What stands between the backticks, and what a command shows in its place.

What writes many files is told to `overwrite`, what makes a whole one by `overwrite=True`: their options differ.
"""


def typed(text: str) -> str:
    """A message with every setting as it is typed; what is no setting stays as it is."""
    return NAME.sub(_typed, text)


@contextmanager
def typed_log() -> Iterator[None]:
    """Let all that is logged meanwhile name settings so, in whatever file it ends."""
    former = logging.getLogRecordFactory()
    logging.setLogRecordFactory(_TypedRecord)
    try:
        yield
    finally:
        logging.setLogRecordFactory(former)


class _TypedRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802
        return typed(super().getMessage())


def _typed(found: re.Match[str]) -> str:
    name, value = found.groups()
    whole = found[0].strip("`")
    if whole in TYPED or value is None:
        return TYPED.get(whole, found[0])
    unquoted = value.strip('"')
    return f"{TYPED[name]} {unquoted}" if name in TYPED else found[0]
