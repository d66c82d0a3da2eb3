"""Scores of a folder of segmentations, and the summary.json they are kept in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.arrays import LabelArray
from autoseg.dataset.facts import NOTHING, Facts
from autoseg.dataset.planes import read_fractions
from autoseg.errors import DatasetError, StorageError
from autoseg.evaluation.case_files import CaseFiles, Pair, find_pairs
from autoseg.evaluation.drawn_references import is_drawing, read_drawn_labels
from autoseg.evaluation.metrics import (
    BETWEEN_RATERS,
    LEFT_OUT,
    NO_EXTRAS,
    UNKNOWN,
    Counted,
    Extras,
    Metrics,
    foreground_mean,
    mean_of,
    score_arrays,
    undefined_metrics,
    volumes,
)
from autoseg.evaluation.shares import Shares, compare_shares
from autoseg.files.storage import content_hash, read_json, write_json
from autoseg.geometry import Spacing
from autoseg.images import Image, grid_differences, read_label, split_ending
from autoseg.images.whole_numbers import fractional_values
from autoseg.machine.pool import run_on_cases
from autoseg.words import first_few, in_digits

AUTHOR = "autoseg"
DESCRIPTION = (
    "A metric is null for a case in which it is undefined. A label absent from both images has no Dice and does not "
    "enter the mean; absent from one of them only, its Dice is 0. Means are over the cases where the metric is "
    "defined, n counts them, std is their sample standard deviation (null below two). foreground_mean is the mean "
    "over the labels above background. Volumes are in ml, distances in mm; the distance between the surfaces of a label is "
    "undefined where one of the two images has none of it."
)
IN_PIXELS = " Nothing says how large a pixel is here: each counts as 1 mm, so volumes are in thousands of pixels, distances in pixels."
IDENTIFIER_LENGTH = 12

SOFT_ELSEWHERE = '; soft labels are taken where the task, or a postprocessing.json, says "soft_labels": true'
KNOWN_OR_NOT = Counted(members={1: (1,)}, ignore=UNKNOWN)

BYTES_PER_WORKER = 2 * 10**9
"""Of one that scores: two label images of 1000 slices of 512x512 in 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScores:
    """The scores of one case: paths of the two files, metrics by label and name, and what else is known of the case.

    Attributes:
        in_pixels: Nothing says how large its voxels are, so that each counted as 1 mm.
    """

    test: str
    reference: str
    scores: Mapping[int, Metrics]
    facts: Facts = NOTHING
    in_pixels: bool = False

    def without(self, numbers: Sequence[int]) -> CaseScores:
        """The same, with nothing said of some numbers."""
        unknown = {number: dict.fromkeys(metrics) for number, metrics in self.scores.items() if number in numbers}
        return replace(self, scores={**self.scores, **unknown})

    @property
    def identifier(self) -> str:
        """The case's name."""
        return split_ending(Path(self.test).name)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The scores of many cases.

    A label absent from both images of a case has no Dice there: the case is left out of that label's mean and of its
    count in `number`. A label absent from one of the two images only scores 0.
    """

    name: str
    task: str
    timestamp: str
    labels: tuple[int, ...]
    cases: tuple[CaseScores, ...]

    @property
    def in_pixels(self) -> bool:
        """Whether no case says how large its voxels are."""
        return bool(self.cases) and all(case.in_pixels for case in self.cases)

    @property
    def mean(self) -> dict[int, Metrics]:
        """For each label, each metric's mean over the cases where it is defined."""
        return {label: self._each_metric(label, mean_of) for label in self.labels}

    @property
    def std(self) -> dict[int, Metrics]:
        """The sample standard deviation over those cases; None below two."""
        return {label: self._each_metric(label, _std) for label in self.labels}

    @property
    def number(self) -> dict[int, dict[str, int]]:
        """How many cases entered each mean."""
        return {label: self._each_metric(label, _defined) for label in self.labels}

    @property
    def foreground_mean(self) -> Metrics:
        """The mean of `mean` over the labels above background."""
        return foreground_mean(self.mean)

    def with_facts(self, facts: Mapping[str, Facts]) -> Summary:
        """The same with what is known of the cases beside their images, by their names."""
        cases = (replace(case, facts=facts.get(case.identifier, NOTHING)) for case in self.cases)
        return replace(self, cases=tuple(cases))

    def counted_in_pixels(self, cases: Collection[str]) -> Summary:
        """The same, where files do not tell of these cases that nothing says how large their voxels are."""
        return replace(
            self,
            cases=tuple(replace(case, in_pixels=case.in_pixels or case.identifier in cases) for case in self.cases),
        )

    def without(self, undrawn: Mapping[str, Sequence[int]]) -> Summary:
        """The same, with nothing said of the numbers that nobody drew in a case, by the cases' names."""
        cases = (case.without(undrawn.get(case.identifier, ())) for case in self.cases)
        return replace(self, cases=tuple(cases))

    def _each_metric(self, label: int, combine: Callable[[Sequence[float | None]], Any]) -> dict[str, Any]:
        scores = [case.scores[label] for case in self.cases]
        names = dict.fromkeys(name for metrics in scores for name in metrics)
        return {name: combine([metrics.get(name) for metrics in scores]) for name in names}


