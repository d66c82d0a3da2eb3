"""Training: seconds of one iteration of the planned batch, data included, in a training as a user starts it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import Contest, report
from models import CONFIGURATION, peer_trainer
from setting import Setting, fresh

WARM_UP = 2
"""Iterations before the clock starts: the first ones choose kernels and fill the queues of the loaders."""


def contests(setting: Setting) -> Iterator[Contest]:
    """One."""
    operations = setting.ask(setting.script("autoseg", "training", setting.prepared["autoseg"]))["operations"]
    yield Contest(
        stage="training",
        work=f"batch of 7 x 40x56x40, U-Net 32 to 256, data included, {setting.device}",
        autoseg=_side(setting, "autoseg"),
        peer=_side(setting, "peer"),
        ceiling=setting.ceiling(operations=operations) if setting.device == "cpu" else None,
        unit="s per iteration",
    )


def _side(setting: Setting, side: str) -> Any:
    words = ("--iterations", setting.iterations, "--device", setting.device, "--output", fresh("results"))
    return setting.script(
        side, "training", setting.prepared[side], *words, environment={"nnUNet_results": fresh("results")}
    )


def autoseg_trainer(plans: Any, prepared: Path, output: Path, base: Any = None, **settings: Any) -> Any:
    """The default trainer of fold 0, or a class made of it."""
    from autoseg.preprocessing import PreparedCases
    from autoseg.training import Trainer, TrainingSettings, open_split
    from autoseg.training.fold.data import FoldData

    device = settings.pop("device", "cpu")
    store = PreparedCases(prepared / f"{plans.identifier}_{CONFIGURATION}")
    data = FoldData(
        plans=plans,
        configuration=CONFIGURATION,
        cases=store,
        split=open_split(prepared / "splits_final.json", store.identifiers(), "0"),
        output=output,
        references=prepared,
    )
    return (base or Trainer)(data, settings=TrainingSettings(seed=0, **settings), device=device)


def autoseg_side(prepared: Path, output: Path, iterations: int, device: str) -> list[float]:
    """When each step of training ended."""
    from autoseg.plans import load_plans
    from autoseg.training import Trainer

    ends: list[float] = []

    class Timed(Trainer):
        validation_batches = 1  # type: ignore[assignment]

        def training_step(self, *arguments: Any) -> Any:
            loss = super().training_step(*arguments)
            ends.append(_now(loss))
            return loss

    plans = load_plans(prepared / "autoseg_plans_3D.pkl")
    words = {"epochs": 1, "iterations_per_epoch": WARM_UP + iterations, "device": device}
    autoseg_trainer(plans, prepared, output / "model" / "fold_0", Timed, **words).run()
    return ends


def peer_side(prepared: Path, output: Path, iterations: int, device: str) -> list[float]:  # noqa: ARG001
    """When each step of training ended."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    ends: list[float] = []

    class Timed(nnUNetTrainer):
        def train_step(self, batch: Any) -> Any:
            result = super().train_step(batch)
            ends.append(_now(result["loss"]))
            return result

    trainer = peer_trainer(prepared, Timed, device)
    trainer.num_epochs = 1
    trainer.num_iterations_per_epoch = WARM_UP + iterations
    trainer.num_val_iterations_per_epoch = 1
    trainer.run_training()
    return ends


def operations_of_step(prepared: Path) -> int:
    """Floating point operations of one iteration, forward and backward: a multiplication and an addition are two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from autoseg.networks import build_network
    from autoseg.plans import load_plans

    plans = load_plans(prepared / "autoseg_plans_3D.pkl")
    plan = plans.configuration(CONFIGURATION)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        outputs = build_network(plan, 1, len(plans.labels))(torch.empty(plan.batch_size, 1, *plan.sampling.patch_size))
        sum(level.sum() for level in outputs).backward()
    return int(counter.get_total_flops())


def _now(loss: Any) -> float:
    """The time once a loss is known, so that a GPU's work has ended."""
    float(loss)
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["autoseg", "peer"])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--iterations", type=int, help="without it, only the operations of one are counted")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.iterations is None:
        report(operations=operations_of_step(arguments.prepared))
        return
    side = autoseg_side if arguments.side == "autoseg" else peer_side
    ends = side(arguments.prepared, arguments.output, arguments.iterations, arguments.device)
    report(seconds=(ends[-1] - ends[WARM_UP - 1]) / (len(ends) - WARM_UP), iterations=len(ends) - WARM_UP)


if __name__ == "__main__":
    main()
