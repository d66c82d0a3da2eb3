"""How fast this machine is at most: bytes copied and floating point operations done in a second.

Run by `compare.py` in autoseg's environment. Each rate is the best of several tries.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["autoseg"])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick

    import torch

    import autoseg
    from autoseg.networks.precision import resolve_precision

    bf16 = resolve_precision("auto", torch.device("cpu")).name == "bf16"
    values: dict[str, Any] = {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "autoseg": autoseg.__version__,
        "bf16": bf16,
    }
    for threads, count in (("all", torch.get_num_threads()), ("one", 1)):
        torch.set_num_threads(count)
        values[f"copy_{threads}"] = copy_rate(quick)
        values[f"fp32_{threads}"] = arithmetic_rate(torch.float32, quick)
        values[f"bf16_{threads}"] = arithmetic_rate(torch.bfloat16, quick) if bf16 else 0.0
    report(**values)


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    text = Path("/proc/cpuinfo").read_text()
    names = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", text, re.MULTILINE))
    return f"{names.get('model name', 'unknown')} (family {names.get('cpu family')}, model {names.get('model')})"


def copy_rate(quick: bool) -> float:
    """Bytes read and written in a second by copying what no cache holds."""
    import torch

    source = torch.ones(2**20 if quick else 2**27)
    target = torch.empty_like(source)
    return 2 * source.nbytes / fastest(lambda: target.copy_(source), 3 if quick else 8)


def arithmetic_rate(kind: Any, quick: bool) -> float:
    """Operations (a multiplication and an addition are two) in a second of matrix products or convolutions, the better."""
    import torch

    side, patch = (256, 8) if quick else (3072, 48)
    first, second = (torch.randn(side, side).to(kind) for _ in range(2))
    rates = [2 * side**3 / fastest(lambda: first @ second, 3)]
    for channels in (64, 128):
        data = torch.randn(2, channels, patch, patch, patch).to(kind, memory_format=torch.channels_last_3d)
        layer = torch.nn.Conv3d(channels, channels, 3, padding=1).to(kind, memory_format=torch.channels_last_3d)
        with torch.inference_mode():
            seconds = fastest(lambda data=data, layer=layer: layer(data), 3)
        rates.append(2 * 27 * channels**2 * data[:, 0].numel() / seconds)
    return max(rates)


def fastest(work: Callable[[], object], tries: int) -> float:
    """Seconds of the quickest of several tries, after one that warms up."""
    work()
    taken = []
    for _ in range(tries):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


if __name__ == "__main__":
    main()
