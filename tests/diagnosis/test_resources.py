from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.diagnosis.resources import check_cores, check_memory, check_shared_memory

GB = 10**9


def root_with(folder: Path, *, free: int, limit: int | None = None, quota: str = "max") -> Path:
    group = folder / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (folder / "proc").mkdir()
    (folder / "proc/meminfo").write_text(f"MemAvailable: {free // 1000} kB\n")
    (group / "memory.max").write_text(str(limit or "max"))
    (group / "memory.current").write_text("0")
    (group / "cpu.max").write_text(f"{quota} 100000")
    return folder


@pytest.mark.parametrize(
    ("free", "limit", "level", "found"),
    [
        (32 * GB, None, "ok", "32.8 GB free"),
        (32 * GB, 16 * GB, "ok", "16.0 GB free; 16.0 GB are allowed by {root}/sys/fs/cgroup"),
        (32 * GB, 4 * GB, "warning", "4.0 GB free; 4.0 GB are allowed by {root}/sys/fs/cgroup"),
        (4 * GB, None, "warning", "4.1 GB free"),
        (1 * GB, None, "fault", "1.0 GB free"),
    ],
)
def test_memory_is_judged_by_what_is_left(tmp_path: Path, free: int, limit: int | None, level: str, found: str) -> None:
    (diagnosis,) = check_memory(root_with(tmp_path, free=free, limit=limit))

    assert (diagnosis.level, diagnosis.found) == (level, found.format(root=tmp_path))
    assert ("docker run --memory" in diagnosis.remedy) == (limit == 4 * GB)
    assert bool(diagnosis.remedy) == (level != "ok")


def test_cores_are_told_with_who_limits_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    there, own = os.cpu_count() or 1, len(os.sched_getaffinity(0))
    if own != there or there < 2:
        pytest.skip("needs all of at least two cores")

    (plain,) = check_cores(root_with(tmp_path / "a", free=GB))
    (limited,) = check_cores(root_with(tmp_path / "b", free=GB, quota="50000"))
    assert (plain.level, plain.found) == ("ok", f"{there} cores")
    assert limited.found == f"1 of {there} cores; a control group allows the time of 0.5"

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        (pinned,) = check_cores(root_with(tmp_path / "c", free=GB))
    finally:
        os.sched_setaffinity(0, range(there))
    assert pinned.found == f"1 of {there} cores, by the affinity this process was given"


def test_threads_held_back_by_a_variable_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    (diagnosis,) = check_cores(root_with(tmp_path, free=GB))
    assert diagnosis.level == "warning" and diagnosis.found.endswith("cores, but OMP_NUM_THREADS=1")
    assert diagnosis.remedy.startswith("unset OMP_NUM_THREADS")


def test_little_shared_memory_is_told_with_the_remedy(tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    (tmp_path / "dev").mkdir()
    assert check_shared_memory(tmp_path)[0].found == "not limited on this system"

    (tmp_path / "dev/shm").symlink_to(small_disk(64 * 10**6))
    (diagnosis,) = check_shared_memory(tmp_path)
    assert (diagnosis.level, diagnosis.found) == ("warning", "64 MB free in /dev/shm")
    assert diagnosis.remedy.startswith("docker run --shm-size 8g")
