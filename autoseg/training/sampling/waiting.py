"""How long the network stood idle because no batch was there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import torch

from autoseg.words import counted

log = logging.getLogger(__name__)

T = TypeVar("T")

MUCH = 0.1
"""Of an epoch's time; what is less no remedy would make up for."""

SECONDS_JUDGED = 10.0
"""Of an epoch that is shorter the share says little."""


class Stopwatch(Protocol):
    """Adds up spans between two places of the training, as the device sees them."""

    def begin(self) -> None:
        """All work so far is handed to the device."""

    def end(self) -> None:
        """There is more to do."""

    def seconds(self) -> float:
        """All spans since this was last asked."""


class WallStopwatch:
    """For a device that works while the program waits for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = self._sum = 0.0

    def begin(self) -> None:
        self._begun = self._clock()

    def end(self) -> None:
        self._sum += self._clock() - self._begun

    def seconds(self) -> float:
        spent, self._sum = self._sum, 0.0
        return spent


class CudaStopwatch:
    """For a GPU, which may still be at work while the program waits for a batch: it notes the times itself.

    Nothing waits for the device before `seconds` is asked.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.current_stream(device)
        self._spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def begin(self) -> None:
        self._begun = self._noted()

    def end(self) -> None:
        self._spans.append((self._begun, self._noted()))

    def seconds(self) -> float:
        spans, self._spans = self._spans, []
        if spans:
            spans[-1][1].synchronize()
        return float(sum(begun.elapsed_time(ended) for begun, ended in spans)) / 1000  # CUDA tells milliseconds

    def _noted(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event


class Waiting:
    """Watches how batches come.

    Args:
        workers: Processes that make them.
        cores: Of this machine.
        only_read: Whether workers leave it to the device to vary what they read.
        clock: Seconds, from anywhere.
    """

    def __init__(
        self,
        stopwatch: Stopwatch,
        *,
        workers: int,
        cores: int,
        only_read: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stopwatch = stopwatch
        self.workers = workers
        self._cores = cores
        self._only_read = only_read
        self._clock = clock
        self._since: float | None = None
        self._told = False

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches; the first one, for which workers start, is not waited for in vain."""
        coming = iter(batches)
        for first in coming:
            self._since = self._clock()
            yield first
            break
        while True:
            self._stopwatch.begin()
            batch = next(coming, None)
            self._stopwatch.end()
            if batch is None:
                return
            yield batch

    def share(self) -> float:
        """Of the time since this was last asked; a warning once where it is much."""
        waited, now = self._stopwatch.seconds(), self._clock()
        passed = now - (now if self._since is None else self._since)
        self._since = now
        share = min(1.0, waited / passed) if passed > 0 else 0.0
        if share > MUCH and passed >= SECONDS_JUDGED and not self._told:
            self._told = True
            log.warning("the network waited for batches in %.0f %% of this epoch: %s", 100 * share, self._remedy())
        return share

    def _remedy(self) -> str:
        made_by = f"{counted(self.workers, 'worker')} on {counted(self._cores, 'core')}"
        if self.workers < self._cores:
            return f"{made_by} cannot make them fast enough; try more (`settings.workers={self._cores}`)"
        if self._only_read:
            return f"{made_by} cannot read them fast enough; bring the prepared cases to a faster disk, or ask for more cores"
        return (
            f"{made_by} cannot make them fast enough; ask for more cores, or choose a trainer that varies images less "
            "(TrainerNoAugmentation)"
        )


def stopwatch_for(device: torch.device) -> Stopwatch:
    """Of what the device needs."""
    return CudaStopwatch(device) if device.type == "cuda" else WallStopwatch()
