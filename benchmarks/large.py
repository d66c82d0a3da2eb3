"""Prediction of a large image with many classes: a synthetic CT of 600x512x512, 60 classes, a small network, no mirrors.

What counts is memory. The peer is given the same and the same limit; that it fails is then the finding.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import LONGEST_RUN, Contest, Side, report
from models import CONFIGURATION, make_peer, save_autoseg_fold
from setting import FOLD, Setting, fresh

SHAPE, PATCH, CLASSES = (600, 512, 512), (64, 128, 128), 60
FEATURES = (4, 8, 16)
"""Of a network so small that memory, not arithmetic, is what is measured."""

LIMIT = 16 * 2**30
"""Bytes that a process may map: a laptop's memory."""

PATIENCE = 900.0
"""Seconds that the peer is given; one whose worker died may wait for it for ever."""

TASK, NUMBER = "Task060_Synthetic", "60"
PEER_TASK = "Dataset060_Synthetic"


def contests(setting: Setting) -> Iterator[Contest]:
    """One, run once: it takes minutes, and memory does not vary."""
    shape, patch = ((40, 48, 48), (16, 32, 32)) if setting.quick else (SHAPE, PATCH)
    images, sides = setting.work / "large" / "images", {}
    shutil.rmtree(setting.work / "large", ignore_errors=True)
    for side in ("autoseg", "peer"):
        home = setting.work / "large" / side
        words = (setting.prepared[side], home, "--patch", json.dumps(patch))
        image = ("--image", images / "ct_0000.nii.gz", "--shape", json.dumps(shape)) if side == "autoseg" else ()
        folders = {"nnUNet_preprocessed": str(home / "preprocessed"), "nnUNet_results": str(home / "results")}
        setting.ask(setting.script(side, "large", *words, *image, environment=folders))
        sides[side] = home
    output = ("-i", images, "-o", fresh("predictions"))
    produces = ("predictions/ct.nii.gz", 1)
    yield Contest(
        stage="prediction, large",
        work=f"{'x'.join(map(str, shape))}, {CLASSES} classes, patch {'x'.join(map(str, patch))}, no mirrors",
        autoseg=_limited(
            setting.command(
                "autoseg",
                "autoseg_predict",
                *output,
                *("-t", NUMBER, "-m", CONFIGURATION, "-f", FOLD, "--disable_tta", "-device", "cpu"),
                environment={"AUTOSEG_HOME": str(sides["autoseg"])},
                produces=produces,
            )
        ),
        peer=_limited(
            setting.command(
                "peer",
                "nnUNetv2_predict",
                *output,
                *("-d", NUMBER, "-c", CONFIGURATION, "-f", FOLD, "--disable_tta", "-device", "cpu"),
                environment={"nnUNet_results": str(sides["peer"] / "results")},
                produces=produces,
            ),
            longest=PATIENCE,
        ),
        peer_may_fail=True,
        alternations=1,
    )


def _limited(side: Side, longest: float = LONGEST_RUN) -> Side:
    return replace(side, address_limit=LIMIT, longest=longest)


def make_autoseg_model(prepared: Path, home: Path, patch: tuple[int, ...]) -> None:
    """A small network of random weights, by plans that keep the image's grid."""
    from autoseg.plans import NetworkPlan, Sampling, load_plans

    plans = load_plans(prepared / "autoseg_plans_3D.pkl")
    plan = plans.configuration(CONFIGURATION)
    levels = len(FEATURES)
    small = replace(
        plan,
        sampling=Sampling(patch_size=patch),
        batch_size=2,
        network=NetworkPlan(
            name=plan.network.name,
            settings={
                **plan.network.settings,
                "strides": ((1, 1, 1), *((2, 2, 2),) * (levels - 1)),
                "kernels": ((3, 3, 3),) * levels,
                "features": FEATURES[0],
                "max_features": FEATURES[-1],
            },
        ),
    )
    labels = ("background", *(f"organ {number}" for number in range(1, CLASSES)))
    synthetic = replace(plans, dataset=TASK, labels=labels, configurations={CONFIGURATION: small})
    save_autoseg_fold(synthetic, home / "results" / CONFIGURATION / TASK / "Trainer__autoseg" / "fold_0")


def make_peer_model(prepared: Path, home: Path, patch: tuple[int, ...]) -> None:
    """The same of the peer, from its own plans with the same changes."""
    plans = json.loads((prepared / "nnUNetPlans.json").read_text())
    plan = plans["configurations"][CONFIGURATION]
    levels = len(FEATURES)
    network = plan["architecture"]["arch_kwargs"]
    plan |= {"patch_size": list(patch), "batch_size": 2}
    network |= {
        "n_stages": levels,
        "features_per_stage": list(FEATURES),
        "kernel_sizes": [[3, 3, 3]] * levels,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (levels - 1),
        "n_conv_per_stage": [2] * levels,
        "n_conv_per_stage_decoder": [2] * (levels - 1),
    }
    dataset = json.loads((prepared / "dataset.json").read_text())
    dataset["labels"] = {"background": 0} | {f"organ {number}": number for number in range(1, CLASSES)}
    planned = home / "preprocessed" / PEER_TASK
    planned.mkdir(parents=True)
    # the peer's trainer looks at prepared cases to learn how they are stored
    (planned / plan["data_identifier"]).symlink_to(prepared / plan["data_identifier"])
    (planned / "nnUNetPlans.json").write_text(json.dumps(plans | {"dataset_name": PEER_TASK}))
    (planned / "dataset.json").write_text(json.dumps(dataset))
    make_peer(planned, home / "results" / PEER_TASK / f"nnUNetTrainer__nnUNetPlans__{CONFIGURATION}")


def write_image(path: Path, shape: tuple[int, ...]) -> None:
    """A body of noise in air, in Hounsfield units."""
    import numpy as np
    import SimpleITK as sitk

    radii = [np.linspace(-1.2, 1.2, side)[(...,) + (None,) * (2 - axis)] ** 2 for axis, side in enumerate(shape)]
    volume = np.random.default_rng(0).normal(40, 30, shape).astype(np.int16)
    volume[radii[1] + radii[2] + 0 * radii[0] > 1] = -1000
    path.parent.mkdir(parents=True)
    image: Any = sitk.GetImageFromArray(volume)
    sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["autoseg", "peer"])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("home", type=Path)
    parser.add_argument("--patch", type=json.loads, required=True)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--shape", type=json.loads)
    arguments = parser.parse_args()
    make = make_autoseg_model if arguments.side == "autoseg" else make_peer_model
    make(arguments.prepared, arguments.home, tuple(arguments.patch))
    if arguments.image:
        write_image(arguments.image, tuple(arguments.shape))
    report(made=True)


if __name__ == "__main__":
    main()
