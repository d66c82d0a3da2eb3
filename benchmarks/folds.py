"""Five folds against one: what prediction spends in the networks, and on everything else."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import Contest, report
from setting import Setting, fresh

FOLDS = (1, 5)


def contests(setting: Setting) -> Iterator[Contest]:
    """autoseg with one fold and with five; the table sets them against each other."""
    for folds in FOLDS:
        yield Contest(
            stage=f"folds, {folds}",
            work=f"{setting.predicted_cases} hippocampus cases, 8 mirrors, files in to files out",
            autoseg=setting.script(
                "autoseg", "folds", setting.models["autoseg"], setting.images, fresh("predictions"), folds
            ),
            peer=None,
        )


def predict(model: Path, images: Path, output: Path, folds: int) -> dict[str, float]:
    """Predict a folder; seconds in all, in the networks and in everything else."""
    from autoseg.inference import Predictor, find_cases, predict_cases

    predictor = Predictor.from_folder(model, "3d_fullres", folds=[str(number) for number in range(folds)], device="cpu")
    spent = watch_networks()
    cases = find_cases([images], len(predictor.model.plans.channels))
    output.mkdir()
    started = time.perf_counter()
    predict_cases(predictor, cases, [output / f"{case.identifier}.nii.gz" for case in cases])
    seconds = time.perf_counter() - started
    network = sum(spent)
    if not network:
        raise SystemExit("the networks were called elsewhere; measure them where they are called now")
    return {"seconds": seconds, "network_seconds": network, "other_seconds": seconds - network}


def watch_networks() -> list[float]:
    """Seconds of each call of a network from now on."""
    from autoseg.inference import engines

    calls: list[float] = []
    compute = engines.side_by_side

    def timed(*words: Any) -> Any:
        started = time.perf_counter()
        computed = compute(*words)
        calls.append(time.perf_counter() - started)
        return computed

    engines.side_by_side = timed
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["autoseg"])
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("folds", type=int)
    arguments = parser.parse_args()
    report(**predict(arguments.model, arguments.images, arguments.output, arguments.folds))


if __name__ == "__main__":
    main()
