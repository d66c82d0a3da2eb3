"""Kill `autoseg_run` with SIGKILL in five different steps, start it again, and compare with a run that was left alone.

    python benchmarks/kill_autoseg_run.py FOLDER

A synthetic task of 25 cases, all four configurations, short trainings. Each kill hits the run at a random moment of a
step, every second one the step's own process, too. Afterwards the selection and the values of all weights must equal
those of the undisturbed run, and no step that was finished may have been run again. About 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from autoseg.conversion.phantom import make_phantom_task
from autoseg.inference.model import load_weights, weights_sha256

TASK = "Task025_Phantom"
CASES = 25
SETTINGS = (
    "--force_lowres --epochs 2 --iterations_per_epoch 4 --batch_size 2 --seed 1 --num_workers 0 -device cpu "
    "-gpu_memory_target 0.2"
)
KILLED_IN = (
    "plan_and_preprocess",
    "train 2d fold {first}",
    "train 3d_lowres fold {last}",
    "train 3d_cascade_fullres fold {first}",
    "find_best_configuration",
)
EARLIEST, LATEST = 0.1, 0.9
"""Between which shares of its undisturbed time a step is hit."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", nargs="+", default=list("01234"))
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    arguments = parser.parse_args()
    words = ["-t", TASK, *SETTINGS.split(), "--folds", *arguments.folds]
    generator = random.Random(arguments.seed)
    for name in ("alone", "killed"):
        if not (arguments.folder / name / "raw_data" / TASK).is_dir():
            make_phantom_task(arguments.folder / name / "raw_data", TASK, cases=CASES, test_cases=2)
    alone, killed = arguments.folder / "alone", arguments.folder / "killed"

    started = time.monotonic()
    start(alone, words).wait()
    print(f"left alone: {time.monotonic() - started:.0f} s, {len(journal(alone))} steps", flush=True)
    repeated: list[str] = []
    for number, pattern in enumerate(KILLED_IN):
        step = pattern.format(first=arguments.folds[0], last=arguments.folds[-1])
        moment = generator.uniform(EARLIEST, LATEST) * journal(alone)[step]["seconds"]
        repeated += kill_in(step, killed, words, moment, child_too=bool(number % 2))
    before = finished(killed)
    code = start(killed, words).wait()
    repeated += [name for name, when in before.items() if finished(killed)[name] != when]

    same_selection = selection(alone) == selection(killed)
    same_weights = weights(alone) == weights(killed)
    print(
        f"exit code {code}; the same selection: {same_selection}; the same {len(weights(alone))} weights: {same_weights}"
    )
    print(f"finished steps that were run again: {', '.join(repeated) or 'none'}")
    return 0 if code == 0 and same_selection and same_weights and not repeated else 1


def start(home: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
    with (home / "run.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "autoseg", "run", "--home", str(home), *words], stdout=log, stderr=log
        )


def kill_in(step: str, home: Path, words: Sequence[str], seconds: float, *, child_too: bool) -> list[str]:
    """Run until a step has been at work for so many seconds, kill, and return finished steps that were run again."""
    before = finished(home)
    process = start(home, words)
    while journal(home).get(step, {}).get("state") != "running" and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
    process.kill()
    process.wait()
    record = journal(home)[step]
    if child_too and record["process"] is not None:
        with suppress(ProcessLookupError):
            os.kill(record["process"]["pid"], signal.SIGKILL)
    print(
        f"killed {seconds:4.1f} s into {step}: {record['state']}{', its process too' if child_too else ''}", flush=True
    )
    return [name for name, when in before.items() if finished(home)[name] != when]


def journal(home: Path) -> dict[str, Any]:
    path = home / "results" / "runs" / TASK / "journal.json"
    return dict(json.loads(path.read_text())["steps"]) if path.is_file() else {}


def finished(home: Path) -> dict[str, str]:
    """When each finished step was started."""
    return {name: record["started"] for name, record in journal(home).items() if record["state"] == "done"}


def selection(home: Path) -> Any:
    return json.loads(
        (home / "results" / "selections" / TASK / "selection.json").read_text().replace(str(home), "HOME")
    )


def weights(home: Path) -> dict[str, str]:
    """A hash of the values of every fold's final weights."""
    paths = sorted((home / "results").glob(f"*/{TASK}/*/fold_*/weights_final.pt"))
    return {str(path.relative_to(home)): weights_sha256(load_weights(path).weights) for path in paths}


if __name__ == "__main__":
    sys.exit(main())
