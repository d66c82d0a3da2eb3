"""Rules applied to a folder of segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.dataset.declared_target import declaration
from autoseg.dataset.target import Target, written_step
from autoseg.evaluation.segmentation_files import read_segmentation, segmentations_in
from autoseg.files.storage import content_hash
from autoseg.images import Told, write_image
from autoseg.machine.pool import fitting_workers, run_on_cases
from autoseg.outputs import POSTPROCESSING, Origin, hash_files, label_files, require_apart, require_known_origin
from autoseg.postprocessing.rules import Rule, apply_rules, require_outputs, target_of_values

BYTES_PER_WORKER = 2 * 10**9
"""A label image of 1000 slices of 512x512, the numbers of its components, and a copy."""

RECIPE = "rules 1"
"""Raised whenever the same rules give other labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A segmentation: its files, and where each goes."""

    identifier: str
    paths: tuple[Path, ...]
    outputs: tuple[Path, ...]


def apply_postprocessing(
    inputs: Path,
    output: Path,
    rules: Sequence[Rule],
    *,
    target: Target | None = None,
    overwrite: bool = False,
    workers: int | None = None,
) -> list[Path]:
    """Apply rules to every segmentation of a folder, and return the files written.

    Files in the output of which nothing is known are kept.

    Args:
        target: Whose outputs the rules name; None: maps of labels, each number a value.
        overwrite: Replace what is there.

    Raises:
        DatasetError: There is no such folder, or no segmentation in it, or of a case with a file for each mask one is
            missing.
        WorkspaceError: The output is the folder of the segmentations, or holds a task's own data.
        ModelError: What is there was predicted or averaged; or a rule is of an output that the target does not have.
        CasesFailed: After all were tried, naming those that failed.
    """
    of = target or target_of_values(rules)
    require_outputs(rules, of)
    found = segmentations_in(inputs, of)
    require_apart([output], {"the folder of the segmentations; name one of its own": [inputs]})
    cases = [
        _Case(identifier=case, paths=paths, outputs=label_files(output / f"{case}.nii.gz", of))
        for case, paths in found.items()
    ]
    model = content_hash(RECIPE, tuple(rules), *(() if target is None else (declaration(target),)))
    known = {output / f"{case.identifier}.nii.gz": case.outputs for case in cases}
    unknown = [] if overwrite else require_known_origin(known, model, POSTPROCESSING)
    count = fitting_workers(workers, BYTES_PER_WORKER)
    waiting = [case for case, named in zip(cases, known, strict=True) if named not in unknown]
    apply = partial(_apply_to_case, rules=tuple(rules), target=of, model=model)
    run_on_cases(apply, waiting, task="postprocessing", workers=count)
    return [path for case in waiting for path in case.outputs]


def _apply_to_case(case: _Case, rules: Sequence[Rule], target: Target, model: str) -> None:
    origin = Origin(model=model, inputs=hash_files(*case.paths), mark=POSTPROCESSING.mark)
    image = read_segmentation(case.paths, target)
    ruled = apply_rules(image.data, image.geometry.spacing, rules, target)
    for path, labels in zip(case.outputs, target.maps_of(ruled), strict=True):
        write_image(path, labels, image.geometry, Told(step=written_step(target), description=str(origin)))
