"""Measure autoseg against nnU-Net v2: the same work on the same data, in turns, and a table of what came out.

    python benchmarks/compare.py --peer_python /path/to/peer/bin/python --data ../shared/data

Run it with autoseg's own python. nnU-Net v2 needs an environment of its own (`pip install nnunetv2`); where its
transformer trainers cannot be imported, remove them there. `--only` takes one stage or several. The measurements go to
WORK/results.json; `tables.py` writes the table of documentation/performance.md from it. On two quiet cores all of it takes about 40 minutes.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import alternate
from setting import Setting
from tables import comparison_table, folds_table, notes

STAGES = (
    "start_up",
    "planning",
    "resampling",
    "export",
    "augmentation",
    "training",
    "prediction",
    "folds",
    "large",
)
QUICK_CASES, QUICK_PREDICTED, QUICK_ITERATIONS = 12, 2, 1


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    setting = Setting(
        autoseg_python=Path(sys.executable),
        peer_python=arguments.peer_python.absolute(),
        openvino_python=(arguments.openvino_python or Path(sys.executable)).absolute(),
        data=arguments.data,
        work=arguments.work.absolute(),
        training_cases=QUICK_CASES if arguments.quick else None,
        predicted_cases=QUICK_PREDICTED if arguments.quick else arguments.cases,
        iterations=QUICK_ITERATIONS if arguments.quick else arguments.iterations,
        device=arguments.device,
        quick=arguments.quick,
    )
    alternations = 1 if arguments.quick else arguments.alternations
    _forget_folders_of_others()
    setting.work.mkdir(parents=True, exist_ok=True)
    content = {"machine": setting.rates, "date": f"{datetime.date.today()}", "quick": arguments.quick, "contests": []}
    for stage in arguments.only:
        content["contests"] += measure_stage(stage, setting, alternations)
        save(content, arguments.work)
    print(f"\n{comparison_table(content)}\n\n{folds_table(content)}\n\n{notes(content)}")
    print(f"written: {arguments.work / 'results.json'}")
    return 1 if any(contest["failures"] for contest in content["contests"]) else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--peer_python", type=Path, required=True, help="interpreter of the environment with nnunetv2")
    made.add_argument(
        "--openvino_python", type=Path, help="interpreter of an environment with autoseg[openvino] (default: this one)"
    )
    made.add_argument("--data", type=Path, required=True, help="folder that holds Task04_Hippocampus")
    made.add_argument("--work", type=Path, default=Path("benchmark_work"), help="folder for everything that is made")
    made.add_argument("--only", nargs="+", choices=STAGES, default=STAGES, metavar="STAGE", help=", ".join(STAGES))
    made.add_argument("--alternations", type=int, default=3, help="rounds in which each side runs once (default: 3)")
    made.add_argument("--cases", type=int, default=8, help="cases to predict (default: 8)")
    made.add_argument("--iterations", type=int, default=6, help="iterations of training to time (default: 6)")
    made.add_argument("--device", default="cpu", help="for training and prediction: cpu or cuda (default: cpu)")
    made.add_argument("--quick", action="store_true", help="tiny sizes, once: to see that everything runs")
    return made


def measure_stage(stage: str, setting: Setting, alternations: int) -> list[dict[str, Any]]:
    """All contests of a stage; one that cannot be prepared is named and has no result."""
    started = time.monotonic()
    print(f"{stage}", flush=True)
    done: list[dict[str, Any]] = []
    try:
        for contest in importlib.import_module(stage).contests(setting):
            done.append(alternate(contest, alternations=alternations, folder=setting.work))
    except Exception as error:
        done.append({"stage": stage, "work": "", "unit": "s", "ceiling": None, "alone": False, "rounds": []})
        done[-1]["failures"] = [f"preparing: {type(error).__name__}: {error}"]
        print(f"  {stage}: {done[-1]['failures'][0]}", flush=True)
    print(f"  {stage}: {time.monotonic() - started:.0f} s", flush=True)
    return done


def save(content: dict[str, Any], work: Path) -> None:
    """After every stage, so that what was measured is kept whatever comes next."""
    path = work / "results.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1))
    shutil.move(partial, path)


def _forget_folders_of_others() -> None:
    for name in [name for name in os.environ if name.startswith(("nnUNet", "AUTOSEG_"))]:
        del os.environ[name]


if __name__ == "__main__":
    sys.exit(main())
