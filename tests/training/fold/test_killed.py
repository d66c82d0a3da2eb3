"""A training process killed without warning."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import torch

from autoseg.inference.model import load_weights
from autoseg.plans import Plans, save_plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings
from autoseg.training.fold.data import FoldData


def make_trainer(plans: Plans, store: PreparedCases, output: Path) -> Trainer:
    names = store.identifiers()
    return Trainer(
        FoldData(
            plans=plans,
            configuration="3d_fullres",
            cases=store,
            split=Split(training=names[:4], validation=names[4:]),
            output=output,
            references=output,
        ),
        settings=TrainingSettings(epochs=2, iterations_per_epoch=5, seed=3, workers=1, checkpoint_minutes=0),
        device="cpu",
    )


KILLED = """
import importlib.util, os, signal, sys, torch
from pathlib import Path
from autoseg.plans import load_plans
from autoseg.preprocessing.store import PreparedCases

test, plans, store, output, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
specification = importlib.util.spec_from_file_location("test_killed", test)
module = importlib.util.module_from_spec(specification)
specification.loader.exec_module(module)
batches = []

def kill():
    batches.append(1)
    if len(batches) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return False

module.make_trainer(load_plans(Path(plans)), PreparedCases(Path(store)), Path(output)).run(should_stop=kill)
"""


def test_a_killed_process_is_continued_to_the_same_weights(store: PreparedCases, plans: Plans, tmp_path: Path) -> None:
    save_plans(plans, tmp_path / "plans.pkl")
    killed, whole = (make_trainer(plans, store, tmp_path / name / "fold_0") for name in ("killed", "whole"))
    arguments = [__file__, tmp_path / "plans.pkl", store.folder, killed.output, torch.get_num_threads()]

    ended = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (killed.output / "checkpoint.pt").is_file() and not (killed.output / "weights_final.pt").exists()
    killed.run(resume=True)
    whole.run()

    expected = load_weights(whole.output / "weights_final.pt").weights
    found = load_weights(killed.output / "weights_final.pt").weights
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