def score_folder(
    predictions: Path,
    references: Path,
    counted: Counted,
    *,
    workers: int,
    cases: Sequence[str] | None = None,
    surface_distances: bool = False,
) -> Summary:
    """Score every segmentation of a folder against the file of the same name in another; of raters against their mean.

    Args:
        workers: Processes; each case is read once for all numbers.
        cases: Identifiers to score. Without them the two folders must hold exactly the same names.
        surface_distances: Also the 95th percentile Hausdorff distance.

    Raises:
        DatasetError: The folders hold different names; both sides are listed.
        CasesFailed: Naming each case whose files cannot be compared (different grids, no whole numbers).
    """
    files = find_pairs(predictions, references, counted, cases)
    extras = Extras(
        surface_distances=surface_distances,
        soft=counted.soft,
        raters=any(len(pair.references) > 1 for case in files for pair in case.pairs),
        left_out=counted.ignore is not None,
    )
    score = partial(score_case, numbers=tuple(counted.members), extras=extras)
    scored = run_on_cases(score, files, task="scoring", workers=workers)
    return Summary(
        name=predictions.name,
        task="",
        timestamp=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        labels=tuple(counted.members),
        cases=tuple(scored),
    )


def score_case(files: CaseFiles, *, numbers: Sequence[int], extras: Extras = NO_EXTRAS) -> CaseScores:
    """Score the files of one predicted segmentation against its reference files; what was not drawn has no score.

    Args:
        numbers: All that get scores.
        extras: Measured beside what follows from counted voxels.

    Raises:
        DatasetError: Two lie on different grids, or hold other than whole numbers, or than fractions.
    """
    found: dict[int, Metrics] = {}
    in_pixels = []
    for pair in files.pairs:
        if pair.references:
            images = _read_on_one_grid((pair.prediction, *pair.references), pair.counted)
            in_pixels += [image.geometry.in_pixels for image in images]
            found |= _score_pair(pair, images, extras)
    undefined = undefined_metrics(extras) if len(found) < len(numbers) else {}
    scores = {number: found[number] if number in found else dict(undefined) for number in numbers}
    return CaseScores(
        test=str(files.prediction),
        reference=str(files.reference),
        scores=scores,
        in_pixels=bool(in_pixels) and all(in_pixels),
    )


def _score_pair(pair: Pair, images: Sequence[Image], extras: Extras) -> dict[int, Metrics]:
    counted = pair.counted
    prediction, *references = (image.data for image in images)
    spacing = images[-1].geometry.spacing
    measured = spacing if extras.surface_distances else None
    if counted.soft or len(references) > 1:
        by_number = {
            number: compare_shares(prediction, references, partial(counted.share_of, number=number))
            for number in counted.members
        }
        scores = {number: _score_shares(shares, extras, measured) for number, shares in by_number.items()}
    else:
        scores = score_arrays(prediction, references[0], counted, spacing=measured)
        unknown = {BETWEEN_RATERS: None, LEFT_OUT: float(np.count_nonzero(references[0] == counted.ignore))}
        for metrics in scores.values():
            metrics |= {name: value for name, value in unknown.items() if name in extras.names}
    for metrics in scores.values():
        metrics |= volumes(metrics, spacing)
    return scores


def _score_shares(shares: Shares, extras: Extras, spacing: Spacing | None) -> Metrics:
    unknown = float(np.count_nonzero(shares.reference == UNKNOWN))
    more = {**shares.soft_metrics, BETWEEN_RATERS: shares.agreement, LEFT_OUT: unknown}
    metrics = score_arrays(shares.prediction, shares.reference, KNOWN_OR_NOT, spacing=spacing)[1]
    return metrics | {name: value for name, value in more.items() if name in extras.names}


def read_pair(pair: tuple[Path, Path]) -> tuple[LabelArray, LabelArray, Spacing]:
    """Read `(prediction, reference)`: two `(Z, Y, X)` arrays of labels, and their voxel size in mm.

    Raises:
        DatasetError: The two lie on different grids, or hold other than whole numbers.
    """
    prediction, reference = _on_one_grid(pair, read_labels)
    return prediction.data, reference.data, reference.geometry.spacing


def read_labels(path: Path) -> Image:
    """Read a segmentation; its data are integers, also where the file holds whole numbers of another kind.

    Raises:
        DatasetError: It cannot be read, or holds other than whole numbers.
    """
    image = read_label(path)
    return Image(data=_whole_numbers(image, path), geometry=image.geometry)


