"""Make `workspace.zip`: a workspace of an earlier version, which today's has to go on using.

    python tests/former/make.py COMMAND_FOLDER

COMMAND_FOLDER holds the `autoseg_*` of the version before plans had format 2 and trainings had recipes (commit a41ddb5).
The task is a few small phantoms, the network has two channels, and a training takes six batches. Kept are:

- the task, prepared; two folds of `Trainer` and one of `TrainerBatchNorm`, finished and validated; a selection;
- `TrainerDice`, stopped after one of two epochs, and in `expected` the history with which that version finished it;
- in `expected` what that version predicts for the held-out case, by each model's folds and by the selection.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from autoseg.conversion.phantom import LABELS, make_phantom
from autoseg.files.storage import write_json
from autoseg.geometry import Geometry
from autoseg.images import write_image

ARCHIVE = Path(__file__).parent / "workspace.zip"
TASK = "Task901_Former"
TRAINING, TEST = tuple(f"case_{number}" for number in range(4)), "case_4"
PLANNER = "from autoseg.planning import Planner3D\nclass Tiny(Planner3D):\n    features = 2\n    max_features = 4\n"
COMPUTING = ("-device", "cpu", "--precision", "fp32")
SHORT = (*"--iterations_per_epoch 3 --batch_size 2 --seed 1 --num_workers 0 -p tiny".split(), *COMPUTING)
STOPPED = ("3d_fullres", "TrainerDice", "901", "0", "--epochs", "2", *SHORT)
LEFT_OUT = ("*.png", "*.log", "architecture.txt", "debug.json")
DATE = (2026, 1, 1, 0, 0, 0)


def main(commands: Path) -> None:
    """Make the workspace beside this file anew."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        make_task(home / "raw_data" / TASK)
        planner = Path(folder) / "tiny.py"
        planner.write_text(PLANNER)
        run(
            commands,
            home,
            "plan_and_preprocess",
            "-t",
            "901",
            "-pl3d",
            f"{planner.name}:Tiny",
            "-pl2d",
            "None",
            "-p",
            "tiny",
        )
        folds = [
            {"train": list(TRAINING[:2]), "val": list(TRAINING[2:])},
            {"train": list(TRAINING[2:]), "val": list(TRAINING[:2])},
        ]
        write_json(home / "preprocessed" / TASK / "splits_final.json", folds)
        for trainer, fold in (("Trainer", "0"), ("Trainer", "1"), ("TrainerBatchNorm", "0")):
            run(commands, home, "train", "3d_fullres", trainer, "901", fold, "--epochs", "2", *SHORT)
        run(commands, home, "find_best_configuration", "-t", "901", "-p", "tiny")
        stop_in_the_middle(commands, home)
        predict(commands, home)
        finish(commands, home, Path(folder) / "finished")
        pack(home)


def make_task(folder: Path) -> None:
    """Phantoms of every second voxel."""
    for number, case in enumerate((*TRAINING, TEST)):
        image, label, geometry = make_phantom(np.random.default_rng(number))
        z, y, x = (2 * side for side in geometry.spacing)
        coarse = Geometry(spacing=(z, y, x))
        part = "Ts" if case == TEST else "Tr"
        write_image(folder / f"images{part}" / f"{case}_0000.nii.gz", image[::2, ::2, ::2], coarse)
        if case != TEST:
            write_image(folder / "labelsTr" / f"{case}.nii.gz", label[::2, ::2, ::2], coarse)
    write_json(
        folder / "dataset.json",
        {
            "name": "Former",
            "modality": {"0": "MRI"},
            "labels": {str(value): name for value, name in enumerate(LABELS)},
            "training": [
                {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in TRAINING
            ],
            "test": [f"./imagesTs/{TEST}.nii.gz"],
        },
    )


def stop_in_the_middle(commands: Path, home: Path) -> None:
    """Ctrl-C as soon as the first epoch is kept."""
    training = subprocess.Popen([commands / "autoseg_train", *STOPPED, "--home", home.name], cwd=home.parent)
    checkpoint = home / "results" / "3d_fullres" / TASK / "TrainerDice__tiny" / "fold_0" / "checkpoint.pt"
    while not checkpoint.exists():
        time.sleep(0.01)
    os.kill(training.pid, signal.SIGINT)
    assert training.wait() != 0, "it was through before it was stopped"


def finish(commands: Path, home: Path, copy: Path) -> None:
    """What the stopped training comes to, in a copy."""
    shutil.copytree(home, copy)
    run(commands, copy, "train", *STOPPED, "-c")
    history = copy / "results" / "3d_fullres" / TASK / "TrainerDice__tiny" / "fold_0" / "history.json"
    shutil.copy(history, home / "expected" / "TrainerDice.json")


def predict(commands: Path, home: Path) -> None:
    """The held-out case, by both models and by the selection."""
    expected = home / "expected"
    expected.mkdir()
    by_model = ("-m", "3d_fullres", "-p", "tiny", "-tr")
    for name, words in {
        "Trainer": (*by_model, "Trainer", "--disable_postprocessing"),
        "TrainerBatchNorm": (*by_model, "TrainerBatchNorm", "--disable_postprocessing"),
        "best": ("--best",),
    }.items():
        image, output = home / "raw_data" / TASK / "imagesTs" / f"{TEST}_0000.nii.gz", expected / f"{name}.nii.gz"
        run(commands, home, "predict", "-t", "901", "-i", image, "-o", output, *words, *COMPUTING, "--engine", "torch")


def run(commands: Path, home: Path, command: str, *words: object) -> None:
    """One command, which has to succeed; it writes down no more of a path than it is given."""
    words = tuple(word.relative_to(home.parent) if isinstance(word, Path) else word for word in words)
    subprocess.run(
        [commands / f"autoseg_{command}", *map(str, words), "--home", home.name], cwd=home.parent, check=True
    )


def pack(home: Path) -> None:
    """Every file but pictures, logs and what a finished training needs no more, in the same order and of the same date."""
    with zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(home.rglob("*")):
            if path.is_file() and not is_left_out(path):
                entry = zipfile.ZipInfo(path.relative_to(home).as_posix(), DATE)
                content = path.read_bytes().replace(platform.platform().encode(), b"Linux")
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)


def is_left_out(path: Path) -> bool:
    """Whether a file is as good as none to the tests; they would be most of the archive."""
    finished = (path.parent / "weights_final.pt").is_file() and "Trainer__tiny/fold_0" not in path.parent.as_posix()
    return any(path.match(pattern) for pattern in LEFT_OUT) or (
        finished and path.name in {"checkpoint.pt", "weights_best.pt"}
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
