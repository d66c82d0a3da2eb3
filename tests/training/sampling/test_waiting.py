from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch

from autoseg.training.sampling.waiting import CudaStopwatch, Waiting, WallStopwatch, stopwatch_for


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def train(clock: Clock, watched: Waiting, batches: int, *, make: float, step: float) -> None:
    def made() -> Iterator[int]:
        for number in range(batches):
            clock.now += make
            yield number

    numbers = []
    for number in watched.watch(made()):
        clock.now += step
        numbers.append(number)
    assert numbers == list(range(batches))


def watcher(clock: Clock, workers: int = 2, cores: int = 2, *, only_read: bool = False) -> Waiting:
    return Waiting(WallStopwatch(clock), workers=workers, cores=cores, only_read=only_read, clock=clock)


def test_the_share_is_of_the_time_since_the_first_batch() -> None:
    clock = Clock()
    watched = watcher(clock)
    train(clock, watched, 5, make=1.0, step=3.0)
    assert watched.share() == pytest.approx(4 / 19)  # five steps, and four batches after the first
    assert watched.share() == 0.0


@pytest.mark.parametrize(
    ("workers", "cores", "only_read", "remedy"),
    [
        (1, 8, False, "1 worker on 8 cores cannot make them fast enough; try more (`settings.workers=8`)"),
        (
            8,
            8,
            False,
            "8 workers on 8 cores cannot make them fast enough; ask for more cores, or choose a trainer that varies images "
            "less (TrainerNoAugmentation)",
        ),
        (
            8,
            8,
            True,
            "8 workers on 8 cores cannot read them fast enough; bring the prepared cases to a faster disk, or ask for more "
            "cores",
        ),
    ],
)
def test_much_waiting_is_told_once_with_a_remedy(
    workers: int, cores: int, only_read: bool, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    clock = Clock()
    watched = watcher(clock, workers, cores, only_read=only_read)
    for _ in range(2):
        train(clock, watched, 11, make=1.0, step=1.0)
        watched.share()
    (message,) = caplog.messages
    assert message == f"the network waited for batches in 48 % of this epoch: {remedy}"


def test_little_waiting_and_short_epochs_are_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    watched = watcher(clock)
    train(clock, watched, 20, make=0.1, step=1.0)
    assert 0.08 < watched.share() < 0.1
    train(clock, watched, 2, make=2.0, step=1.0)
    assert watched.share() > 0.3
    assert not caplog.messages


def test_a_gpu_notes_the_times_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is idle between the end of its work, here 40 ms after that was handed over, and what comes next."""
    clock = Clock()

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: object) -> None:  # noqa: ARG002
            self.reached = max(clock.now, busy_until[0])

        def elapsed_time(self, other: Event) -> float:
            return 1000 * (other.reached - self.reached)

        def synchronize(self) -> None:
            waited_for.append(self)

    busy_until, waited_for = [0.0], []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: device)
    stopwatch = stopwatch_for(torch.device("cuda", 0))
    assert isinstance(stopwatch, CudaStopwatch)
    for wait in (0.01, 0.04, 0.07):
        busy_until[0] = clock.now + 0.04
        stopwatch.begin()
        clock.now += wait
        stopwatch.end()
    assert not waited_for
    assert stopwatch.seconds() == pytest.approx(0.03)
    assert len(waited_for) == 1
    assert stopwatch.seconds() == 0.0
