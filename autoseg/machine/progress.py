"""The bar that shows how far work on many things has come."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from autoseg.machine.workers import use_own_terminal_lock

use_own_terminal_lock()


def progress(total: int | None, task: str, *, unit: str = "case", since: float | None = None) -> tqdm[Any]:
    """A progress bar with the time left; silent where there is no terminal.

    Args:
        total: None where it is not known yet: then the task alone is shown until `reset` tells it.
        since: When the first item was begun, as `time.time` has it; None for now.
    """
    is_closed = sys.stderr is None or getattr(sys.stderr, "closed", False)
    bar: tqdm[Any] = tqdm(
        total=total,
        desc=task,
        unit=unit,
        unit_scale=unit == "B",
        bar_format="{desc}" if total is None else None,
        disable=True if is_closed else None,
        leave=False,
        dynamic_ncols=True,
    )
    if since is not None:
        bar.start_t = bar.last_print_t = since
    return bar
