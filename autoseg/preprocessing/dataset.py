"""Preparing all training cases of a task for several configurations at once, leaving alone what is already done."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.dataset.raw_cases import places_of, read_case
from autoseg.dataset.target import Target, stored_target
from autoseg.errors import DatasetError
from autoseg.files.storage import atomic_path, content_hash, file_hash
from autoseg.geometry import Box, Spacing, box_shape
from autoseg.images import (
    AS_FILES_SAY,
    Image,
    grid_differences,
    image_hash,
    read_header,
    read_image,
    read_label,
    split_ending,
    write_image,
)
from autoseg.machine.pool import fitting_workers, run_on_cases
from autoseg.plans import Plans
from autoseg.preprocessing.prepare import (
    CroppedCase,
    crop_case,
    preparation,
    prepare_cropped,
    properties_of,
    require_fit,
)
from autoseg.preprocessing.requirements import estimate_requirements, require_disk
from autoseg.preprocessing.store import FOREGROUND, SEGMENTATION, PreparedCases
from autoseg.words import counted

log = logging.getLogger(__name__)

REFERENCE_ENDING = ".nii.gz"

RECIPE = 2
"""Raised whenever preparing the same files by the same plan gives other arrays, so that older ones are made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What became of a case; `cut_labels` as in `CroppedCase`, `constant` the channels that hold one value only."""

    identifier: str
    cut_labels: int
    constant: tuple[int, ...]


def prepare_dataset(
    dataset: Dataset,
    plans: Mapping[str, Plans],
    folders: Mapping[str, Path],
    references: Path,
    *,
    workers: int | None = None,
) -> None:
    """Prepare every training case for every configuration; each case's files are read once.

    Configurations that would make the same arrays of a case share one copy of them.

    A case is left alone where it was made from the same files by the same plan: run again after an interruption, it
    continues, and a changed image is noticed. Prepared cases that the dataset no longer lists stay where they are until
    `leftovers` removes them; take identifiers from the dataset or its splits.

    Args:
        plans: The plans of each configuration to prepare.
        folders: Where the prepared cases of each configuration go.
        references: Where the label files are copied to, as `<case>.nii.gz`, for scoring.
        workers: Processes; None for as many as cores and memory allow.

    Raises:
        CasesFailed: Naming each case that failed; the others are finished.
        StorageError: The disk has clearly too little space.
        DatasetError: Two cases whose files would have one name.
    """
    _require_distinct_files(dataset.training)
    stores = {name: PreparedCases(folders[name]) for name in plans}
    needed = estimate_requirements(dataset.training, plans, stores)
    count = fitting_workers(workers, needed.memory)
    log.info("%s: preparing %s for %s", dataset.name, counted(len(dataset.training), "case"), ", ".join(plans))
    log.info("about %s, %d at a time", needed, count)
    require_disk(needed, list(folders.values()))
    done = run_on_cases(
        partial(_prepare_one, plans=plans, stores=stores, references=references),
        dataset.training,
        task="preparing",
        workers=count,
    )
    prepared = [one for one in done if one is not None]
    log.info(
        "%s: %s prepared, %d skipped as nothing changed",
        dataset.name,
        counted(len(prepared), "case"),
        len(done) - len(prepared),
    )
    _warn_of_cut_labels({one.identifier: one.cut_labels for one in prepared if one.cut_labels})
    _warn_of_constant_channels({one.identifier: one.constant for one in prepared if one.constant})


def _prepare_one(
    case: Case, *, plans: Mapping[str, Plans], stores: Mapping[str, PreparedCases], references: Path
) -> _Prepared | None:
    """Prepare one case wherever it is not current; None where there was nothing to do."""
    hashes = [image_hash(path) for path in case.paths]
    parts = [str(image.part) for image in case.images if image.part is not None]
    signatures = {name: _signature([*hashes, *parts], plans[name], name, case) for name in plans}
    waiting = [name for name in plans if not stores[name].is_current(case.identifier, signatures[name])]
    target = next(iter(plans.values())).target
    for place, label_hash in enumerate(hashes[len(case.image_paths) :]):
        reference = references / reference_name(case, place, target)
        if not _is_same_image(reference, place, label_hash, case):
            _copy_reference(place, reference, case)
    if not waiting:
        _let_copies_go(case.identifier, plans, stores)
        return None
    cropped = _cropped(case, plans[waiting[0]].target)
    for name in waiting:
        require_fit(cropped, plans[name])
    for name in reversed(waiting):  # those that share before those whose arrays they share
        stores[name].withdraw(case.identifier)
    done = [name for name in plans if name not in waiting]
    for name in waiting:
        if not _share(cropped, name, done, plans=plans, stores=stores, signature=signatures[name]):
            stores[name].save(prepare_cropped(cropped, plans[name], name), signatures[name])
        done.append(name)
    constant = tuple(number for number, channel in enumerate(cropped.data) if channel.min() == channel.max())
    return _Prepared(identifier=case.identifier, cut_labels=cropped.cut_labels, constant=constant)


def _let_copies_go(identifier: str, plans: Mapping[str, Plans], stores: Mapping[str, PreparedCases]) -> None:
    """Keep one copy of arrays that are equal, where two processes at a time each kept their own."""
    for first, second in combinations(plans, 2):
        properties = stores[first].properties(identifier)
        if _is_prepared_alike(properties.crop, properties.geometry.spacing, first, second, plans):
            stores[second].let_go(stores[first], identifier)


def _is_prepared_alike(crop: Box, spacing: Spacing, name: str, other: str, plans: Mapping[str, Plans]) -> bool:
    shape = box_shape(crop)
    return preparation(shape, spacing, plans[name], name) == preparation(shape, spacing, plans[other], other)


def _cropped(case: Case, target: Target) -> CroppedCase:
    return crop_case(read_case(case, target), target)


def _share(
    case: CroppedCase,
    name: str,
    done: Sequence[str],
    *,
    plans: Mapping[str, Plans],
    stores: Mapping[str, PreparedCases],
    signature: str,
) -> bool:
    """Let the configuration share the arrays of one that is done, where theirs would be the same; whether it does."""
    equal = (other for other in done if _is_prepared_alike(case.crop, case.geometry.spacing, name, other, plans))
    properties = properties_of(case, plans[name], name)
    return any(stores[name].share(stores[other], properties, signature) for other in equal)


def _warn_of_cut_labels(cases: Mapping[str, int]) -> None:
    if cases:
        first, number = next(iter(cases.items()))
        log.warning(
            "labels of %s lie in part where every channel is 0, outside the box that is kept (%s of %s); they are "
            "not trained on, but scored: autoseg_verify_dataset names each",
            counted(len(cases), "case"),
            counted(number, "voxel"),
            first,
        )


def _warn_of_constant_channels(cases: Mapping[str, tuple[int, ...]]) -> None:
    if cases:
        first, channels = next(iter(cases.items()))
        log.warning(
            "%s a channel that holds one value only (channel %d of %s), in which there is nothing to learn from; "
            "autoseg_verify_dataset names each",
            counted(len(cases), "case has", "cases have"),
            channels[0],
            first,
        )


def reference_name(case: Case, place: int, target: Target) -> str:
    """What the copy of a label is called: after its case, or where there are several as its file, or as its file would be."""
    if case.segmentation:
        return case.identifier + REFERENCE_ENDING
    part = case.label_parts[place]
    stem = split_ending(case.label_paths[place].name)[0]
    return (stem if part is None else target.files_of(case.identifier)[part]) + REFERENCE_ENDING


def _signature(file_hashes: Sequence[str], plans: Plans, configuration: str, case: Case) -> str:
    """Stands for all a prepared case is made from: the files' content and the parts of the plan that preparing uses."""
    plan, more = plans.configuration(configuration), stored_target(plans.target)
    return content_hash(
        RECIPE,
        file_hashes,
        plans.transpose_forward,
        plan.grid.spacing[-len(plan.sampling.patch_size) :],
        len(plans.target.outputs),
        tuple(rule.name for rule in plan.intensities),
        tuple(rule.masked for rule in plan.intensities),
        plans.intensities if plan.needs_statistics else None,
        *([more] if more else []),
        *([places_of(case), case.annotated] if case.drawn or case.annotated else []),
        *([case.reading] if case.reading != AS_FILES_SAY else []),
    )


