"""How far a prediction is: a bar that moves with every tile, and without a terminal a line now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from autoseg.machine.progress import progress
from autoseg.words import MINUTE, counted, time_span

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0
"""Without a terminal; cases that take less are not spoken of."""

SECONDS_OF_TILES = 10.0
"""Of the first case, after which the rest is estimated; the very first tile is not counted, as the network starts with it."""

MANY_TILES = 100
"""Of the first case, from which they are told: fewer are soon done."""

WORTH_SAYING = 120.0
LONG_CASE = 3600.0
"""Seconds: all cases together, from which their time is told; one case, from which a warning says what takes less."""


class TileProgress:
    """The progress of many cases, in tiles of the one at hand.

    Args:
        cases: How many there are.
        done: How many of them are finished already.
        remedy: What takes less time, said where a case takes long; without it nothing is said of the first case.
        clock: Seconds, of any origin.
    """

    def __init__(
        self, cases: int, *, done: int = 0, remedy: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.cases = cases
        self.remedy = remedy
        self.number = done
        self.clock = clock
        self.estimated = ""
        self.told = self.told_time = self.warned = False
        self.bar = progress(None, "predicting", unit="tile")

    def __enter__(self) -> TileProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def start(self, identifier: str) -> Callable[[int, int], None]:
        """Turn to the next case; what is returned is called with the tiles done, and with all of them."""
        self.number += 1
        name = f"{identifier} ({self.number} of {self.cases})"
        self.bar.bar_format = "{desc}"  # until the tiles are known
        self.bar.set_description_str(f"predicting {name}")
        began: tuple[float, int] | None = None  # when, after how many tiles: the first comes after preparation
        said = self.clock()

        def show(done: int, tiles: int) -> None:
            nonlocal began, said
            if self.bar.bar_format is not None:
                self.bar.bar_format = None
                self.bar.set_description(f"predicting {name}", refresh=False)
                self.bar.reset(tiles)
            self.bar.update(done - self.bar.n)
            now = self.clock()
            if not done:
                self._tell_tiles(name, tiles)
                return
            began = began or (now, done)
            self._estimate(name, now - began[0], done - began[1], tiles)
            if self.bar.disable and now - said >= SECONDS_BETWEEN_LINES and began[1] < done < tiles:
                said = now
                left = (now - began[0]) / (done - began[1]) * (tiles - done)
                log.info("%s: %d of %s, about %s left", name, done, counted(tiles, "tile"), _in_minutes(left))

        return show

    def _tell_tiles(self, name: str, tiles: int) -> None:
        """Of the first case, before the network starts."""
        if self.remedy and not self.told and tiles >= MANY_TILES:
            log.info("%s: %s", name, counted(tiles, "tile"))
        self.told = True

    def _estimate(self, name: str, seconds: float, done: int, tiles: int) -> None:
        """From a case's first tiles how long it takes; once how long all do if they are as large, once what takes less."""
        if not self.remedy or self.estimated == name or seconds < SECONDS_OF_TILES or not done:
            return
        self.estimated = name
        case, left = seconds / done * tiles, self.cases - self.number + 1
        if not self.told_time and case * left >= WORTH_SAYING:
            self.told_time = True
            several = (
                f", {_in_minutes(case * left)} for {counted(left, 'case')} if they are as large" if left > 1 else ""
            )
            log.info("%s: about %s%s", name, _in_minutes(case), several)
        if not self.warned and case >= LONG_CASE:
            self.warned = True
            log.warning(
                "%s: %s about %s; %s", name, counted(tiles, "tile takes", "tiles take"), _in_minutes(case), self.remedy
            )


def _in_minutes(seconds: float) -> str:
    return time_span(max(MINUTE, seconds), smallest=MINUTE)
