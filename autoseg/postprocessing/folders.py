"""Rules applied to a folder of segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.dataset import image_files
from autoseg.errors import DatasetError
from autoseg.evaluation.summary import read_labels
from autoseg.files.storage import content_hash
from autoseg.images import write_image
from autoseg.machine.pool import fitting_workers, run_on_cases
from autoseg.outputs import POSTPROCESSING, Origin, hash_files, require_apart, require_known_origin
from autoseg.postprocessing.rules import Rule, apply_rules

BYTES_PER_WORKER = 2 * 10**9
"""A label image of 1000 slices of 512x512, the numbers of its components, and a copy."""

RECIPE = "rules 1"
"""Raised whenever the same rules give other labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    identifier: str
    path: Path
    output: Path


def apply_postprocessing(
    inputs: Path, output: Path, rules: Sequence[Rule], *, overwrite: bool = False, workers: int | None = None
) -> list[Path]:
    """Apply rules to every segmentation of a folder, and return the files written.

    Files in the output of which nothing is known are kept.

    Args:
        overwrite: Replace what is there.

    Raises:
        DatasetError: There is no such folder, or no segmentation in it.
        WorkspaceError: The output is the folder of the segmentations, or holds a task's own data.
        ModelError: What is there was predicted or averaged.
        CasesFailed: After all were tried, naming those that failed.
    """
    if not inputs.is_dir():
        raise DatasetError(f"{inputs}: no such folder; name a folder of segmentations (.nii.gz)")
    require_apart([output], {"the folder of the segmentations; name one of its own": [inputs]})
    files = _files(inputs, output)
    model = content_hash(RECIPE, tuple(rules))
    unknown = (
        [] if overwrite else require_known_origin({file.output: [file.output] for file in files}, model, POSTPROCESSING)
    )
    count = fitting_workers(workers, BYTES_PER_WORKER)
    waiting = [file for file in files if file.output not in unknown]
    run_on_cases(
        partial(_apply_to_file, rules=tuple(rules), model=model), waiting, task="postprocessing", workers=count
    )
    return [file.output for file in waiting]


def _files(inputs: Path, output: Path) -> list[_File]:
    """The segmentations of a folder, each with the file it goes to."""
    files = [
        _File(identifier=identifier, path=path, output=output / f"{identifier}.nii.gz")
        for identifier, path in image_files(inputs).items()
    ]
    if not files:
        raise DatasetError(f"{inputs}: no segmentation (.nii.gz) here; name a folder of segmentations")
    return files


def _apply_to_file(file: _File, rules: Sequence[Rule], model: str) -> None:
    origin = Origin(model=model, inputs=hash_files(file.path), mark=POSTPROCESSING.mark)
    image = read_labels(file.path)
    ruled = apply_rules(image.data, image.geometry.spacing, rules)
    write_image(file.output, ruled, image.geometry, description=str(origin))
