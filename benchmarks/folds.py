"""Five folds against one: what prediction spends in the networks, and on everything else."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from harness import Contest, report
from setting import Setting, fresh
from where_time_goes import REST, watching

FOLDS = (1, 5)
NETWORK = "network"


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
    from autoseg.inference import PredictionRun, Predictor, find_cases, members, predict_cases

    predictor = Predictor.from_folder(model, "3d_fullres", folds=[str(number) for number in range(folds)], device="cpu")
    cases = find_cases([images], len(predictor.model.plans.channels))
    output.mkdir()
    with watching([(members.Members, "_sum_over_folds", NETWORK)]) as watch:
        predict_cases(predictor, PredictionRun(cases=cases, outputs={}).into(output))
        parts = watch.look()
    if NETWORK not in parts:
        raise SystemExit("the networks were called elsewhere; measure them where they are called now")
    return {"seconds": sum(parts.values()), "network_seconds": parts[NETWORK], "other_seconds": parts[REST]}


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
