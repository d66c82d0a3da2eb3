"""Prediction, from image files to segmentation files: the commands as a user calls them, one fold, eight mirrors."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness import Contest, RunError, Side, report, words_of
from models import CONFIGURATION
from setting import FOLD, NUMBER, Setting, fresh

MIRRORS = 8


def contests(setting: Setting) -> Iterator[Contest]:
    """With the core dependencies, and with OpenVINO where an environment has it, too."""
    assert setting.models
    operations = setting.ask(setting.script("autoseg", "prediction", setting.prepared["autoseg"]))["operations"]
    cases = len(list(setting.images.iterdir()))
    output = ("-i", setting.images, "-o", fresh("predictions"))
    produces = ("predictions/*.nii.gz", cases)
    contest = Contest(
        stage="prediction",
        work=f"{cases} hippocampus cases, {MIRRORS} mirrors, one fold, files in to files out, {setting.device}",
        autoseg=setting.command(
            "autoseg",
            "autoseg_predict",
            *output,
            *("-t", NUMBER, "-m", CONFIGURATION, "-f", FOLD, "-device", setting.device),
            produces=produces,
        ),
        peer=setting.command(
            "peer",
            "nnUNetv2_predict",
            *output,
            *("-d", NUMBER, "-c", CONFIGURATION, "-f", FOLD, "-device", setting.device),
            produces=produces,
        ),
        # the median case is smaller than a patch, so that most cases are one tile
        ceiling=setting.ceiling(operations=operations * MIRRORS * cases) if setting.device == "cpu" else None,
    )
    yield replace(contest, autoseg=with_engine(contest.autoseg, "torch"))
    if has_openvino(setting):
        python = words_of(setting.openvino_python, "-m", "autoseg", "predict")
        with_extra = replace(contest.autoseg, words=python + contest.autoseg.words[1:])
        yield replace(contest, stage="prediction, OpenVINO", autoseg=with_engine(with_extra, "openvino"))


def has_openvino(setting: Setting) -> bool:
    """Whether the extra is installed."""
    try:
        setting.ask(Side(words=words_of(setting.openvino_python, "-c", "import autoseg, openvino")))
    except RunError:
        return False
    return True


def with_engine(side: Side, engine: str) -> Side:
    """The same command, told what to compute with."""
    return replace(side, words=(*side.words, "--engine", engine))


def operations_of_tile(prepared: Path) -> int:
    """Floating point operations of the network on one patch, as predicted: without the coarser outputs."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from autoseg.networks import build_network
    from autoseg.plans import load_plans

    plans = load_plans(prepared / "autoseg_plans_3D.pkl")
    plan = plans.configuration(CONFIGURATION)
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network = build_network(plan, 1, len(plans.labels)).eval()
        network.deep_supervision = False
        network(torch.empty(1, 1, *plan.sampling.patch_size))
    return math.ceil(counter.get_total_flops())


def main() -> None:
    """Count the operations of one tile."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("side", choices=["autoseg"])
    parser.add_argument("prepared", type=Path)
    report(operations=operations_of_tile(parser.parse_args().prepared))


if __name__ == "__main__":
    main()
