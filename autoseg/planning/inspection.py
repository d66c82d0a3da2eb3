"""One case looked at as verification needs it: what is wrong with its files, and what to compare with other cases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from autoseg.arrays import Array, Float32Array
from autoseg.dataset import Case, Target
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images import Image, ImageReference, grid_differences, read_header, read_images, read_stored_label
from autoseg.images.magnitudes import odd_magnitudes, spread_values
from autoseg.images.whole_numbers import as_whole_numbers
from autoseg.planning.appearance import sample_values
from autoseg.planning.label_files import inspect_label_file
from autoseg.planning.label_inspection import scaled_labels
from autoseg.planning.small_look import small_look
from autoseg.words import counted, in_brackets, readable

RANGE_PERCENTILES = 1, 99
"""What an intensity range runs between; a few odd voxels do not move it."""

SAMPLED_VOXELS = 1_000_000
"""A percentile of a million evenly spaced voxels is good to a tenth of a percentile."""

LISTED_NAMES = 20
"""Names in one finding; a report stays a page."""

LAST_BITS, HALF_OF_LAST_BITS = np.uint32(0x7F), np.uint32(0x40)
"""Of single precision's 23: whole numbers to 65 536 have none of them, and scaling errs by two at most."""

COMPARED_VOXELS, LEAST_VARIETY = 1000, 50
"""Looked at to find scaled copies, and how many of their values must differ, so that two masks are not taken for one."""

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong with a dataset.

    Attributes:
        severity: An error must be put right; a warning should be looked at.
        where: The case or file.
        text: What is wrong, and what to do.
    """

    severity: Severity
    where: str
    text: str

    def __str__(self) -> str:
        return f"{readable(self.where)}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found in one case's files.

    Attributes:
        orientation: Where the first image's axes point, as RAS; None where it is not said.
        unplaced: Files that say nothing of where left and right are.
        ranges: Robust lowest and highest intensity of each channel; None where it could not be read.
        content: A hash of the voxels of all channels, None where one could not be read.
        label_content: The same of the label files.
        shape: Of the first channel.
        sample: Some voxels of every channel, scaled, to tell copies in other units by; None where they tell nothing.
        look: What the first channel looks like in small, to tell nearly the same images by; None where that tells nothing.
        label_values: Numbers of the outputs that the label files hold, None where one could not be read.
    """

    case: Case
    findings: tuple[Finding, ...]
    orientation: str | None
    unplaced: tuple[Path, ...]
    ranges: tuple[tuple[float, float] | None, ...]
    content: str | None
    label_content: str | None
    shape: tuple[int, ...]
    sample: Float32Array | None
    look: Float32Array | None
    label_values: frozenset[int] | None


def inspect_case(case: Case, *, folder: Path, labels: Sequence[str], target: Target | None = None) -> Inspection:
    """Read all files of a case that exist and note everything that is wrong with them.

    Args:
        folder: The task's, to which paths in findings are relative.
        labels: Their names, background first; empty where they are not known.
        target: None where dataset.json is not in order.
    """
    findings: list[Finding] = []
    paths = [image.path for image in case.images]
    images = [_read(image, case, folder, findings) for image in case.images]
    read_as_labels = partial(
        _read, case=case, folder=folder, findings=findings, rounded=target is None or not target.soft
    )
    labelled = [
        (path, read_as_labels(ImageReference(path=path, part=part), is_label=True))
        for path, part in zip(case.label_paths, case.label_parts, strict=True)
    ]
    for path, image in zip(paths, images, strict=True):
        if image is not None:
            findings += [_error(case, path, folder, text) for text in _intensity_faults(image.data)]
            findings += _odd_magnitudes(case, path, folder, image.data)
    present: set[int] = set()
    for place, (path, label) in enumerate(labelled):
        if label is not None:
            on_grid = [image.data for image in images if image is not None and image.data.shape == label.data.shape]
            channels = on_grid if len(on_grid) == len(case.images) else []
            found = inspect_label_file(label.data, place, case, channels, target=target, labels=labels)
            findings += [_error(case, path, folder, text) for text in found.errors]
            findings += [_warning(case, path, folder, text) for text in found.warnings]
            present |= found.present
    read = [*zip(paths, images, strict=True), *labelled]
    read_labels = [label for _, label in labelled if label is not None]
    all_read = 0 < len(labelled) == len(read_labels)
    findings += _doubts(case, read, folder)
    findings += _grid_faults(case, read, folder)
    readable_images = [image for image in images if image is not None]
    is_whole = 0 < len(images) == len(readable_images)
    sample = _sample(readable_images) if is_whole else None
    return Inspection(
        case=case,
        findings=tuple(findings),
        orientation=_orientation(readable_images),
        unplaced=tuple(path for path, image in read if path and image and not image.geometry.is_placed),
        ranges=tuple(None if image is None else intensity_range(image.data) for image in images),
        content=_content(readable_images) if is_whole else None,
        label_content=_content(read_labels) if all_read else None,
        shape=readable_images[0].data.shape if readable_images else (),
        sample=sample,
        look=None if sample is None else small_look(readable_images[0].data),
        label_values=frozenset(present) if all_read else None,
    )


def intensity_range(data: Array) -> tuple[float, float]:
    """The 1st and 99th percentile of the finite voxels other than exact zeros, which are often padding."""
    kept = sample_values(data, SAMPLED_VOXELS)
    if not kept.size:
        return 0.0, 0.0
    low, high = np.percentile(kept.astype(np.float64), RANGE_PERCENTILES)
    return float(low), float(high)


