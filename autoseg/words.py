"""The words of messages: numbers with their nouns, names and lists of them, sizes, times."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, Protocol, SupportsFloat

UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
"""Of time, and their seconds."""

MINUTE, HOUR, DAY = 60, 3600, 86400

RESULT = {"is_result": True}
"""The `extra` of a log record that says what came out rather than how it goes: a command prints it as its own."""


def counted(number: int | str, noun: str, nouns: str = "") -> str:
    """`1 case`, `2 cases`.

    Args:
        number: As it is shown.
        nouns: The plural, where it is irregular or a verb follows: `"case is", "cases are"`.
    """
    return f"{number} {agreeing(number, noun, nouns)}"


def agreeing(number: int | str, one: str, many: str = "") -> str:
    """The word that agrees with a number that stands elsewhere: `fold` or `folds`, `is` or `are`."""
    return one if str(number) == "1" else many or f"{one}s"


def without_case(reason: str, case: str) -> str:
    """What is wrong with a case, for where the case is named already."""
    return reason.removeprefix(f"case {case}: ")


def readable(name: object) -> str:
    """A path or name on one line that any terminal can show: verbatim, or quoted where it holds line breaks or no text."""
    text = str(name)
    return text if text.isprintable() else ascii(text)


class Listed(Protocol):
    """A sequence or an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


def first_few(items: Listed, most: int = 10, *, noun: str = "", say: Callable[[Any], str] = readable) -> str:
    """`a, b and 3 more`.

    Args:
        most: How many are shown.
        noun: What there is more of: `a, b and 3 more files`.
        say: The words of one.
    """
    shown, rest = ", ".join(map(say, items[:most])), len(items) - most
    if rest <= 0:
        return shown
    return f"{shown} and {counted(rest, f'more {noun}') if noun else f'{rest} more'}"


def for_example(names: Sequence[object], most: int = 3) -> str:
    """`a, b, c, ...`, where how many there are stands elsewhere."""
    return ", ".join(map(readable, names[:most])) + (", ..." if len(names) > most else "")


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean epochs?`, or nothing where no known name is like this one."""
    spelt = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), spelt, n=1)
    return f"; did you mean {spelt[near[0]]}?" if near else ""


def in_digits(value: SupportsFloat) -> str:
    """A whole number as it is, another with six digits."""
    return str(value) if isinstance(value, Integral) else f"{float(value):.6g}"


def in_brackets(values: Iterable[SupportsFloat]) -> str:
    """`(1, 2.5, 3)`."""
    return f"({', '.join(map(in_digits, values))})"


def in_sides(values: Iterable[SupportsFloat]) -> str:
    """`64 x 64 x 32`."""
    return " x ".join(map(in_digits, values))


def in_millimetres(spacing: Iterable[float]) -> str:
    """`0.7422 x 0.7422 x 5 mm`."""
    return " x ".join(f"{side:.4g}" for side in spacing) + " mm"


def in_bytes(count: float) -> str:
    """`12.3 GB`, `45 MB`, `6 kB`."""
    if count >= 1e9:
        return in_gigabytes(count)
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def in_gigabytes(count: float) -> str:
    """`0.3 GB`, where several are compared."""
    return f"{count / 1e9:.1f} GB"


def time_span(seconds: float, smallest: int = 1) -> str:
    """A time in two units at most: `2 d 3 h`, `3 min 12 s`, `4 s`.

    Args:
        smallest: Seconds of the smallest unit that is said.
    """
    whole = smallest * round(seconds / smallest)
    for (unit, size), (smaller, small_size) in pairwise(UNITS):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def rough_time(seconds: float) -> str:
    """What is left, as people say it: `61 s`, `7 min`, `2.5 h`, `67 days`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * MINUTE:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < 100 * HOUR:
        return f"{seconds / HOUR:.1f} h"
    return counted(round(seconds / DAY), "day")


def short_time(seconds: float) -> str:
    """Seconds with as many digits as tell them apart: `22 s`, `0.25 s`."""
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
