"""Running each side of a comparison as processes of its own, in turns, and measuring time and memory.

Only the standard library: the sides run in environments of their own, and a parent that stays small cannot colour what
the kernel reports about its children.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

FRESH = "{fresh}"
"""In words and environment of a side: a folder that is made for one run and removed after it."""

RESULT = "RESULT "
"""Begins the line of standard output on which a side reports its own measurements as JSON."""

SIDES = ("autoseg", "peer")

SAMPLING_PAUSE = 0.05
SAMPLING_SHARE = 0.05
"""Seconds between two looks at the memory, and the largest share of a core that looking may take."""

LONGEST_RUN = 3600.0

CACHES = {
    "XDG_CACHE_HOME": f"{FRESH}/caches",
    "TORCHINDUCTOR_CACHE_DIR": f"{FRESH}/caches/inductor",
    "TMPDIR": f"{FRESH}/temporary",
}
"""Nothing that an earlier run left may help or hinder."""


class RunError(Exception):
    """A side did not do its work; the message is the last of what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """How one side of a comparison is started.

    Attributes:
        words: The command; `FRESH` in it becomes the run's own folder, as in `environment`.
        produces: Pattern below the fresh folder, and how many files must fit it afterwards.
        address_limit: Bytes that each of its processes may map.
        longest: Seconds after which it is ended.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    produces: tuple[str, int] | None = None
    address_limit: int | None = None
    longest: float = LONGEST_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run took.

    Attributes:
        seconds: Of the work itself where the side reported them, else of the whole process.
        wall_seconds: From start to end of the process.
        cpu_seconds: Of the process and all children it waited for.
        peak_bytes: Of the tree of processes, memory that several share counted once.
        said: What else the side reported.
    """

    seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The shortest time in which this machine could do the work, and what sets it."""

    seconds: float
    bound: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One row of the table: the same work for both sides.

    Attributes:
        peer: None where autoseg is measured alone.
        unit: What `seconds` of the sides count: "s", "s per iteration".
        agreement: Command that compares what both left in their folders (`{autoseg}`, `{peer}`) and reports numbers.
        warm_up: One round that is not counted comes first, so that files lie in the system's memory for both.
        peer_may_fail: That the peer fails is then a finding, not a spoilt run.
        alternations: At most so many, for work that takes very long.
    """

    stage: str
    work: str
    autoseg: Side
    peer: Side | None
    ceiling: Ceiling | None = None
    unit: str = "s"
    agreement: tuple[str, ...] | None = None
    warm_up: bool = False
    peer_may_fail: bool = False
    alternations: int | None = None


