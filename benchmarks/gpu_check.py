"""Ten minutes on one GPU: whether autoseg is right there, and what is slower than it could be.

    python benchmarks/gpu_check.py
    python benchmarks/gpu_check.py --only step,epoch --device cuda:1
    python benchmarks/gpu_check.py --small --device cpu

Each line says what was measured, what was expected of this GPU, and where it is wrong or slow what to mend. Times are
expected as on an H200, scaled by how fast this GPU copies and multiplies. Where nnU-Net v2 can be imported, its compiled training step is timed beside ours. Exit code 1 where something
is wrong; slow is not wrong.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import tempfile
import time
from pathlib import Path

SECTIONS = {
    "machine": "machine",
    "right": "right",
    "layers": "layers",
    "step": "step",
    "augment": "augmenting",
    "loader": "loading",
    "epoch": "epoch",
    "predict": "prediction",
}
"""Their modules."""


def main() -> None:
    arguments = _arguments()

    import torch
    from gpu.checks import Check, Setting, run_sections, summary
    from gpu.machine import measured

    from autoseg.errors import ModelError
    from autoseg.networks import resolve_device

    try:
        device = resolve_device(arguments.device)
    except ModelError as error:
        sys.exit(f"gpu_check.py: {error}")
    logging.getLogger("autoseg").setLevel(logging.ERROR)
    if arguments.small and device.type == "cpu":
        torch.set_num_threads(1)  # networks so small are slower with more
    begun = time.monotonic()
    sections = {name: importlib.import_module(f"gpu.{SECTIONS[name]}").checks for name in arguments.only}
    found: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="gpu_check_") as folder:
        setting = measured(Setting(device=str(device), is_small=arguments.small, folder=Path(folder), slower=None))
        for check in run_sections(sections, setting, arguments.seconds):
            found.append(check)
            print(f"[{time.monotonic() - begun:4.0f} s] {check.line()}", flush=True)
    print(summary(found))
    sys.exit(1 if any(check.verdict == "wrong" for check in found) else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cuda, cuda:1, cpu, mps; without it the best there is")
    parser.add_argument("--small", action="store_true", help="everything in its smallest form, to see that it runs")
    parser.add_argument("--only", type=_named, default=tuple(SECTIONS), help=f"some of {','.join(SECTIONS)}")
    parser.add_argument("--seconds", type=float, default=600.0, help="after which no more is measured (600)")
    return parser.parse_args()


def _named(words: str) -> tuple[str, ...]:
    names = tuple(words.split(","))
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"no section {name!r}, known are {', '.join(SECTIONS)}")
    return names


if __name__ == "__main__":
    main()
