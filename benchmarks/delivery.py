"""How many batches a second workers would deliver on a machine with a core for each, from samples timed one by one here.

`python benchmarks/delivery.py --before_python OLD/bin/python` prints a table: patches of 128x128x128 in batches of two,
made by an earlier version (each batch belongs to a fixed worker, two at most ahead) and by this one (any free worker
takes the next, six ahead), with cubic and with linear interpolation.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness import Side, measure, report, words_of
from transforms import ONE_CORE, autoseg_samples

PATCH = (128, 128, 128)
BATCH = 2
WORKERS = (4, 8, 12)
BATCHES = 2000
AHEAD_BEFORE, AHEAD = 2, 6


def in_turn(batches: Sequence[float], workers: int, ahead: int) -> float:
    """Batches a second where batch i belongs to worker i modulo their number, `ahead` of each worker's at most waiting."""
    free = [0.0] * workers
    taken: list[float] = []
    for number, seconds in enumerate(batches):
        begun = max(free[number % workers], taken[number - workers * ahead] if number >= workers * ahead else 0.0)
        free[number % workers] = begun + seconds
        taken.append(max(free[number % workers], taken[-1] if taken else 0.0))
    return len(batches) / taken[-1]


def any_free(batches: Sequence[float], workers: int, ahead: int) -> float:
    """Batches a second where whoever is free takes the next one, `ahead` for each worker at most waiting."""
    free = [0.0] * workers
    taken: list[float] = []
    for number, seconds in enumerate(batches):
        allowed = taken[number - workers * ahead] if number >= workers * ahead else 0.0
        done = max(heapq.heappop(free), allowed) + seconds
        heapq.heappush(free, done)
        taken.append(max(done, taken[-1] if taken else 0.0))
    return len(batches) / taken[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before_python", type=Path, help="of an environment with an earlier autoseg")
    parser.add_argument("--samples", type=int, default=60, help="timed of each kind")
    parser.add_argument("--work", type=Path, default=Path("delivery_work"), help="a folder that may be emptied")
    parser.add_argument("--order", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--channels", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.channels:
        _time(arguments.channels, arguments.order, arguments.samples)
        return
    kinds = [("now, cubic", Path(sys.executable), 3), ("now, linear", Path(sys.executable), 1)]
    if arguments.before_python:
        kinds.insert(0, ("before", arguments.before_python, None))
    print("| channels | version | ms a sample | " + " | ".join(f"{workers} workers" for workers in WORKERS) + " |")
    print("|---|---|---|" + "---|" * len(WORKERS))
    for channels in (1, 4):
        for name, python, order in kinds:
            words = ["--channels", channels, "--samples", arguments.samples, *(["--order", order] if order else [])]
            side = Side(words=words_of(python, Path(__file__).resolve(), *words), environment=ONE_CORE)
            times = measure(side, arguments.work).said["times"]
            batches = [
                sum(times[(BATCH * number + part) % len(times)] for part in range(BATCH)) for number in range(BATCHES)
            ]
            deliver, ahead = (in_turn, AHEAD_BEFORE) if name == "before" else (any_free, AHEAD)
            rates = " | ".join(f"{deliver(batches, workers, ahead):.1f}" for workers in WORKERS)
            print(f"| {channels} | {name} | {1000 * sum(times) / len(times):.0f} | {rates} |", flush=True)


def _time(channels: int, order: int | None, samples: int) -> None:
    make = autoseg_samples(PATCH, channels, order)
    make(0)
    times = []
    for number in range(1, samples + 1):
        started = time.process_time()
        make(number)
        times.append(time.process_time() - started)
    report(times=times)


if __name__ == "__main__":
    main()
