"""The words of messages: numbers with their nouns, names, sizes."""

from __future__ import annotations


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


def in_bytes(count: int) -> str:
    """`12.3 GB`, `45 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def readable(name: object) -> str:
    """A path or name on one line that any terminal can show: verbatim, or quoted where it holds line breaks or no text."""
    text = str(name)
    return text if text.isprintable() else ascii(text)
