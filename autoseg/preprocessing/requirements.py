"""What preparing a dataset will take of disk and memory, estimated before it starts."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from autoseg.dataset import Case
from autoseg.dataset.normalisations import NO_NORM
from autoseg.errors import DatasetError, StorageError
from autoseg.images import Header, read_header
from autoseg.plans import IntensityRule, Plans
from autoseg.preprocessing.label_arrays import LOCATIONS_PER_LABEL
from autoseg.preprocessing.prepare import preparation
from autoseg.preprocessing.store import PreparedCases
from autoseg.words import in_bytes

log = logging.getLogger(__name__)

BYTES_PER_INTENSITY = 4
BYTES_ON_DISK, BYTES_UNSCALED = 2, 4
"""For each intensity; one that is not normalised, or by a function of the user's own, may need single precision."""

BYTES_PER_LABEL = 1
BYTES_PER_LOCATION = 16

WORKING_BYTES = 6
"""For each voxel beside its intensities: masks, labels, slabs; measured as the peak of `prepare_case` on a large volume."""

BYTES_PER_FURTHER_LABEL = 2
"""For each voxel and label file beyond the first, as measured likewise with reading: 1.5 of masks and of fractions."""

BYTES_OF_PLANES = 8
"""For each voxel where labels are planes of fractions, of which one at a time is resampled in single precision; likewise."""

WORKER_BYTES = 150 * 10**6
"""The interpreter with its libraries."""

CLEARLY_TOO_LITTLE = 0.5
"""Free space below this share of the estimate is refused; above, the estimate may err."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Estimates in bytes: of all files still to be written, and of the peak memory of one worker."""

    disk: int
    memory: int

    def __str__(self) -> str:
        return f"{in_bytes(self.disk)} of disk and {in_bytes(self.memory)} of memory for each worker"


def estimate_requirements(
    cases: Sequence[Case], plans: Mapping[str, Plans], stores: Mapping[str, PreparedCases]
) -> Requirements:
    """Estimate from the plans' median shapes, and from how much larger or smaller than their median each image is.

    Args:
        plans: By configuration, as `stores`. A case already in a store is taken to need no more space there, and one whose
            arrays two configurations share to need it once.
    """
    grids = {case.identifier: _raw_grid(case) for case in cases}
    voxels = {identifier: math.prod(grid.shape[-3:]) if grid else 0 for identifier, grid in grids.items()}
    labelled = {case.identifier: max(1, len(case.label_paths)) for case in cases}
    middle = max(1, median(voxels.values()))
    disk = memory = 0.0
    for name, store in stores.items():
        channels, labels = len(plans[name].channels), len(plans[name].target.scored)
        kept = sum(map(_bytes_on_disk, plans[name].configuration(name).intensities))
        prepared = math.prod(plans[name].configuration(name).grid.median_shape) / middle  # voxels for each raw voxel
        waiting = [
            identifier
            for identifier, grid in grids.items()
            if identifier not in store and not _is_shared(grid, name, plans)
        ]
        disk += sum(voxels[one] * prepared * (kept + BYTES_PER_LABEL * labelled[one]) for one in waiting)
        disk += len(waiting) * labels * LOCATIONS_PER_LABEL * BYTES_PER_LOCATION
        working = channels * BYTES_PER_INTENSITY + WORKING_BYTES + BYTES_OF_PLANES * plans[name].target.in_planes
        largest = max(
            voxels[one] * (working + BYTES_PER_FURTHER_LABEL * (files - 1)) for one, files in labelled.items()
        )
        memory = max(memory, largest * (1 + prepared))
    return Requirements(disk=round(disk), memory=WORKER_BYTES + round(memory))


def require_disk(needed: Requirements, folders: Sequence[Path]) -> None:
    """Refuse to start where the disk clearly has too little space; warn where it may have.

    Raises:
        StorageError: Naming the folder, the estimate and what is free.
    """
    for folder in folders:
        existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
        free = shutil.disk_usage(existing).free
        problem = f"{folder}: preparing needs about {in_bytes(needed.disk)} of disk, {in_bytes(free)} are free"
        if free < needed.disk * CLEARLY_TOO_LITTLE:
            raise StorageError(
                f"{problem}; free some space, or set AUTOSEG_PREPROCESSED (or `home`) to a folder on a larger disk"
            )
        if free < needed.disk:
            log.warning("%s; it may not suffice", problem)
            return


def _bytes_on_disk(rule: IntensityRule) -> int:
    normalisation = rule.normalisation
    return BYTES_UNSCALED if normalisation.is_own or normalisation.name == NO_NORM else BYTES_ON_DISK


def _is_shared(grid: Header | None, name: str, plans: Mapping[str, Plans]) -> bool:
    """Whether a configuration before would make the same arrays of an image, of which there then is one copy."""
    if grid is None:
        return False
    before = list(plans)[: list(plans).index(name)]
    shape, spacing = grid.shape[-3:], grid.geometry.spacing
    wanted = preparation(shape, spacing, plans[name], name)
    return any(preparation(shape, spacing, plans[other], other) == wanted for other in before)


def _raw_grid(case: Case) -> Header | None:
    """The header of a case's image; none where that cannot be read, which its preparation will report."""
    try:
        return read_header(case.image_paths[0], most_dimensions=4, reading=case.reading)
    except DatasetError:
        return None
