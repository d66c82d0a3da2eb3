"""What helps against each error of the system, and which limit of the process it met."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.errors import LimitError, StorageError
from autoseg.files.storage import read_bytes
from autoseg.remedies import allow_open_files, cannot_be_read, describe_os_error, pass_on_limit, remedy, shortage


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOENT, "check that it and its folder exist"),
        (errno.EACCES, "check its permissions"),
        (errno.EPERM, "check its permissions"),
        (errno.EROFS, "nothing can be written there; name another folder"),
        (errno.ENOSPC, "make room there"),
        (errno.EDQUOT, "your quota there is used up; make room"),
        (errno.EISDIR, "a folder has this name; name a file, or move the folder away"),
        (errno.ENOTDIR, "a part of this path is a file; check the path"),
        (errno.EEXIST, "move away what has this name, or name another"),
        (errno.ENAMETOOLONG, "use shorter names"),
        (errno.ELOOP, "a link leads back to itself; remove it"),
        (errno.EBUSY, "another program uses it; end that first"),
        (errno.EIO, "the disk, or the network to it, fails; look at the system's messages (dmesg)"),
        (errno.ESTALE, "the network file system has lost it; run the same command again"),
        (errno.EPIPE, "the program at the other end has ended; run the same command again"),
        (errno.ENFILE, "all programs of this machine have too many files open together; end some of them"),
        (errno.EXDEV, "check that it exists, its permissions and the space left"),
    ],
)
def test_each_error_has_its_own_remedy(number: int, told: str) -> None:
    assert describe_os_error(OSError(number, "Wrong", "/a/b")) == f"/a/b: Wrong; {told}"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EXDEV])
def test_where_a_file_is_written_its_room_and_permissions_are_what_is_looked_at(number: int) -> None:
    assert remedy(OSError(number, "Wrong"), "look at the disk") == "look at the disk"
    assert remedy(OSError(errno.EISDIR, "Wrong"), "look at the disk").startswith("a folder has this name")


def limited(limit: int, size: int, code: str) -> str:
    """What a process with that limit prints."""
    start = "from autoseg.remedies import *\n"
    return subprocess.run(
        [sys.executable, "-c", start + code],
        preexec_fn=lambda: resource.setrlimit(limit, (size, size)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize(
    ("limit", "size", "number", "told"),
    [
        (
            resource.RLIMIT_NOFILE,
            40,
            errno.EMFILE,
            "this process may have 40 open (ulimit -n); raise it (ulimit -n 4096) where you start it, or use fewer workers",
        ),
        (
            resource.RLIMIT_FSIZE,
            5_000_000,
            errno.EFBIG,
            "this process may write files of 5 MB (ulimit -f); raise it (ulimit -f unlimited) where you start it, "
            "or write to a file system that holds larger files",
        ),
        (
            resource.RLIMIT_AS,
            2_000_000_000,
            errno.ENOMEM,
            "this process may have 2.0 GB of address space (ulimit -v); raise it (ulimit -v unlimited) where you start "
            "it, or use fewer workers, or a smaller batch or patch",
        ),
        (
            resource.RLIMIT_NPROC,
            90_000,
            errno.EAGAIN,
            "you may have 90000 processes and threads (ulimit -u); raise that limit where you start it, or use fewer "
            "workers and threads (OMP_NUM_THREADS=1)",
        ),
    ],
)
def test_a_limit_is_named_with_its_number_and_the_way_out(limit: int, size: int, number: int, told: str) -> None:
    assert limited(limit, size, f"print(describe_os_error(OSError({number}, 'Wrong')))") == f"Wrong; {told}\n"


def test_without_a_limit_there_is_only_less_to_do() -> None:
    assert shortage(MemoryError()) == "out of memory; use fewer workers, or a smaller batch or patch"
    assert shortage(MemoryError(), "use fewer workers") == "out of memory; use fewer workers"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        MemoryError("Unable to allocate 8.00 GiB for an array"),
    ],
)
def test_memory_that_ran_out_is_known_whatever_a_library_raises(error: Exception) -> None:
    assert str(shortage(error)).startswith("out of memory; ")


def test_so_are_threads_and_nothing_else_is() -> None:
    told = str(shortage(RuntimeError("can't start new thread")))
    assert told.startswith("no thread or process could be started; ")
    assert told.endswith("where you start it, or use fewer workers and threads (OMP_NUM_THREADS=1)")
    assert shortage(RuntimeError("shape mismatch")) is None
    assert shortage(OSError(errno.ENOENT, "No such file or directory")) is None


def test_a_file_is_not_blamed_for_a_limit(tmp_path: Path) -> None:
    missing, many = OSError(errno.ENOENT, "No such file or directory"), OSError(errno.EMFILE, "Too many open files")
    assert isinstance(cannot_be_read(tmp_path, missing), StorageError)
    assert isinstance(cannot_be_read(tmp_path, many), LimitError)
    pass_on_limit(missing, tmp_path)
    pass_on_limit(ValueError("damaged"), tmp_path)
    with pytest.raises(LimitError, match="cannot be read: Too many open files; this process may have "):
        pass_on_limit(many, tmp_path)


def test_reading_with_no_file_left_to_open_names_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        with pytest.raises(
            LimitError, match=r"a\.json: cannot be read: Too many open files; .* 256 open \(ulimit -n\)"
        ):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
                if len(held) > 150:
                    read_bytes(tmp_path / "a.json")
    except OSError:
        read_bytes(tmp_path / "a.json")
    finally:
        for number in held:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_of_open_files_is_raised_as_far_as_it_may_be() -> None:
    code = "import resource\nresource.setrlimit(7, (40, 300))\nallow_open_files()\nprint(*resource.getrlimit(7))"
    assert limited(resource.RLIMIT_CORE, 0, code) == "300 300\n"
    allow_open_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft in (hard, 65_536) or soft > 65_536


@pytest.mark.parametrize(
    "words", ["received 0 items of ancdata", "unable to open shared memory: Too many open files (24)"]
)
def test_so_are_open_files_that_nobody_calls_so(words: str) -> None:
    assert str(shortage(RuntimeError(words))).startswith("too many open files; this process may have ")


def test_shared_memory_that_is_full_is_no_shortage_of_memory() -> None:
    assert shortage(RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")) is None
