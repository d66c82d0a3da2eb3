"""Making training samples with one worker on one core: reading patches, and the full table of augmentations."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from harness import Contest, report
from models import CONFIGURATION, peer_trainer
from setting import Setting, fresh

ONE_CORE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "nnUNet_n_proc_DA": "0"}
"""The last makes the peer's loader work in its own process, as one of its workers would."""

WARM_UP = 3
BATCHES = 40
BATCH, PATCH_VOXELS = 7, 40 * 56 * 40


def contests(setting: Setting) -> Iterator[Contest]:
    """One."""
    batches = 3 if setting.quick else BATCHES
    yield Contest(
        stage="augmentation",
        work="patches of 40x56x40, one worker",
        autoseg=_side(setting, "autoseg", batches),
        peer=_side(setting, "peer", batches),
        ceiling=setting.ceiling(moved=2 * 5 * PATCH_VOXELS, threads="one"),
        unit="s per sample",
    )


def _side(setting: Setting, side: str, batches: int) -> Any:
    environment = ONE_CORE | ({"nnUNet_results": fresh("results")} if side == "peer" else {})
    return setting.script(side, "augmentation", setting.prepared[side], batches, environment=environment)


def autoseg_batches(prepared: Path) -> Iterator[Any]:
    """What the default trainer asks of its loader, made in this process."""
    from training import autoseg_trainer

    from autoseg.plans import load_plans
    from autoseg.training.sampling.batches import Batches, Stream, Supply, iterate, remaining_keys

    plans = load_plans(prepared / "autoseg_plans_3D.pkl")
    trainer = autoseg_trainer(plans, prepared, prepared / "no_output")
    cases = trainer.split.training
    batches = Batches(
        store=trainer.cases,
        streams=(
            Stream(cases=cases, augmentation=trainer.build_augmentation()),
            Stream(cases=cases, augmentation=trainer.build_validation_augmentation()),
        ),
        patch_size=trainer.plan.sampling.patch_size,
        batch_size=trainer.batch_size,
        strides=plans.configuration(CONFIGURATION).topology.strides,
        foreground_fraction=trainer.foreground_fraction,
        seed=0,
    )
    return iterate(batches, remaining_keys(epochs=1, training=10**6, validation=0), Supply(workers=0))


def peer_batches(prepared: Path) -> Iterator[Any]:
    """The training batches of the peer's own trainer."""
    trainer = peer_trainer(prepared)
    trainer.initialize()
    training, _ = trainer.get_dataloaders()
    return iter(training)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["autoseg", "peer"])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("batches", type=int)
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    made = (autoseg_batches if arguments.side == "autoseg" else peer_batches)(arguments.prepared)
    for _ in islice(made, WARM_UP):
        pass
    started = time.perf_counter()
    samples = sum(_size(batch) for batch in islice(made, arguments.batches))
    report(seconds=(time.perf_counter() - started) / samples, samples=samples)


def _size(batch: Any) -> int:
    return len(batch["data"] if isinstance(batch, dict) else batch.data)


if __name__ == "__main__":
    main()
