"""What may stand behind an option: each function takes the text that was typed, and says what was expected instead."""

from __future__ import annotations

import argparse
import math
import re
import reprlib
from pathlib import Path

from autoseg.files.layout import USUAL_CONFIGURATIONS, is_configuration

DEVICE_PATTERN = re.compile(r"cpu|cuda(:\d+)?|mps")
PLANS_NAME = re.compile(r"\w[\w.-]*")
NUMBER = re.compile(r"[+-]?[\d.]+")
"""What is meant for a number."""

MOST_DIGITS = 18
"""What every library takes as a whole number."""


def positive(text: str) -> int:
    """A whole number from 1."""
    return _number_from(text, 1)


def number_or_file(text: str) -> int | Path:
    """A whole number from 1, or the path of a file."""
    return positive(text) if NUMBER.fullmatch(text) else folder(text)


def not_negative(text: str) -> int:
    """A whole number from 0."""
    return _number_from(text, 0)


def label_name(text: str) -> int | str:
    """A label by its number or its name."""
    return not_negative(text) if NUMBER.fullmatch(text) else text


def positive_number(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def number_from_zero(text: str) -> float:
    """A finite number, 0 or above."""
    return 0.0 if text in ("0", "0.0") else positive_number(text)


def share(text: str) -> float:
    """A number above 0, at most 1."""
    value = positive_number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and at most 1, found {text!r}")
    return value


def zero_to_one(text: str) -> float:
    """A number from 0 to 1."""
    return 0.0 if text in ("0", "0.0") else share(text)


def configuration_name(text: str) -> str:
    """The name of a configuration; whether it is planned, the plans say."""
    if not is_configuration(text):
        raise argparse.ArgumentTypeError(
            f"expected a name of letters, digits, ., - and _, such as {USUAL_CONFIGURATIONS[1]}, found {text!r}"
        )
    return text


def plans_name(text: str) -> str:
    """The name of plans, which becomes part of file names."""
    if not PLANS_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected a name of letters, digits, ., - and _, found {text!r}")
    return text


def device(text: str) -> str:
    """A device's name, as torch has it."""
    if not DEVICE_PATTERN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected cpu, cuda, cuda:1 or mps, found {text!r}")
    return text


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def fold(text: str) -> str:
    """A fold's number, or `all`. How many there are, the splits say: five, or as many as the user made."""
    if text != "all" and not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected 0 to 4, or all, found {text!r}")
    return text if text == "all" else fold_number(text)


def fold_number(text: str) -> str:
    """A fold's number."""
    return str(not_negative(text))


def folder(text: str) -> Path:
    """A folder's path, `~` expanded."""
    return Path(text).expanduser()


def _number_from(text: str, least: int) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, found {reprlib.repr(text)}")
    return int(text)
