"""How long a fusion of six views takes to fit and to judge, once 200 cases of Task04's size are predicted along each.

python benchmarks/fusion.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from autoseg.dataset import Exclusive
from autoseg.ensembling.fusing import Source, train_fusion
from autoseg.geometry import Geometry
from autoseg.images import write_image
from autoseg.inference.probabilities import Packer, save_probabilities
from autoseg.postprocessing.scoring import ValidationCase
from autoseg.training.trial import untouched

CASES, VIEWS, FOLDS, SHAPE = 200, 6, 5, (36, 50, 35)
TARGET = Exclusive.numbered(3)
GEOMETRY = Geometry(spacing=(1.0, 1.0, 1.0))
MOST_SECONDS, CORES = 60, 2
BLUR, NOISE = 1.0, 0.6
"""Voxels that a view blurs the truth by, and how much it doubts beside."""


def truth_of(random: np.random.Generator) -> np.ndarray:
    """A body of two parts, somewhere in the middle."""
    z, y, x = np.indices(SHAPE)
    middle = np.array(SHAPE) / 2 + random.normal(0, 2, 3)
    inside = sum(
        ((axis - centre) / size) ** 2 for axis, centre, size in zip((z, y, x), middle, (9, 16, 8), strict=True)
    )
    return np.where(inside < 1, 1 + (y > middle[1]), 0).astype(np.uint8)


def write_view(path: Path, labels: np.ndarray, random: np.random.Generator) -> None:
    """What a view says of a case, as a prediction with its probabilities."""
    scores = np.stack([ndimage.gaussian_filter((labels == label).astype(np.float32), BLUR) for label in range(3)])
    scores += NOISE * ndimage.gaussian_filter(random.standard_normal(scores.shape), (0, 2, 2, 2))
    said = np.exp(6 * scores)
    said = (said / said.sum(axis=0)).astype(np.float32)
    properties = untouched("case", SHAPE, GEOMETRY)
    packer = Packer(properties, TARGET)
    for plane in said.swapaxes(0, 1):
        packer.add_array(np.ascontiguousarray(plane))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_probabilities(path.with_name(path.name.replace(".nii.gz", ".npz")), packer.finish())
    write_image(path, said.argmax(axis=0).astype(np.uint8), GEOMETRY)


def write_sources(folder: Path) -> list[Source]:
    """All views of all cases."""
    random = np.random.default_rng(0)
    cases: list[list[ValidationCase]] = [[] for _ in range(VIEWS)]
    for number in range(CASES):
        labels, name, fold = truth_of(random), f"case_{number:03d}", str(number % FOLDS)
        reference = folder / "references" / f"{name}.nii.gz"
        reference.parent.mkdir(exist_ok=True)
        write_image(reference, labels, GEOMETRY)
        for view, of_view in enumerate(cases):
            path = folder / f"view_{view}" / f"fold_{fold}" / f"{name}.nii.gz"
            write_view(path, labels, random)
            of_view.append(
                ValidationCase(
                    identifier=name, fold=fold, patient=name, predictions=(path,), references=((reference,),)
                )
            )
    return [Source(name=f"view {number}", cases=tuple(some)) for number, some in enumerate(cases)]


def main() -> None:
    """Print the time beside its limit."""
    with tempfile.TemporaryDirectory() as folder:
        sources = write_sources(Path(folder))
        started, of_processor = time.monotonic(), time.process_time()
        record = train_fusion(sources, TARGET, Path(folder) / "fusion", workers=CORES).record
        print(
            f"{CASES} cases, {VIEWS} views, {len(TARGET.outputs)} classes: {time.monotonic() - started:.0f} s with {CORES} "
            f"workers (at most {MOST_SECONDS}), {time.process_time() - of_processor:.0f} s of them of this process; "
            f"Dice {record.dice}"
        )


if __name__ == "__main__":
    main()
