"""What a section finds, under which circumstances it measures, and how sections are run one after the other."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

Verdict: TypeAlias = Literal["right", "wrong", "slow", "noted", "left out"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

LAST_WORDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the report.

    Attributes:
        expected: In words, beside `measured`; empty where nothing is.
        mend: What to look at where it is wrong or slow.
    """

    section: str
    what: str
    measured: str
    expected: str = ""
    verdict: Verdict = "noted"
    mend: str = ""

    def line(self) -> str:
        """As it is printed."""
        expected = f" (expected: {self.expected})" if self.expected else ""
        mend = f"\n{'':10}-> {self.mend}" if self.mend and self.verdict in ("wrong", "slow") else ""
        return f"{self.verdict:<8}  {self.section}, {self.what}: {self.measured}{expected}{mend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and how large is measured.

    Attributes:
        folder: For prepared cases and trainings; removed at the end.
        slower: How many times slower than the GPU that times are expected of; None where none are expected.
    """

    device: str
    is_small: bool
    folder: Path
    slower: float | None

    @property
    def is_cuda(self) -> bool:
        """Whether GPU-only parts can be run."""
        return self.device.startswith("cuda")

    @property
    def seconds(self) -> float:
        """For what is timed."""
        return 0.2 if self.is_small else 5.0

    @property
    def network(self) -> dict[str, int]:
        """Levels and channels: of what is planned for large cases, or small."""
        sizes = (3, 8, 32) if self.is_small else (6, 32, 320)
        return dict(zip(("levels", "features", "max_features"), sizes, strict=True))

    @property
    def side(self) -> int:
        """Of the patch."""
        return 16 if self.is_small else 128

    def expect(self, usual: tuple[float, float]) -> tuple[float, float] | None:
        """A range of milliseconds of an H200, on this device; None where nothing is expected."""
        return None if self.slower is None else (usual[0] * self.slower, usual[1] * self.slower)


Section: TypeAlias = Callable[[Setting], Iterator[Check]]


def judge_time(
    section: str, what: str, seconds: float, bounds: tuple[float, float] | None, *, mend: str = "", beside: str = ""
) -> Check:
    """A time against the milliseconds that are expected; what is faster is right.

    Args:
        beside: What else was measured.
    """
    measured = f"{milliseconds(seconds)}{beside}"
    if bounds is None:
        return Check(section=section, what=what, measured=measured)
    return Check(
        section=section,
        what=what,
        measured=measured,
        expected=f"{bounds[0]:.3g} to {bounds[1]:.3g} ms",
        verdict="slow" if 1000 * seconds > bounds[1] else "right",
        mend=mend,
    )


def milliseconds(seconds: float) -> str:
    """With three digits."""
    return f"{1000 * seconds:.0f} ms" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def attempt(section: str, what: str, expected: str, action: Callable[[], tuple[str, bool]], *, mend: str = "") -> Check:
    """Whether something is as it must be: `action` says what it found and whether that is right, or fails."""
    try:
        measured, is_right = action()
    except Exception as error:
        measured, is_right = _in_words(error), False
    verdict: Verdict = "right" if is_right else "wrong"
    return Check(section=section, what=what, measured=measured, expected=expected, verdict=verdict, mend=mend)


def tried(section: str, what: str, make: Callable[[], Check]) -> Check:
    """A check that may fail without keeping those after it from being made."""
    try:
        return make()
    except Exception as error:
        return Check(section=section, what=what, measured=_in_words(error), expected="no error", verdict="wrong")


def left_out(section: str, what: str, why: str = "needs an NVIDIA GPU") -> Check:
    """For what cannot be tried here."""
    return Check(section=section, what=what, measured=why, verdict="left out")


def summary(found: Sequence[Check]) -> str:
    """How many checks came out how, and once more those that are wrong, then those that are slow."""
    numbers = Counter(check.verdict for check in found)
    counts = ", ".join(f"{numbers[verdict]} {verdict}" for verdict in VERDICTS if numbers[verdict])
    again = [check.line() for verdict in ("wrong", "slow") for check in found if check.verdict == verdict]
    return "\n".join([counts, *again])


def run_sections(sections: Mapping[str, Section], setting: Setting, seconds: float) -> Iterator[Check]:
    """Every section's checks as they come; one that fails, or has no time left, is a line of its own."""
    ends = time.monotonic() + seconds
    for name, section in sections.items():
        yield from _until(ends, name, _whole(name, section, setting))


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:LAST_WORDS]}"


def _until(ends: float, name: str, found: Iterable[Check]) -> Iterator[Check]:
    if time.monotonic() > ends:
        yield left_out(name, "all of it", "no time is left (--seconds)")
        return
    for check in found:
        yield check
        if time.monotonic() > ends:
            yield left_out(name, "the rest", "no time is left (--seconds)")
            return


def _whole(name: str, section: Section, setting: Setting) -> Iterator[Check]:
    try:
        yield from section(setting)
    except Exception:
        last = traceback.format_exc()[-LAST_WORDS:]
        yield Check(section=name, what="the rest", measured=last, expected="no error", verdict="wrong")
