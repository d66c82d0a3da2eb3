"""What helps against an error of the operating system, by its number, and which limit of this process it met."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from autoseg.errors import LimitError, StorageError
from autoseg.words import counted, in_bytes

if sys.platform != "win32":
    import resource

LOOK_AT_ALL = "check that it exists, its permissions and the space left"
"""For errors that nobody thought of."""

MOST_OPEN_FILES = 65_536
"""As many as any work of ours needs; containers allow a thousand million, which some programs would go through one by one."""

LIBRARY_OF_THREADS = os.path.join("numpy", "_core", "multiarray.py")  # noqa: PTH118
"""Where OpenBLAS is loaded. When it cannot start its threads it sends its own process what Ctrl-C sends."""

LESS = "use fewer workers, or a smaller batch or patch"

SHORT_OF_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "failed to map segment",
)
SHORT_OF_THREADS = ("can't start new thread", "thread creation failed", "resource temporarily unavailable")
"""How libraries say it that raise nothing better than RuntimeError or ImportError."""

SHORT_OF_OPEN_FILES = ("too many open files", "items of ancdata")
"""The second is said where another process hands over an open file, and this one has no number left for it."""


def describe_os_error(error: OSError) -> str:
    """Which file, what is wrong, what helps."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; {remedy(error)}"


def remedy(error: OSError, otherwise: str = "") -> str:
    """What helps against it.

    Args:
        otherwise: Said of the file's room and permissions, and of what nobody thought of.
    """
    number = error.errno or 0
    return _of_a_limit(number) or OF_A_NAME.get(number) or otherwise or OF_A_FILE.get(number, LOOK_AT_ALL)


def cannot_be_read(path: Path, error: OSError) -> LimitError | StorageError:
    """The error for a file that the system does not let us read; where a limit is met, it is not the file's."""
    problem = f"{path}: cannot be read: {error.strerror or error}"
    told = _of_a_limit(error.errno or 0)
    return LimitError(f"{problem}; {told}") if told else StorageError(problem)


def pass_on_limit(error: Exception, path: Path) -> None:
    """Raise `LimitError` where a limit is what kept a file from being read, so that the file is not taken for damaged."""
    if isinstance(error, OSError) and error.errno in LIMITS:
        raise cannot_be_read(path, error) from error


def shortage(error: BaseException, less: str = LESS) -> str | None:
    """What ran out and what helps, where an error means that; None where it is another.

    Libraries raise what they like: MemoryError, torch a RuntimeError, the loader of a library an ImportError.

    Args:
        less: How to take less memory.
    """
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in SHORT_OF_MEMORY):
        return f"out of memory; {_memory(less)}"
    if any(words in text for words in SHORT_OF_OPEN_FILES):
        return f"too many open files; {_open_files()}"
    if isinstance(error, RuntimeError | OSError) and any(words in text for words in SHORT_OF_THREADS):
        return f"no thread or process could be started; {_processes()}"
    return None


def address_space() -> int | None:
    """Bytes of address space that `ulimit -v` allows this process; None without such a limit."""
    return _limit("RLIMIT_AS")


def open_files() -> int | None:
    """How many files `ulimit -n` allows this process to have open; None without such a limit."""
    return _limit("RLIMIT_NOFILE")


def allow_open_files() -> None:
    """Raise the soft limit of open files, which every process may, up to what the system allows this one."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS allows fewer than it says
            return


def tell_shortage_of_imports() -> None:
    """Where a limit is set, say so in one line if libraries cannot even be loaded, before a command can say anything."""
    if address_space() is not None or _limit("RLIMIT_NPROC") is not None:
        sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    told = shortage(error)
    if told is None and isinstance(error, KeyboardInterrupt) and _innermost(trace).endswith(LIBRARY_OF_THREADS):
        told = f"no thread could be started; {_processes()}"
    if told is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(f"autoseg: {told}", file=sys.stderr)


def _innermost(trace: TracebackType | None) -> str:
    """The file in which an error arose."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else trace.tb_frame.f_code.co_filename


def _of_a_limit(number: int) -> str:
    return LIMITS[number]() if number in LIMITS else ""


def _limit(name: str) -> int | None:
    if sys.platform == "win32" or not hasattr(resource, name):
        return None
    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft == resource.RLIM_INFINITY else soft


def _open_files() -> str:
    number = open_files()
    allowed = "" if number is None else f"this process may have {number} open (ulimit -n); "
    return f"{allowed}raise it (ulimit -n 4096) where you start it, or use fewer workers"


def _memory(less: str = LESS) -> str:
    for name, flag, what in (("RLIMIT_AS", "-v", "address space"), ("RLIMIT_DATA", "-d", "memory")):
        if (number := _limit(name)) is not None:
            return (
                f"this process may have {in_bytes(number)} of {what} (ulimit {flag}); raise it (ulimit {flag} unlimited) "
                f"where you start it, or {less}"
            )
    return less


def _processes() -> str:
    number = _limit("RLIMIT_NPROC")
    allowed = (
        ""
        if number is None
        else f"you may have {counted(number, 'process or thread', 'processes and threads')} (ulimit -u); "
    )
    space = "" if address_space() is None else f", and the address space ({in_bytes(address_space() or 0)}, ulimit -v)"
    return f"{allowed}raise that limit{space} where you start it, or use fewer workers and threads (OMP_NUM_THREADS=1)"


def _file_size() -> str:
    number = _limit("RLIMIT_FSIZE")
    allowed = "" if number is None else f"this process may write files of {in_bytes(number)} (ulimit -f); "
    return (
        f"{allowed}raise it (ulimit -f unlimited) where you start it, or write to a file system that holds larger files"
    )


LIMITS: dict[int, Callable[[], str]] = {
    errno.EMFILE: _open_files,
    errno.ENOMEM: _memory,
    errno.EAGAIN: _processes,
    errno.EFBIG: _file_size,
    errno.ENFILE: lambda: "all programs of this machine have too many files open together; end some of them",
    errno.EIO: lambda: "the disk, or the network to it, fails; look at the system's messages (dmesg)",
    errno.ESTALE: lambda: "the network file system has lost it; run the same command again",
    errno.EPIPE: lambda: "the program at the other end has ended; run the same command again",
}
"""Of the process or the machine: no other file would do better."""

OF_A_NAME = {
    errno.ENOENT: "check that it and its folder exist",
    errno.ENOTDIR: "a part of this path is a file; check the path",
    errno.EISDIR: "a folder has this name; name a file, or move the folder away",
    errno.EEXIST: "move away what has this name, or name another",
    errno.ENAMETOOLONG: "use shorter names",
    errno.ELOOP: "a link leads back to itself; remove it",
    errno.EBUSY: "another program uses it; end that first",
}
"""Whether the file is read or written."""

OF_A_FILE = {
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EROFS: "nothing can be written there; name another folder",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "your quota there is used up; make room",
}
