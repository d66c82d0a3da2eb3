"""What every worker process needs: to end with its parent, a lock of its own for the terminal, words for how it died."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import wait

from tqdm import tqdm

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)

SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl(2)."""


def end_with_parent() -> None:
    """Have this worker end, even in the middle of its work, when the process that started it ends in any way."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    try:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()
    except RuntimeError:  # no thread can be started
        if sys.platform != "linux":
            raise
    if sys.platform == "linux" and os.getppid() == parent.pid:
        death_notice(signal.SIGKILL)()  # reaches also a worker whose library lets no other thread run


def death_notice(number: signal.Signals) -> Callable[[], object]:
    """What a process of Linux calls to be sent a signal when its parent dies; made before a fork, it is safe after it."""
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(SET_PARENT_DEATH_SIGNAL, int(number))


def describe_death(exit_code: int | None) -> str:
    """How a process ended that should have lived: "was killed, most likely because memory ran out"."""
    if exit_code == -signal.SIGKILL:
        return "was killed, most likely because memory ran out"
    if exit_code is None or exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"crashed ({name})" if -exit_code in CRASHES else f"was stopped by {name}"


def use_own_terminal_lock() -> None:
    """Replace the progress bar's lock, which forked workers share: one killed while it logs would keep it for ever."""
    tqdm.set_lock(threading.RLock())


def _end_after(parent: int) -> None:
    wait([parent])
    os._exit(1)
