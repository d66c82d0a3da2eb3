"""Faults other than kills, one at a time, each really done to a command: its exit code and what it says."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from forks import Process, log_of, session_members, start, wait_for

TASK = "Task900_Phantom"
MODEL = f"results/2d/{TASK}/Trainer__small"
FOLD = f"{MODEL}/fold_0"
PLANNERS = ("-pl3d", "None", "-pl2d", "HOME/planners.py:Small2D")
PREPROCESS = ("plan_and_preprocess", "-t", "900", "-p", "small", "-tf", "2", *PLANNERS)
TRAIN = (
    "train 2d Trainer 900 0 --iterations_per_epoch 3 --batch_size 2 --seed 1 --checkpoint_minutes 0.0001 --precision fp32 "
    "-device cpu --npz --num_workers 1 -p small"
).split()
PREDICT = (
    "predict -t 900 -m 2d -p small -f 0 -i HOME/images -o HOME/out --disable_tta --precision fp32 -device cpu "
    "--num_threads_preprocessing 1"
).split()
NOT_A_NUMBER = """
from torch import nn

from autoseg.training import Trainer


class Loss(nn.Module):
    def forward(self, outputs, targets):
        return outputs.sum() * float("nan")


class Spoilt(Trainer):
    def build_loss(self):
        return Loss()
"""
PATIENCE = 120.0


@dataclass(frozen=True)
class Fault:
    """What is done, in a copy of a finished walk, and what the command must end with.

    Attributes:
        words: That must stand in what it says.
    """

    name: str
    do: Callable[[Path], int]
    code: int
    words: tuple[str, ...]


def told(fault: Fault, walked: Path, home: Path) -> tuple[list[str], bool]:
    """Do it; returns the last lines of what the command said, and whether all is as expected."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(walked, home)
    (home / "log").unlink()
    shutil.copytree(home / "raw_data" / TASK / "imagesTs", home / "images")
    code = fault.do(home)
    said = log_of(home).replace(str(home), "HOME")
    lines = [line for line in said.splitlines() if line.startswith("autoseg ") or line.startswith("  ")][-2:]
    lines = lines or said.splitlines()[-1:]
    return [f"exit code {code}", *lines], code == fault.code and all(word in said for word in fault.words)


def worker_killed_in_preprocessing(home: Path) -> int:
    shutil.rmtree(home / "preprocessed")
    return _kill_worker(start(PREPROCESS, home))


def worker_killed_in_training(home: Path) -> int:
    (home / FOLD / "checkpoint.pt").unlink()
    process = start([*TRAIN, "--epochs", "50", "--overwrite"], home)
    wait_for(process, home, f"{FOLD}/checkpoint.pt")
    return _kill_worker(process)


def second_process(home: Path) -> int:
    (home / FOLD / "checkpoint.pt").unlink()
    first = start([*TRAIN, "--epochs", "50", "--overwrite"], home)
    wait_for(first, home, f"{FOLD}/checkpoint.pt")
    code = start([*TRAIN, "--epochs", "50", "-c"], home).wait()
    first.kill(by_itself=False)
    return code


def killed_holder(home: Path) -> int:
    """A lock whose holder is dead stands in nobody's way."""
    second_process(home)
    (home / "log").unlink()
    return start([*TRAIN, "--epochs", "1", "-c"], home).wait()


def damaged_checkpoint(home: Path) -> int:
    path = home / FOLD / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return start([*TRAIN, "--epochs", "4", "-c"], home).wait()


def changed_plan(home: Path) -> int:
    path = home / "preprocessed" / TASK / "small_plans_2D.json"
    path.write_text(path.read_text().replace('"features": 4', '"features": 6'))
    start(["plan_from_json", str(path)], home).wait()
    return start([*TRAIN, "--epochs", "4", "-c"], home).wait()


def changed_data(home: Path) -> int:
    images = sorted((home / "raw_data" / TASK / "imagesTr").iterdir())
    labels = sorted((home / "raw_data" / TASK / "labelsTr").iterdir())
    shutil.copyfile(images[0], images[1])
    shutil.copyfile(labels[0], labels[1])
    start(PREPROCESS, home).wait()
    return start([*TRAIN, "--epochs", "4", "-c"], home).wait()


def loss_not_finite(home: Path) -> int:
    (home / "spoilt.py").write_text(NOT_A_NUMBER)
    words = [word.replace("Trainer", "HOME/spoilt.py:Spoilt") if word == "Trainer" else word for word in TRAIN]
    return start([*words, "--epochs", "2"], home).wait()


def image_taken_away(home: Path) -> int:
    images = sorted((home / "images").iterdir())
    for number in range(6):
        shutil.copyfile(images[0], home / "images" / f"more_{number}_0000.nii.gz")
    process = start(PREDICT, home)
    wait_for(process, home, "out/more_0.nii.gz")
    images[-1].unlink()
    return process.wait()


def changed_image(home: Path) -> int:
    start(PREDICT, home).wait()
    images = sorted((home / "images").iterdir())
    shutil.copyfile(images[0], images[1])
    return start(PREDICT, home).wait()


def other_weights(home: Path) -> int:
    start(PREDICT, home).wait()
    shutil.copyfile(home / FOLD / "weights_best.pt", home / "kept.pt")
    start([*TRAIN, "--epochs", "4", "--overwrite"], home).wait()
    return start(PREDICT, home).wait()


def _kill_worker(process: Process) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not process.ended():
        if workers := [number for number in session_members(process.number) if number != process.number]:
            os.kill(workers[0], signal.SIGKILL)
            break
        time.sleep(0.005)
    return process.wait()


FAULTS: Sequence[Fault] = (
    Fault("a worker killed while preparing", worker_killed_in_preprocessing, 1, ("was killed", "memory")),
    Fault("a worker killed while training", worker_killed_in_training, 1, ("was killed", "--num_workers")),
    Fault("a second process on the same fold", second_process, 1, ("process ",)),
    Fault("a lock whose holder was killed", killed_holder, 0, ()),
    Fault("a damaged checkpoint", damaged_checkpoint, 1, ("checkpoint.pt: refused", "--overwrite")),
    Fault("another plan under a checkpoint", changed_plan, 1, ("plan",)),
    Fault("other data under a checkpoint", changed_data, 1, ("data",)),
    Fault("a loss that is not finite", loss_not_finite, 1, ("not finite", "cases")),
    Fault("an image taken away while predicting", image_taken_away, 1, ("cannot be read", "the others are finished")),
    Fault("an image changed after it was predicted", changed_image, 0, ("has changed; predicted again",)),
    Fault("other weights under the same names", other_weights, 1, ("other weights under the same name",)),
)
