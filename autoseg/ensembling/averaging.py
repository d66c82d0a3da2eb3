"""The mean of several models' class probabilities, and its labels, from the compact files that prediction leaves.

Files hold probabilities on the original grid of the image, so models that cropped, transposed or resampled it
differently meet voxel by voxel. Slab after slab is unpacked and averaged: what is held does not grow with the image.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.arrays import Float32Array, LabelArray
from autoseg.dataset import image_files
from autoseg.errors import DatasetError, ModelError, StorageError
from autoseg.files.storage import content_hash
from autoseg.geometry import Box, Shape, box_shape, inside, inverse_order, reorder, turned
from autoseg.images import read_image
from autoseg.inference.cases import Written, is_finished, write_segmentation
from autoseg.inference.fusion import Fusion
from autoseg.inference.probabilities import PackedProbabilities, Packer, load_packed, load_target
from autoseg.machine.pool import fitting_workers, run_on_cases
from autoseg.networks.activations import activation_of
from autoseg.outputs import AVERAGING, Origin, hash_files, label_files, require_apart, require_known_origin
from autoseg.postprocessing.rules import Rule, apply_rules
from autoseg.preprocessing.prepare import CaseProperties
from autoseg.words import counted

log = logging.getLogger(__name__)


SLAB_BYTES = 128 * 2**20
"""Most bytes of mean probabilities held at a time, but never less than a plane: 12 planes of 512x512 with ten classes."""

ENDING = ".npz"


RECIPE = 1
"""Raised whenever averaging the same probabilities gives other labels, so that older ones are made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleJob:
    """One case: its probabilities from each model, and where its labels go.

    Attributes:
        model: Hash of the way the labels are made, kept in their file.
        inputs: Gives a hash of what they are made from, kept there too.
        mark: Of the work that makes them, likewise.
        fusion: How much each model has to say; None: all alike.
    """

    identifier: str
    members: tuple[Path, ...]
    output: Path
    model: str
    inputs: Callable[[], str]
    mark: str = ""
    fusion: Fusion | None = None

    def is_finished(self, *, probabilities: bool = False) -> bool:
        """Whether the labels are there, whole, and made from the same."""
        files = self.files
        finished = is_finished(self.output, self.model, self.inputs, files=files, probabilities=probabilities)
        return finished and all(map(_is_whole, files))

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of the labels; of probabilities that cannot be read, which averaging will say, the one that is named."""
        try:
            return label_files(self.output, load_target(self.members[0]))
        except StorageError:
            return (self.output,)


BYTES_PER_WORKER = 2 * 10**9
"""The packed probabilities of two models for a large CT, a slab of their mean, and the labels."""


def ensemble_folders(
    folders: Sequence[Path],
    output: Path,
    *,
    rules: Sequence[Rule] = (),
    probabilities: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
) -> list[Path]:
    """Average the probabilities `<case>.npz` of several folders into label files `output/<case>.nii.gz`.

    Labels that are there and were made from the same probabilities with the same rules are left alone, and so are those
    of which nothing is known.

    Args:
        rules: Postprocessing of the labels.
        probabilities: Also write the mean probabilities, `output/<case>.npz`.
        overwrite: Replace what is there.
        workers: Processes; None lets the machine decide.

    Returns:
        The label files.

    Raises:
        WorkspaceError: The output is one of the folders, or holds a task's own data.
        ModelError: The folders do not hold the same cases; what each lacks is listed. Or what is there was predicted.
        CasesFailed: After all cases were tried, naming those that failed.
    """
    require_apart([output], {"one of the folders to average; name one of its own": folders})
    workers = fitting_workers(workers, BYTES_PER_WORKER)
    model = averaging_hash(rules)
    jobs = [_job(case, folders, output, model) for case in _common_cases(folders)]
    waiting = jobs if overwrite else _not_current(jobs, model, probabilities=probabilities, workers=workers)
    ensemble = partial(ensemble_case, rules=tuple(rules), probabilities=probabilities)
    run_on_cases(ensemble, waiting, task="ensembling", workers=workers)
    return [job.output for job in jobs]


def _not_current(jobs: Sequence[EnsembleJob], model: str, *, probabilities: bool, workers: int) -> list[EnsembleJob]:
    """Those that are to be made, or made again."""
    unknown = require_known_origin({job.output: job.files for job in jobs}, model, AVERAGING)
    known = [job for job in jobs if job.output not in unknown]
    is_current = partial(EnsembleJob.is_finished, probabilities=probabilities)
    current = run_on_cases(is_current, known, task="looking for changes", workers=workers)
    waiting = [job for job, finished in zip(known, current, strict=True) if not finished]
    if len(waiting) < len(known):
        log.info(
            "%s: %d of %s current, and kept",
            jobs[0].output.parent,
            len(known) - len(waiting),
            counted(len(jobs), "case"),
        )
    return waiting


def ensemble_case(job: EnsembleJob, *, rules: Sequence[Rule] = (), probabilities: bool = False) -> None:
    """Average one case; the label file is written last, and says what it was made from.

    Raises:
        ModelError: The members lie on different grids or have different numbers of classes.
        StorageError: A file cannot be read, or is damaged.
    """
    origin = Origin(model=job.model, inputs=job.inputs(), mark=job.mark)
    members = [load_packed(path) for path in job.members]
    _require_one_grid(job.members, members)
    region = _uncertain_region(members)
    packer = Packer(_unresampled(job.identifier, members[0], region), members[0].target) if probabilities else None
    try:
        labels = average(members, region=region, packer=packer, fusion=job.fusion)
    except (ValueError, IndexError, zlib.error) as error:
        paths = ", ".join(map(str, job.members))
        raise StorageError(f"one of {paths} is damaged: {error}; predict this case again with `save_npz`") from error
    geometry, target = members[0].geometry, members[0].target
    ruled = apply_rules(labels, geometry.spacing, rules, target)
    written = Written(segmentation=ruled, geometry=geometry, target=target, origin=origin)
    write_segmentation(job.output, written, packer.finish() if packer else None)


def averaging_hash(rules: Sequence[Rule], members: Sequence[str] = (), fusion: Fusion | None = None) -> str:
    """Equal as long as the same is averaged alike.

    Args:
        members: Hashes of the models, where it is images and not probabilities that the labels are made from.
    """
    return content_hash(RECIPE, list(members), tuple(rules), *([] if fusion is None else [fusion]))


def average(
    members: Sequence[PackedProbabilities],
    *,
    region: Box | None = None,
    packer: Packer | None = None,
    fusion: Fusion | None = None,
) -> LabelArray:
    """The labels of the mean, or fused, probabilities of several predictions of one image.

    Args:
        members: On one grid, with the same classes.
        region: Box of the original grid outside which all are certain of the background; found where not given.
        packer: Is given the mean probabilities of the region, in the axis order of the first member.

    Returns:
        `(Z, Y, X)` on the original grid, uint8, or uint16 where there are more than 255 labels. Of equally probable
        labels the lowest. Of masks that may overlap `(outputs, Z, Y, X)`.
    """
    leader = members[0]
    order, target = leader.transpose_forward, leader.target
    region = _uncertain_region(members) if region is None else region
    labels = np.zeros(target.shape_of(leader.shape), dtype=target.written_type)
    weights_of = (None,) * len(members) if fusion is None else [np.array(row, np.float32) for row in fusion.weights]
    summed = len(members) if fusion is None else 1
    for slab in _slabs(region, order[0], leader.classes):
        shape = reorder(box_shape(slab), order)
        total = np.zeros((leader.classes, *shape), dtype=np.float32)
        for member, weights in zip(members, weights_of, strict=True):
            _add(total.transpose(0, *(1 + axis for axis in inverse_order(order))), member, slab, weights)
        if fusion is not None:
            total = fusion.of_sum(total, activation_of(target))
        turned(inside(labels, slab), order)[...] = target.decide(total, summed=summed)
        if packer is not None:
            for plane in total.swapaxes(0, 1) / np.float32(summed):
                packer.add_array(plane)
    return labels


def sources_of(members: Sequence[PackedProbabilities]) -> Iterator[tuple[Box, Float32Array]]:
    """What several predictions of one image say, slab by slab of the original grid: `(members, C, Z, Y, X)` of each.

    Outside of all slabs every one of them is certain of the background.
    """
    leader = members[0]
    for slab in _slabs(_uncertain_region(members), leader.transpose_forward[0], leader.classes * len(members)):
        said = np.zeros((len(members), leader.classes, *box_shape(slab)), dtype=np.float32)
        for own, member in zip(said, members, strict=True):
            _add(own, member, slab)
        yield slab, said


def _is_whole(path: Path) -> bool:
    try:
        read_image(path)
    except DatasetError:
        return False
    return True


def _job(case: str, folders: Sequence[Path], output: Path, model: str) -> EnsembleJob:
    members = tuple(folder / f"{case}{ENDING}" for folder in folders)
    return EnsembleJob(
        identifier=case,
        members=members,
        output=output / f"{case}.nii.gz",
        model=model,
        inputs=partial(hash_files, *members),
        mark=AVERAGING.mark,
    )


def _slabs(region: Box, axis: int, classes: int) -> Iterator[Box]:
    """The region cut across one axis into parts of at most `SLAB_BYTES` of probabilities."""
    (start, stop), shape = region[axis], box_shape(region)
    plane = 4 * classes * int(np.prod(shape[:axis] + shape[axis + 1 :]))
    thickness = max(1, SLAB_BYTES // max(1, plane))
    for first in range(start, stop, thickness):
        yield (*region[:axis], (first, min(first + thickness, stop)), *region[axis + 1 :])


def _add(total: Float32Array, member: PackedProbabilities, slab: Box, weights: Float32Array | None = None) -> None:
    """Add a member's probabilities in a slab of the original grid, each output's times its weight, to `total`.

    Args:
        total: `(C, Z, Y, X)` of that slab.
    """
    order = member.transpose_forward
    own = total.transpose(0, *(1 + axis for axis in order))
    wanted, crop = reorder(slab, order), reorder(member.crop, order)
    certain = np.ones(own.shape[1:], dtype=np.float32)
    for plane in range(max(wanted[0][0], crop[0][0]), min(wanted[0][1], crop[0][1])):
        kept, part = member.plane(plane - crop[0][0])
        rows, columns = (_meeting(*sides) for sides in zip(kept, crop[1:], wanted[1:], strict=True))
        here = plane - wanted[0][0]
        kept_part = part[:, rows[1], columns[1]]
        own[:, here, rows[0], columns[0]] += kept_part if weights is None else kept_part * weights[:, None, None]
        certain[here, rows[0], columns[0]] = 0
    sure = own[: member.code.backgrounds]
    sure += certain if weights is None else certain * weights[: len(sure), None, None, None]


def _meeting(kept: tuple[int, int], crop: tuple[int, int], wanted: tuple[int, int]) -> tuple[slice, slice]:
    """Where, along one axis, the kept part of a crop meets what is wanted: as slices of the wanted and of the kept."""
    first = kept[0] + crop[0]
    stop = max(min(kept[1] + crop[0], wanted[1]), wanted[0])
    start = min(max(first, wanted[0]), stop)
    return slice(start - wanted[0], stop - wanted[0]), slice(start - first, stop - first)


def _uncertain_region(members: Sequence[PackedProbabilities]) -> Box:
    """The smallest box of the original grid that holds all that any member kept; empty where none kept anything."""
    boxes = [box for member in members if (box := _kept_box(member)) is not None]
    if not boxes:
        return tuple((0, 0) for _ in members[0].shape)
    return tuple(
        (min(first for first, _ in sides), max(stop for _, stop in sides)) for sides in zip(*boxes, strict=True)
    )


def _kept_box(member: PackedProbabilities) -> Box | None:
    used = np.flatnonzero(member.boxes[:, 1] > member.boxes[:, 0])
    if not len(used):
        return None
    top, left = member.boxes[used][:, [0, 2]].min(axis=0).tolist()
    bottom, right = member.boxes[used][:, [1, 3]].max(axis=0).tolist()
    order = member.transpose_forward
    offsets = [first for first, _ in reorder(member.crop, order)]
    sides = ((int(used[0]), int(used[-1]) + 1), (top, bottom), (left, right))
    moved = [(first + offset, stop + offset) for (first, stop), offset in zip(sides, offsets, strict=True)]
    return reorder(moved, inverse_order(order))


def _unresampled(identifier: str, like: PackedProbabilities, region: Box) -> CaseProperties:
    """Where mean probabilities lie: on the region of the original grid, in the axis order of a member."""
    order = like.transpose_forward
    shape: Shape = reorder(box_shape(region), order)
    spacing = reorder(like.geometry.spacing, order)
    return CaseProperties(
        identifier=identifier,
        geometry=like.geometry,
        original_shape=like.shape,
        crop=region,
        transpose_forward=order,
        cropped_shape=shape,
        spacing=spacing,
        prepared_spacing=spacing,
        prepared_shape=shape,
    )


def _require_one_grid(paths: Sequence[Path], members: Sequence[PackedProbabilities]) -> None:
    first = members[0]
    for path, member in zip(paths[1:], members[1:], strict=True):
        if member.classes != first.classes:
            raise ModelError(
                f"{paths[0]} holds probabilities of {counted(first.classes, 'class', 'classes')}, {path} of "
                f"{member.classes}; "
                "only models of the same labels can be averaged"
            )
        if member.target != first.target:
            raise ModelError(
                f"{paths[0]} holds probabilities of {_described(first)}, {path} of {_described(member)}; "
                "only models of the same labels can be averaged"
            )
        if differences := _geometry_differences(first, member):
            raise ModelError(
                f"{paths[0]} and {path} lie on different grids: {'; '.join(differences)}; "
                "they were predicted from different images, predict both from the same"
            )


def _described(packed: PackedProbabilities) -> str:
    """The outputs with the labels that each covers."""
    target = packed.target
    covered = {target.labels[number]: target.members_of(number) for number in target.scored}
    return ", ".join(f"{name} ({', '.join(map(str, labels))})" for name, labels in covered.items())


def _geometry_differences(first: PackedProbabilities, other: PackedProbabilities) -> tuple[str, ...]:
    shapes = () if first.shape == other.shape else (f"shape {first.shape} and {other.shape}",)
    return shapes + first.geometry.differences(other.geometry)


def _common_cases(folders: Sequence[Path]) -> list[str]:
    found: dict[Path, set[str]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ModelError(f"{folder}: no such folder; name folders that `predict(save_npz=True)` has written")
        image_files(folder)  # of two segmentations of one case, nobody can say which the probabilities are of
        found[folder] = {path.stem for path in folder.glob(f"*{ENDING}") if not path.name.startswith(".")}
    everything = set().union(*found.values())
    missing = [(folder, sorted(everything - cases)) for folder, cases in found.items() if everything - cases]
    if missing:
        listing = "\n".join(f"  not in {folder}: {', '.join(cases)}" for folder, cases in missing)
        raise ModelError(
            f"the folders must hold probabilities of the same cases\n{listing}\n"
            "Predict what is missing with `save_npz`, or move what is not to be averaged."
        )
    if not everything:
        raise ModelError(f"{folders[0]}: no probabilities (<case>{ENDING}) here; predict with `save_npz`")
    return sorted(everything)
