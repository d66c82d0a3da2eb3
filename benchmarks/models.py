"""Models with random weights, one of each side, that their own commands predict with.

Run by `compare.py` in either environment.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from harness import report

CONFIGURATION = "3d_fullres"
FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["autoseg", "peer"])
    parser.add_argument("prepared", type=Path, help="the side's folder of the planned task")
    parser.add_argument("model", type=Path, help="where the model goes")
    arguments = parser.parse_args()
    make = make_autoseg if arguments.side == "autoseg" else make_peer
    report(parameters=make(arguments.prepared, arguments.model))


def make_autoseg(prepared: Path, model: Path) -> int:
    """All folds of the planned network; returns its number of parameters."""
    from autoseg.plans import load_plans

    plans = load_plans(prepared / "autoseg_plans_3D.pkl")
    parameters = {save_autoseg_fold(plans, model / f"fold_{fold}") for fold in range(FOLDS)}
    return parameters.pop()


def save_autoseg_fold(plans: Any, fold: Path) -> int:
    """One fold's random weights, as training leaves them."""
    from autoseg.files.model_folder import FoldFolder
    from autoseg.inference.model import WeightsFile, input_channels, save_weights
    from autoseg.training import Trainer
    from autoseg.training.fold.folder import write_model_plans

    network = Trainer.build_network(
        plans.configuration(CONFIGURATION), input_channels(plans, CONFIGURATION), len(plans.labels)
    )
    fold.mkdir(parents=True)
    write_model_plans(plans, CONFIGURATION, FoldFolder(folder=fold))
    file = WeightsFile(
        trainer="Trainer", custom_network=False, mirror_axes=(0, 1, 2), epoch=1, weights=network.state_dict()
    )
    save_weights(FoldFolder(folder=fold).weights(), file)
    return sum(parameter.numel() for parameter in network.parameters())


def make_peer(prepared: Path, model: Path) -> int:
    """One fold, saved by the peer's own trainer as after a training."""
    trainer = peer_trainer(prepared)
    trainer.initialize()
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()  # decides what prediction mirrors
    if tuple(trainer.inference_allowed_mirroring_axes) != (0, 1, 2):
        raise SystemExit(f"the peer mirrors the axes {trainer.inference_allowed_mirroring_axes}, not all three")
    (model / "fold_0").mkdir(parents=True, exist_ok=True)
    trainer.save_checkpoint(str(model / "fold_0" / "checkpoint_final.pth"))
    shutil.copyfile(prepared / "nnUNetPlans.json", model / "plans.json")
    shutil.copyfile(prepared / "dataset.json", model / "dataset.json")
    return sum(parameter.numel() for parameter in trainer.network.parameters())


def peer_trainer(prepared: Path, base: Any = None, device: str = "cpu") -> Any:
    """The peer's trainer of fold 0, or a class made of it."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    plans = json.loads((prepared / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    dataset = json.loads((prepared / "dataset.json").read_text())
    return (base or nnUNetTrainer)(plans, CONFIGURATION, 0, dataset, device=torch.device(device))


if __name__ == "__main__":
    main()
