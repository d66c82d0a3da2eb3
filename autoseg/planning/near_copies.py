"""Images that are nearly the same under two names: resampled, in noise, smoothed, a little moved or cropped, or inverted.

Each image is known by a small one: its first channel on 16 voxels along each axis, scaled, so that units do not matter. Of
200 crops of the hippocampus no two of different people correlate above 0.85; an image and itself moved by a voxel do at 0.97,
in noise of a third of its deviation at 0.995 (Medical Segmentation Decathlon, Task04).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from autoseg.dataset.folds import Split
from autoseg.planning.inspection import Finding, Inspection
from autoseg.words import readable

NEAR = 0.95
"""Correlation of two images of one thing; where all images resemble each other, as brains in one frame do, nearer ones only."""

NEARER = 0.25
"""How far apart two may be at most, beside the median of all pairs."""

FEW = 6
"""Pairs of which a median says nothing."""


def find_near_copies(
    training: Sequence[Inspection],
    test: Sequence[Inspection],
    group_of: Callable[[str], str],
    splits: Sequence[Split] = (),
) -> list[Finding]:
    """Cases of different groups that look nearly the same; with folds, those that are on both sides of one, or test.

    Args:
        group_of: Whose image a case is.
    """
    tested = {one.case.identifier for one in test}
    findings = []
    for one, other, likeness in _near([*training, *test]):
        name, earlier = one.case.identifier, other.case.identifier
        if earlier in tested or (name not in tested and group_of(name) == group_of(earlier)):
            continue
        if name in tested:
            where, remedy = f"test case {name}", "do not test on it"
        elif not splits:
            where, remedy = f"case {name}", "keep both in one fold, as images of one patient, or leave one out"
        elif fold := _fold_between(splits, name, earlier):
            where = f"case {name}"
            remedy = f"one trains and the other validates in fold {fold}; make them one patient's, or leave one out"
        else:
            continue
        text = f"looks nearly the same as case {readable(earlier)} (correlation {likeness:.3f}); {remedy}"
        findings.append(Finding(severity="warning", where=where, text=text))
    return findings


def _near(inspections: Sequence[Inspection]) -> Iterator[tuple[Inspection, Inspection, float]]:
    """Each case with the one before it that it is most like, where they are near."""
    for size in {one.look.size for one in inspections if one.look is not None}:
        group = [one for one in inspections if one.look is not None and one.look.size == size]
        looks = np.stack([one.look for one in group if one.look is not None])
        likeness = np.abs(looks @ looks.T)
        pairs = likeness[np.triu_indices(len(group), 1)]
        far = 1 - float(np.median(pairs)) if pairs.size > FEW else 1.0
        least = max(NEAR, 1 - NEARER * far)
        for number, one in enumerate(group[1:], start=1):
            best = int(likeness[number, :number].argmax())
            if likeness[number, best] >= least:
                yield one, group[best], float(likeness[number, best])


def _fold_between(splits: Sequence[Split], one: str, other: str) -> str | None:
    """The first fold in which one trains and the other validates."""
    for number, split in enumerate(splits):
        if (one in split.training and other in split.validation) or (
            other in split.training and one in split.validation
        ):
            return str(number)
    return None
