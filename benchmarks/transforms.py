"""The table of augmentation alone: milliseconds of one core for a sample, by patch and number of channels, sides in turns.

`python benchmarks/transforms.py --peer_python PEER/bin/python --before_python OLD/bin/python` prints it as Markdown.
A side whose interpreter is not given is left out. Images are smooth noise in memory: no disk is read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
from harness import Side, measure, report, words_of

ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

PATCHES = ((40, 56, 40), (128, 128, 128), (256, 256), (512, 512))
CHANNELS = (1, 4)
SIDES = ("before", "cubic", "linear", "peer")

SECONDS = 12.0
"""Of work for each number; of samples, which differ a lot, that many are enough for a tenth."""

MARGIN = 1.6
"""Sides of the image in sides of the patch: as much as a rotation reaches."""

Image: TypeAlias = tuple[np.ndarray, np.ndarray]
Make: TypeAlias = Callable[[int], Any]


def image(patch: tuple[int, ...], channels: int) -> Image:
    """`(C, *space)` float32 and `(*space)` labels of three values, the same on all sides."""
    from scipy.ndimage import gaussian_filter

    space = tuple(round(MARGIN * side) for side in patch)
    noise = np.random.default_rng(0).normal(size=space).astype(np.float32)
    smooth = gaussian_filter(noise, 4)
    smooth /= smooth.std()
    labels = (smooth > 0.7).astype(np.int8) + (smooth > 1.4).astype(np.int8)
    return np.stack([smooth + 0.1 * noise] * channels), labels


def autoseg_samples(patch: tuple[int, ...], channels: int, order: int | None) -> Make:
    """As a worker makes them; `order` of the interpolation, None where a version has no choice."""
    from dataclasses import replace

    from autoseg.preprocessing.prepare import PreparedCase

    try:
        from autoseg.training.augmentation.default import AugmentationRecipe, build_augmentation
        from autoseg.training.sampling.samples import make_sample, sample_generator
    except ImportError:  # an earlier version, where these were single files
        from autoseg.training.samples import make_sample, sample_generator

        from autoseg.training.augmentation import AugmentationRecipe, build_augmentation

    data, labels = image(patch, channels)
    axes = len(patch)
    if axes == 2:
        data, labels = data[:, None], labels[None]
    places = np.argwhere(labels > 0).astype(np.int32)[::101]
    case = PreparedCase(data=data, segmentation=labels, foreground={1: places}, properties=None)  # type: ignore[arg-type]
    recipe = AugmentationRecipe()
    augmentation = build_augmentation(
        recipe if order is None else replace(recipe, order=order),
        patch_size=patch,
        dummy_2d=False,
        mirror_axes=range(axes),
        masked_channels=(),
    )

    def make(number: int) -> Any:
        generator = sample_generator(1, 0, 0, number)
        try:
            from autoseg.training.sampling.regions import Patches
        except ImportError:  # an earlier version, which drew them in one
            return make_sample(case, patch_size=patch, forced=False, augmentation=augmentation, generator=generator)
        region = Patches(patch).of_case(case, generator)
        return make_sample(region, augmentation=augmentation, generator=generator)

    return make


def peer_samples(patch: tuple[int, ...], channels: int) -> Make:
    """Its own transforms, on a window of the size that its loader reads."""
    import torch
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(1)
    data, labels = image(patch, channels)
    axes = len(patch)
    angle = np.pi if axes == 2 else np.pi / 6
    angles = (-angle, angle)
    window = [int(side) for side in get_patch_size(patch, *[angles] * 3, (0.85, 1.25))]
    transforms = nnUNetTrainer.get_training_transforms(
        np.array(patch), angles, None, tuple(range(axes)), False, use_mask_for_norm=[False] * channels
    )
    random = np.random.default_rng(1)

    def make(_: int) -> Any:
        starts = [int(random.integers(0, old - new + 1)) for old, new in zip(labels.shape, patch, strict=True)]
        low = [start - (wide - side) // 2 for start, wide, side in zip(starts, window, patch, strict=True)]
        inside = tuple(
            slice(max(0, first), min(side, first + wide))
            for first, wide, side in zip(low, window, labels.shape, strict=True)
        )
        missing = [
            (box.start - first, first + wide - box.stop) for box, first, wide in zip(inside, low, window, strict=True)
        ]
        cut = np.pad(data[(slice(None), *inside)], [(0, 0), *missing])
        cut_labels = np.pad(labels[inside], missing, constant_values=-1)[None]
        return transforms(image=torch.from_numpy(cut), segmentation=torch.from_numpy(cut_labels.astype(np.int16)))

    return make


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before_python", type=Path, help="of an environment with an earlier autoseg")
    parser.add_argument("--peer_python", type=Path, help="of an environment with nnU-Net v2")
    parser.add_argument("--work", type=Path, default=Path("transforms_work"), help="a folder that may be emptied")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--patch", type=int, nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--channels", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        _time(arguments.side, tuple(arguments.patch), arguments.channels, arguments.seconds)
    else:
        _compare(arguments)


def _time(side: str, patch: tuple[int, ...], channels: int, seconds: float) -> None:
    import time

    orders = {"before": None, "cubic": 3, "linear": 1}
    make = peer_samples(patch, channels) if side == "peer" else autoseg_samples(patch, channels, orders[side])
    make(0)
    started, number = time.process_time(), 0
    while time.process_time() - started < seconds:
        number += 1
        make(number)
    report(seconds=(time.process_time() - started) / number, samples=number)


def _compare(arguments: argparse.Namespace) -> None:
    here = Path(sys.executable)
    pythons = dict(zip(SIDES, (arguments.before_python, here, here, arguments.peer_python), strict=True))
    sides = [side for side in SIDES if pythons[side]]
    print("| patch | channels | " + " | ".join(sides) + " |\n|---|---|" + "---|" * len(sides))
    for patch in PATCHES:
        for channels in CHANNELS:
            times: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(arguments.turns):
                for side in sides:
                    words = ("--side", side, "--patch", *patch, "--channels", channels, "--seconds", arguments.seconds)
                    words = words_of(pythons[side], Path(__file__).resolve(), *words)
                    times[side].append(measure(Side(words=words, environment=ONE_CORE), arguments.work).seconds)
            row = " | ".join(f"{1000 * median(times[side]):.3g} ms" for side in sides)
            print(f"| {'x'.join(map(str, patch))} | {channels} | {row} |", flush=True)


if __name__ == "__main__":
    main()