def _is_same_image(reference: Path, place: int, label_hash: str, case: Case) -> bool:
    """Whether the copy is there and holds what the label file holds now."""
    if not reference.is_file():
        return False
    if _is_copied(case.label_paths[place]):
        return file_hash(reference) == label_hash
    try:
        copy = read_image(reference)
    except DatasetError:
        return False
    original = _label_on_grid(place, case)
    return not grid_differences(copy, original) and np.array_equal(copy.data, original.data)


def _is_copied(label: Path) -> bool:
    """Byte by byte; a label in another format is written anew."""
    return label.name.lower().endswith(REFERENCE_ENDING)


def _copy_reference(place: int, reference: Path, case: Case) -> None:
    label = case.label_paths[place]
    if _is_copied(label):
        with atomic_path(reference) as temporary:
            shutil.copyfile(label, temporary)
    else:
        image = _label_on_grid(place, case)
        write_image(reference, image.data, image.geometry)


def _label_on_grid(place: int, case: Case) -> Image:
    """A label; where it does not say how large its voxels are, they are its image's."""
    image = read_label(case.label_paths[place], case.reading, part=case.label_parts[place], parts=len(case.drawn))
    if not image.geometry.in_pixels:
        return image
    header = read_header(case.image_paths[0], most_dimensions=4, reading=case.reading)
    return replace(image, geometry=header.geometry)


def _require_distinct_files(cases: Sequence[Case]) -> None:
    """A case "a" and one called "a_seg" would write the same file."""
    names = {case.identifier for case in cases}
    for name in sorted(names):
        for ending in (SEGMENTATION, FOREGROUND):
            other = name + ending.removesuffix(".npy")
            if other in names:
                raise DatasetError(
                    f"cases {name} and {other}: their prepared files would share a name; rename one case"
                )
