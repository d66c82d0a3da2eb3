"""Every network by name: a short training, the same one interrupted, a prediction, and one table of what came of it.

Two epochs of twenty batches of two patches say nothing of what a network can reach. They show that each is trained,
predicted and continued as the planned one is, and what it takes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import report, reported

TASK = "Task{:03}_Hippocampus"
CASES = 15
EPOCHS, BATCHES, BATCH_SIZE = 2, 20, 2
PATCHES = {"3d_fullres": (16, 32, 16), "2d": (32, 32)}
"""Sides that every network can halve as often as it wants to."""

NARROW: dict[str, dict[str, Any]] = {
    "unet_2016": {"width": 32},
    "unet_dropout": {"width": 32},
    "unet_bilinear": {"width": 32},
    "dense_single": {"growth": 8},
    "dense_dual": {"growth": 8},
    "dense_dual_single": {"growth": 8},
    "hyper_dense": {"growth": 4},
    "highres": {"width": 8},
    "resnet_med3d": {"width": 32},
}
"""Those that take more than three billion multiplications for such a patch as they are by default."""

TWO_CHANNELS = ("hyper_dense",)
OF_SLICES = ("unet_multiplanar",)
RECIPE = {"optimiser": "Adam", "learning_rate": 0.001, "mirror": False}
COLUMNS = ("network", "parameters", "seconds", "memory", "Dice", "interrupted and continued")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="holds Task04_Hippocampus in the layout of the Decathlon")
    parser.add_argument("--home", type=Path, required=True, help="where tasks, models and recipes are made")
    parser.add_argument("--only", nargs="*", default=[], metavar="NETWORK", help="instead of all")
    parser.add_argument("--one", metavar="NETWORK", help=argparse.SUPPRESS)  # in a process of its own
    arguments = parser.parse_args()
    if arguments.one:
        report(**train(arguments.home, arguments.one))
        return
    make_tasks(arguments.data, arguments.home)
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for name in arguments.only or names():
        print(row(name, measured(arguments.home, name)), flush=True)


def names() -> tuple[str, ...]:
    """Of all networks."""
    from autoseg.networks.build import RECIPE_NETWORKS

    return tuple(RECIPE_NETWORKS.entries)


def make_tasks(data: Path, home: Path) -> None:
    """The task as it is, and one in which each image is there twice; planned for small patches."""
    source = data / "Task04_Hippocampus"
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (source / "labelsTr").glob("hipp*.nii.gz"))[:CASES]
    for channels in (1, 2):
        task = TASK.format(channels)
        raw = home / "raw_data" / task
        if not raw.is_dir():
            make_raw(source, raw, cases, channels)
            command = (sys.executable, "-m", "autoseg", "plan_and_preprocess", "-t", str(channels))
            subprocess.run(command, check=True, env=os.environ | {"AUTOSEG_HOME": str(home)}, stdout=subprocess.DEVNULL)
            for configuration, patch in PATCHES.items():
                plan_small(home / "preprocessed" / task, configuration, patch)


def make_raw(source: Path, raw: Path, cases: list[str], channels: int) -> None:
    """A task of links."""
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True)
    for case in cases:
        (raw / "labelsTr" / f"{case}.nii.gz").symlink_to(source / "labelsTr" / f"{case}.nii.gz")
        for channel in range(channels):
            (raw / "imagesTr" / f"{case}_{channel:04}.nii.gz").symlink_to(source / "imagesTr" / f"{case}.nii.gz")
    described = json.loads((source / "dataset.json").read_text())
    described["modality"] = {str(channel): "MRI" for channel in range(channels)}
    described["training"] = [
        {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases
    ]
    described |= {"numTraining": len(cases), "numTest": 0, "test": []}
    (raw / "dataset.json").write_text(json.dumps(described))


def plan_small(folder: Path, configuration: str, patch: tuple[int, ...]) -> None:
    """Write another patch size into plans, and nothing else."""
    from autoseg.plans import plan_from_json

    path = folder / f"autoseg_plans_{'2D' if configuration == '2d' else '3D'}.json"
    content = json.loads(path.read_text())
    content["configurations"][configuration]["sampling"]["patch_size"] = list(patch)
    path.write_text(json.dumps(content))
    plan_from_json(path)


def measured(home: Path, name: str) -> dict[str, Any]:
    """What one network's own process reports, or the last that it said."""
    words = (sys.executable, __file__, "--home", str(home), "--one", name)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return reported(done.stdout) or {"failed": (done.stderr.strip() or done.stdout).splitlines()[-1]}


def row(name: str, said: dict[str, Any]) -> str:
    """A line of the table."""
    settings = ", ".join(f"`{key}` {value}" for key, value in NARROW.get(name, {}).items())
    where = ", slices" if name in OF_SLICES else ", two channels" if name in TWO_CHANNELS else ""
    called = f"`{name}`{', ' if settings else ''}{settings}{where}"
    if "failed" in said:
        return f"| {called} | {said['failed']} |"
    cells = (
        called,
        f"{said['parameters'] / 1e6:.2f} million",
        f"{said['seconds']:.0f}",
        f"{said['bytes'] / 2**30:.1f} GB",
        " / ".join(f"{dice:.2f}" for dice in said["dice"]),
        "the same weights" if said["same"] else "other weights",
    )
    return f"| {' | '.join(cells)} |"


def train(home: Path, name: str) -> dict[str, Any]:
    """Train, predict, then train on from what was there in the middle of the second epoch."""
    from autoseg.files.model_folder import ModelKey
    from autoseg.inference.model import load_weights, weights_sha256
    from autoseg.networks.describe import count_parameters
    from autoseg.paths import Workspace
    from autoseg.training import TrainingSettings
    from autoseg.training.workspace import build_trainer

    file = home / "recipes" / f"net_{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(RECIPE | {"network": {"name": name, **NARROW.get(name, {})}}))
    configuration = "2d" if name in OF_SLICES else "3d_fullres"
    key = ModelKey.named(TASK.format(2 if name in TWO_CHANNELS else 1), configuration, str(file))
    settings = TrainingSettings(
        epochs=EPOCHS, iterations_per_epoch=BATCHES, batch_size=BATCH_SIZE, seed=0, workers=0, checkpoint_minutes=0.1
    )

    def trainer() -> Any:
        return build_trainer(key, "0", Workspace.from_environment({}, home), settings=settings, device="cpu")

    first = trainer()
    half, asked = home / "half" / name, 0
    shutil.rmtree(first.output, ignore_errors=True)
    shutil.rmtree(half, ignore_errors=True)

    def copy_in_the_middle() -> bool:
        nonlocal asked
        asked += 1
        if asked == (BATCHES + BATCHES // 5) + BATCHES // 2:
            shutil.copytree(first.output, half, ignore=shutil.ignore_patterns(".writing-*", first.fold.lock.name))
        return False

    started = time.monotonic()
    first.run(should_stop=copy_in_the_middle)
    seconds = time.monotonic() - started
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    summary = first.validate()
    weights = weights_sha256(load_weights(first.fold.weights("final")).weights)
    shutil.rmtree(first.output)
    half.rename(first.output)
    second = trainer()
    second.run(resume=True)
    continued = weights_sha256(load_weights(second.fold.weights("final")).weights)
    return {
        "parameters": count_parameters(first.new_network()),
        "seconds": seconds,
        "bytes": peak,
        "dice": [scores["Dice"] for label, scores in summary.mean.items() if label],
        "same": weights == continued,
    }


if __name__ == "__main__":
    main()
