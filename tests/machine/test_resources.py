"""Cores and memory: a folder stands for the root, as a container, a scheduler or a plain machine would show it."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.machine import resources
from autoseg.machine.resources import available_cores, available_memory, memory_limits

GB = 10**9
PIECES, PIECE = 20, 6 * 2**20
MEMINFO = "MemTotal: 64000000 kB\nMemFree: 1000 kB\nMemAvailable: 32000000 kB\n"
NO_LIMIT_V1 = "9223372036854771712"


def root_with(folder: Path, files: dict[str, str]) -> Path:
    for name, content in {"proc/meminfo": MEMINFO, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return folder


def v1(folder: str, limit: str, used: int, reclaimable: int = 0) -> dict[str, str]:
    at = f"sys/fs/cgroup/memory/{folder}"
    return {
        f"{at}/memory.limit_in_bytes": limit,
        f"{at}/memory.usage_in_bytes": str(used),
        f"{at}/memory.stat": f"inactive_file 5\ntotal_inactive_file {reclaimable}",
    }


def v2(folder: str, limit: str, used: int, reclaimable: int = 0, top: str = "sys/fs/cgroup") -> dict[str, str]:
    at = f"{top}/{folder}"
    return {
        f"{at}/memory.max": limit,
        f"{at}/memory.high": "max",
        f"{at}/memory.current": str(used),
        f"{at}/memory.stat": f"anon 7\ninactive_file {reclaimable}",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 32_768_000_000, id="no groups: what is free"),
        pytest.param({"proc/self/cgroup": "0::/", **v2("", str(4 * GB), GB)}, 3 * GB, id="container of version 2"),
        pytest.param(
            {"proc/self/cgroup": "0::/", **v2("", str(4 * GB), 3 * GB, 2 * GB)}, 3 * GB, id="file pages are given back"
        ),
        pytest.param({"proc/self/cgroup": "0::/", **v2("", "max", GB)}, 32_768_000_000, id="no limit"),
        pytest.param(
            {"proc/self/cgroup": "0::/slurm/job_7/step_0", **v2("slurm/job_7/step_0", str(8 * GB), 2 * GB)},
            6 * GB,
            id="nested, own group",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/slurm/job_7/step_0",
                **v2("slurm/job_7/step_0", "max", GB),
                **v2("slurm/job_7", str(5 * GB), 3 * GB),
                **v2("slurm", str(40 * GB), 20 * GB),
            },
            2 * GB,
            id="nested, an outer group",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/a", **v2("a", "max", GB), "sys/fs/cgroup/a/memory.high": str(4 * GB)},
            3 * GB,
            id="a limit from which on it is slowed down",
        ),
        pytest.param(
            {"proc/self/cgroup": "4:memory:/docker/1f2e\n1:cpu:/", **v1("", str(2 * GB), GB)},
            GB,
            id="container of version 1, which does not see the name of its own group",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "9:cpu,cpuacct:/x\n4:memory:/jobs/7",
                **v1("", NO_LIMIT_V1, 50 * GB),
                **v1("jobs", str(20 * GB), 19 * GB, 5 * GB),
                **v1("jobs/7", str(16 * GB), 4 * GB),
            },
            6 * GB,
            id="nested, version 1",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:memory:/jobs/7\n0::/scope",
                **v1("jobs/7", NO_LIMIT_V1, 0),
                **v2("scope", str(7 * GB), GB, top="sys/fs/cgroup/unified"),
            },
            6 * GB,
            id="both versions at once",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/../other", **v2("", str(4 * GB), GB)},
            3 * GB,
            id="a group outside of what is seen",
        ),
        pytest.param({"proc/self/cgroup": "0::/", **v2("", str(GB), 2 * GB)}, 0, id="over the limit already"),
        pytest.param({**v2("", str(4 * GB), GB)}, 3 * GB, id="nobody says which group"),
    ],
)
def test_memory_is_what_is_free_and_what_every_group_allows(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert available_memory(root_with(tmp_path, files)) == expected


def test_a_limit_names_its_group(tmp_path: Path) -> None:
    root = root_with(tmp_path, {"proc/self/cgroup": "0::/a/b", **v2("a", str(4 * GB), GB)})

    (limit,) = memory_limits(root)
    assert (limit.group, limit.limit, limit.free) == (root / "sys/fs/cgroup/a", 4 * GB, 3 * GB)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "100000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "25000 100000"}, 0.25),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "150000 100000"}, 1.5),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/a",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "120000",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            },
            1.2,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
    ],
)
def test_cores_are_those_of_the_affinity_and_of_every_groups_quota(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    root = root_with(tmp_path, files)
    own = len(os.sched_getaffinity(0))

    assert resources.core_quotas(root) == ([] if quota is None else [quota])
    assert available_cores(root) == (own if quota is None else max(1, min(own, round(quota))))


def test_without_any_word_of_the_system_there_is_still_an_answer(tmp_path: Path) -> None:
    assert available_memory(tmp_path) == resources.UNKNOWN_MEMORY
    assert available_cores(tmp_path) >= 1


def test_the_machine_is_asked_for_what_is_really_there() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    assert 10**7 < available_memory() < 10**14


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to do with freed memory")
def test_freed_memory_is_used_again_without_asking_the_system_for_it() -> None:
    pages = int(faults_of("from autoseg.machine.resources import keep_freed_memory; keep_freed_memory()"))

    assert pages < PIECES * PIECE // resource.getpagesize() // 10
    assert int(faults_of("")) > pages + PIECES * PIECE // resource.getpagesize() // 2


def faults_of(preparation: str) -> str:
    """Pages that a process was given by the system when it allocated, a second time, as much as it had freed."""
    script = f"""
import resource
{preparation}
def allocate():
    return [b"1" * {PIECE} for _ in range({PIECES})]
allocate()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
allocate()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