def _read(
    reference: ImageReference,
    case: Case,
    folder: Path,
    findings: list[Finding],
    *,
    is_label: bool = False,
    rounded: bool = True,
) -> Image | None:
    """The image; None where the file is missing (verification lists those) or cannot be read, which is noted.

    Args:
        rounded: Whether labels that are whole but for rounding are taken as whole.
    """
    path = reference.path
    if not path.is_file():
        return None
    try:
        if not is_label:
            image = read_images([reference], case.reading)[0]
        else:
            image = read_stored_label(path, case.reading, part=reference.part, parts=len(case.drawn))
            if rounded:
                image = _as_labels(image, path, case, folder, findings)
        if not reference.part:
            findings += [_warning(case, path, folder, text) for text in _header_doubts(path, case)]
    except DatasetError as error:
        _, _, text = str(error).partition(f"{readable(path)}: ")
        findings.append(_error(case, path, folder, text or str(error)))
        return None
    return image


def _as_labels(stored: Image, path: Path, case: Case, folder: Path, findings: list[Finding]) -> Image:
    label = replace(stored, data=as_whole_numbers(stored.data))
    if label.data is not stored.data and (text := scaled_labels(stored.data)):
        findings.append(_warning(case, path, folder, text))
    return label


def _header_doubts(path: Path, case: Case) -> list[str]:
    header = read_header(path, most_dimensions=4, reading=case.reading)
    return [*([header.remark] if header.remark else []), *_voxel_size_faults(header.geometry)]


def _voxel_size_faults(geometry: Geometry) -> list[str]:
    (z, y, x), forms = geometry.spacing, geometry.forms
    if forms is None or forms.sform_code <= 0 or forms.sform_fault is not None or not forms.has_other_sides((x, y, z)):
        return []
    spacing, other = (x, y, z), np.linalg.norm(forms.affine("sform", (x, y, z))[:, :3], axis=0)
    return [
        f"its header gives two voxel sizes, {in_brackets(spacing)} (pixdim) and {in_brackets(other)} (sform), x, y, z in mm; "
        "the first is used; correct the header"
    ]


def _intensity_faults(data: Array) -> list[str]:
    faults = []
    finite = np.isfinite(data)
    if not finite.all():
        nan = int(np.isnan(data).sum())
        infinite = data.size - int(finite.sum()) - nan
        faults.append(f"holds {nan} NaN and {counted(infinite, 'infinite voxel')}; replace each by a number")
    values = data if finite.all() else data[finite]
    if values.size and values.min() == values.max():
        faults.append(f"is constant: every voxel is {values.flat[0]:g}; export it again or leave the case out")
    return faults


def _odd_magnitudes(case: Case, path: Path, folder: Path, data: Array) -> list[Finding]:
    found = odd_magnitudes(data)
    return [(_error if found.unusable else _warning)(case, path, folder, found.text)] if found else []


def _orientation(images: Sequence[Image]) -> str | None:
    return images[0].geometry.orientation if images and images[0].geometry.is_placed else None


def _doubts(case: Case, files: Sequence[tuple[Path | None, Image | None]], folder: Path) -> list[Finding]:
    """What headers leave in doubt; said once where channels and label say the same."""
    first: dict[str, Path] = {}
    for path, image in [(path, image) for path, image in files if path and image]:
        for text in image.geometry.doubts(image.data.shape):
            first.setdefault(text, path)
    return [_warning(case, path, folder, text) for text, path in first.items()]


def _grid_faults(case: Case, files: Sequence[tuple[Path | None, Image | None]], folder: Path) -> list[Finding]:
    known = [(path, image) for path, image in files if path and image]
    faults = []
    for path, image in known[1:]:
        first_path, first = known[0]
        if found := grid_differences(first, image):
            text = (
                f"lies on another grid than {readable(first_path.name)}: {'; '.join(found)}; resample it onto that grid"
            )
            faults.append(_error(case, path, folder, text))
    return faults


def _content(images: Sequence[Image]) -> str:
    """A hash of shapes and values: in which type they are stored, and the last bits of scaling them, do not matter."""
    digest = hashlib.blake2b(digest_size=16)
    for image in images:
        digest.update(str(image.data.shape).encode())
        for plane in image.data:
            with np.errstate(over="ignore"):
                values = np.ascontiguousarray(plane, np.float32) + np.float32(0)  # the negative zero's sign is no value
            digest.update((values.view(np.uint32) + HALF_OF_LAST_BITS & ~LAST_BITS).data)
    return digest.hexdigest()


def _sample(images: Sequence[Image]) -> Float32Array | None:
    """Evenly spaced voxels of each channel, to mean 0 and length 1; None where one holds too few different values."""
    parts = []
    for image in images:
        values = spread_values(image.data, COMPARED_VOXELS).astype(np.float64)
        if not np.isfinite(values).all() or len(np.unique(values)) < LEAST_VARIETY:
            return None
        values /= np.abs(values).max()  # so that no square is too large
        values -= values.mean()
        parts.append((values / np.linalg.norm(values)).astype(np.float32))
    return np.concatenate(parts) if parts else None


def _error(case: Case, path: Path, folder: Path, text: str) -> Finding:
    return Finding(severity="error", where=_place(case, path, folder), text=text)


def _warning(case: Case, path: Path, folder: Path, text: str) -> Finding:
    return Finding(severity="warning", where=_place(case, path, folder), text=text)


def _place(case: Case, path: Path, folder: Path) -> str:
    return f"case {case.identifier}, {relative(path, folder)}"


def relative(path: Path, folder: Path) -> str:
    """The path as it stands in the task's folder."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