def alternate(
    contest: Contest, *, alternations: int, folder: Path, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run both sides in turns, the first one changing, and return all measurements as plain values.

    A round in which a side failed is dropped and its failure kept; without a round left there is no result.
    """
    rounds: list[dict[str, Any]] = []
    failures: list[str] = []
    if contest.warm_up:
        with suppress(RunError):
            _one_round(contest, folder, swapped=False)
    for number in range(min(alternations, contest.alternations or alternations)):
        started = time.monotonic()
        try:
            rounds.append(_one_round(contest, folder, swapped=bool(number % 2)))
            tell(f"  {contest.stage}: round {number + 1} took {time.monotonic() - started:.0f} s")
        except RunError as error:
            failures.append(str(error))
            tell(f"  {contest.stage}: round {number + 1} is no result: {error}")
    return {
        "stage": contest.stage,
        "work": contest.work,
        "unit": contest.unit,
        "ceiling": asdict(contest.ceiling) if contest.ceiling else None,
        "alone": contest.peer is None,
        "rounds": rounds,
        "failures": failures,
    }


def _one_round(contest: Contest, folder: Path, *, swapped: bool) -> dict[str, Any]:
    sides = {name: side for name in SIDES if (side := getattr(contest, name)) is not None}
    folders = {name: folder / f"fresh_{name}" for name in sides}
    result: dict[str, Any] = {}
    try:
        for name in reversed(sides) if swapped else sides:
            try:
                result[name] = asdict(measure(sides[name], folders[name]))
            except RunError as error:
                if name != "peer" or not contest.peer_may_fail:
                    raise RunError(f"{name}: {error}") from error
                result["peer_failed"] = str(error)
        if contest.agreement and set(SIDES) <= set(result):
            words = tuple(word.format(**folders) for word in contest.agreement)
            result["agreement"] = dict(measure(Side(words=words), folder / "fresh_agreement").said)
    finally:
        for path in (*folders.values(), folder / "fresh_agreement"):
            shutil.rmtree(path, ignore_errors=True)
    return result


def measure(side: Side, fresh: Path) -> Measurement:
    """Run a side to its end in an empty folder of its own.

    Raises:
        RunError: It ended with an error, took too long, or lacks results.
    """
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "temporary").mkdir(parents=True)
    words = [word.replace(FRESH, str(fresh)) for word in side.words]
    variables = {name: value.replace(FRESH, str(fresh)) for name, value in {**CACHES, **side.environment}.items()}
    limit = partial(_limit_addresses, side.address_limit) if side.address_limit else None
    output = fresh / "output.txt"
    started = time.monotonic()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            words,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | variables,
            start_new_session=True,
            preexec_fn=limit,
        )
    with _watched_memory(process.pid) as peaks, _killed_after(side.longest, process.pid):
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
    _kill_session(process.pid)
    process.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text(errors="replace")
    if wall >= side.longest:
        raise RunError(f"not done after {side.longest:.0f} s: {_last_words(text)}")
    _require_success(side, process.returncode, text, fresh)
    said = reported(text)
    return Measurement(
        seconds=float(said.pop("seconds", wall)),
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=max([_peak_of_its_own(usage), *peaks]),
        said=said,
    )


def reported(text: str) -> dict[str, Any]:
    """What a side reported in its output; nothing where it reported nothing."""
    lines = [line for line in text.splitlines() if line.startswith(RESULT)]
    return dict(json.loads(lines[-1].removeprefix(RESULT))) if lines else {}


# ------------------------------------------------------------------------- for the sides themselves


def report(**values: Any) -> None:
    """Tell the harness what was measured inside of this process."""
    print(RESULT + json.dumps(values), flush=True)


@contextmanager
def timed_work() -> Iterator[dict[str, float]]:
    """Time the work inside, and its memory beyond what was held before: `seconds` and `beyond_bytes`."""
    values: dict[str, float] = {}
    Path("/proc/self/clear_refs").write_text("5")  # the kernel forgets the peak so far
    before = _own_memory("VmRSS")
    started = time.perf_counter()
    yield values
    values["seconds"] = time.perf_counter() - started
    values["beyond_bytes"] = _own_memory("VmHWM") - before


# -------------------------------------------------------------------------------------- processes


def memory_of_session(session: int) -> int:
    """Bytes of all processes of a session; pages that several share are counted in parts."""
    return sum(_proportional_memory(process) for process in processes_of_session(session))


def processes_of_session(session: int) -> list[int]:
    """The processes that a side has started, however their parents ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                found.append(int(path.name))
    return found


def _peak_of_its_own(child: resource.struct_rusage) -> int:
    """The kernel's peak of a child in bytes; 0 where it may be this process's, of which every child is a copy at first."""
    return 1024 * child.ru_maxrss if child.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss else 0


def _proportional_memory(process: int) -> int:
    with suppress(OSError):
        match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
        return int(match[1]) * 1024 if match else 0
    return 0


def _own_memory(name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


@contextmanager
def _watched_memory(session: int) -> Iterator[list[int]]:
    peaks = [0]
    ended = threading.Event()

    def watch() -> None:
        pause = 0.0
        while not ended.wait(pause):
            started = time.monotonic()
            peaks[0] = max(peaks[0], memory_of_session(session))
            pause = max(SAMPLING_PAUSE, (time.monotonic() - started) / SAMPLING_SHARE)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


@contextmanager
def _killed_after(seconds: float, session: int) -> Iterator[None]:
    timer = threading.Timer(seconds, _kill_session, [session])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kill_session(session: int) -> None:
    """End what a side has left running."""
    for process in processes_of_session(session):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _limit_addresses(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _require_success(side: Side, code: int, text: str, fresh: Path) -> None:
    if code:
        raise RunError(f"exit code {code}: {_last_words(text)}")
    if side.produces:
        pattern, wanted = side.produces
        found = len(list(fresh.glob(pattern)))
        if found != wanted:
            raise RunError(f"made {found} of {wanted} files {pattern}: {_last_words(text)}")


def _last_words(text: str) -> str:
    """The last error that was named, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Failed)\b", line)]
    return (errors or lines or ["nothing was said"])[-1][:300]


def words_of(*words: object) -> tuple[str, ...]:
    """A command's words as text."""
    return tuple(map(str, words))


def median(values: Sequence[float]) -> float:
    """The middle value, the mean of the two in the middle of an even number."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
