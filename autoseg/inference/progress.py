"""How far a prediction is: a bar that moves with every tile, and without a terminal a line now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from autoseg.parallel import progress

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0
"""Without a terminal; cases that take less are not spoken of."""


class TileProgress:
    """The progress of many cases, in tiles of the one at hand.

    Args:
        cases: How many there are.
        done: How many of them are finished already.
        clock: Seconds, of any origin.
    """

    def __init__(self, cases: int, *, done: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.cases = cases
        self.number = done
        self.clock = clock
        self.bar = progress(0, "predicting", unit="tile")

    def __enter__(self) -> TileProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def start(self, identifier: str) -> Callable[[int, int], None]:
        """Turn to the next case; what is returned is called with the tiles done, and with all of them."""
        self.number += 1
        name = f"{identifier} ({self.number} of {self.cases})"
        self.bar.reset(0)
        self.bar.set_description(f"predicting {name}")
        began: tuple[float, int] | None = None  # when, after how many tiles: the first comes after preparation
        said = self.clock()

        def show(done: int, tiles: int) -> None:
            nonlocal began, said
            self.bar.total = tiles
            self.bar.update(done - self.bar.n)
            now = self.clock()
            began = began or (now, done)
            if self.bar.disable and now - said >= SECONDS_BETWEEN_LINES and began[1] < done < tiles:
                said = now
                left = (now - began[0]) / (done - began[1]) * (tiles - done)
                log.info("%s: %d of %d tiles, about %s left", name, done, tiles, _duration(left))

        return show


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(1, minutes)} min"