def read_shares(path: Path, ignore: int | None) -> Image:
    """Read soft labels; its data are fractions, NaN where they hold what is ignored.

    Raises:
        DatasetError: It cannot be read, or holds other than fractions.
    """
    image = read_label(path)
    return Image(data=read_fractions(image.data, ignore, f"{path}:"), geometry=image.geometry)


def require_one_grid(pair: tuple[Path, Path], prediction: Image, reference: Image) -> None:
    """Refuse two images that lie on different grids.

    Raises:
        DatasetError: Naming both files and what differs.
    """
    if differences := grid_differences(prediction, reference):
        raise DatasetError(
            f"{pair[0]} and {pair[1]} lie on different grids: {'; '.join(differences)}; resample one onto the other"
        )


def save_summary(summary: Summary, path: Path) -> None:
    """Write a summary.json; undefined values are null, and what is known of cases is left out where nothing is."""
    facts = {case.identifier: dict(case.facts.known) for case in summary.cases if case.facts}
    content: dict[str, Any] = {
        "name": summary.name,
        "description": DESCRIPTION + (IN_PIXELS if summary.in_pixels else ""),
        "timestamp": summary.timestamp,
        "task": summary.task,
        "author": AUTHOR,
        "results": {
            "all": [{**case.scores, "test": case.test, "reference": case.reference} for case in summary.cases],
            "mean": summary.mean,
            "std": summary.std,
            "n": summary.number,
            "foreground_mean": summary.foreground_mean,
        },
        **({"facts": facts} if facts else {}),
        **({"in_pixels": True} if summary.in_pixels else {}),
    }
    write_json(path, {**content, "id": content_hash(content)[:IDENTIFIER_LENGTH]})


def is_summary(path: Path) -> bool:
    """Whether a file is a summary.json that autoseg wrote, of any version."""
    try:
        content = read_json(path)
    except StorageError:
        return False
    return isinstance(content, dict) and content.get("author") == AUTHOR


def load_summary(path: Path) -> Summary:
    """Read a summary.json.

    Raises:
        StorageError: Naming the file when its structure is not that of a summary.
    """
    content = read_json(path)
    try:
        results, facts = content["results"], content.get("facts", {})
        summary = Summary(
            name=content["name"],
            task=content["task"],
            timestamp=content["timestamp"],
            labels=tuple(int(label) for label in results["mean"]),
            cases=tuple(_case_scores(entry) for entry in results["all"]),
        )
        known_facts = {case: Facts(known=tuple(known.items())) for case, known in facts.items()}
        pixels = [case.identifier for case in summary.cases] if content.get("in_pixels") is True else []
        return summary.with_facts(known_facts).counted_in_pixels(pixels)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"{path}: not a summary of scores ({error!r}); evaluate the folder again") from error


def _case_scores(entry: Mapping[str, Any]) -> CaseScores:
    scores = {int(label): metrics for label, metrics in entry.items() if label not in ("test", "reference")}
    return CaseScores(test=entry["test"], reference=entry["reference"], scores=scores)


def _read_on_one_grid(paths: Sequence[Path], counted: Counted) -> list[Image]:
    """A prediction and its references: their labels or their fractions."""
    if not counted.soft:
        return _on_one_grid(paths, partial(_read_hard, prediction=paths[0], counted=counted))
    return _on_one_grid(paths, lambda path: read_shares(path, None if path == paths[0] else counted.ignore))


def _read_hard(path: Path, *, prediction: Path, counted: Counted) -> Image:
    """Labels by their numbers, also where a reference is a DICOM drawing, which has no grid of its own."""
    if path == prediction or not is_drawing(path):
        return read_labels(path)
    return read_drawn_labels(path, prediction, read_labels(prediction), counted.names)


def _on_one_grid(paths: Sequence[Path], read: Callable[[Path], Image]) -> list[Image]:
    images = [read(path) for path in paths]
    for path, image in zip(paths[1:], images[1:], strict=True):
        if differences := grid_differences(images[0], image):
            raise DatasetError(
                f"{paths[0]} and {path} lie on different grids: {'; '.join(differences)}; resample one onto the other"
            )
    return images


def _whole_numbers(image: Image, path: Path) -> LabelArray:
    fractions = fractional_values(image.data)
    if len(fractions):
        named = SOFT_ELSEWHERE if 0 < fractions.min() <= fractions.max() < 1 else ""
        raise DatasetError(
            f"{path}: a segmentation holds whole numbers only, found {first_few(fractions, say=in_digits)}; correct the file"
            f"{named}"
        )
    if image.data.dtype.kind == "f":
        beyond = image.data.flat[np.abs(image.data).argmax()]
        raise DatasetError(f"{path}: holds {beyond:.6g}, which is no label's number; correct the file")
    return image.data


def _defined(values: Sequence[float | None]) -> int:
    return sum(value is not None for value in values)


def _std(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.std(defined, ddof=1)) if len(defined) > 1 else None
