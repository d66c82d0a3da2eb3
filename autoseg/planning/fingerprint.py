"""What planning needs to know about a dataset: the size, voxel size and intensities of its training cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import autoseg
from autoseg.arrays import Float32Array, LabelArray
from autoseg.dataset import LARGEST_LABEL, Case, Dataset, Exclusive, Target
from autoseg.dataset.coding import is_foreground
from autoseg.dataset.target import StoredTarget, restored_target, stored_target
from autoseg.errors import DatasetError, StorageError
from autoseg.files.records import RecordFormat, decode_record, require_format, write_record
from autoseg.files.storage import decode, encode, read_json, with_absent
from autoseg.geometry import Geometry, Spacing, box_shape
from autoseg.images import AS_FILES_SAY, Reading
from autoseg.images.format import READING_MAY_LACK
from autoseg.machine.pool import run_on_cases
from autoseg.planning.appearance import Appearance, Direction, IntensityRange, measure_likenesses, measure_ranges
from autoseg.plans import LARGEST_SIDE, IntensityStatistics
from autoseg.versions import remedy_by_version
from autoseg.words import counted

FORMAT = RecordFormat(number=1)

SAMPLING_STEP = 10
"""Every tenth foreground voxel counts: statistics of millions of voxels do not change (reference system)."""

LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
"""Bounds CT is clipped to (Isensee et al. 2021, Fig. 2, "Intensity normalization")."""

COMPARED = ("directions", "intensity_ranges", "likenesses")
"""What only the comparison of new images needs, and files of earlier versions lack."""

MAY_LACK: dict[str, Any] = {"target_kind": None, "normalisation": [], "reading": None, "in_pixels": False}
"""What is written only where dataset.json or the files say more than is usual."""

FILE_NAMES = {"sd": "std", "minimum": "min", "maximum": "max"}
"""Where the file's key for a statistic is not the attribute's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFingerprint:
    """What was measured on the training cases; entries are in case order, axes in the images' (z, y, x).

    Attributes:
        channels: Name of each channel.
        labels: Label names, background first.
        cases: Identifiers.
        spacings: Voxel size in mm.
        shapes: Voxels after cropping to the nonzero region.
        kept_fractions: Share of the volume that cropping kept.
        intensities: Of each channel inside the foreground; None where not measured.
        directions: Of the grids, as in `Geometry`. These and the ranges are what new images are compared with; both
            are empty in a fingerprint of an earlier version, or of the short form.
        intensity_ranges: Of each case's channels, labels aside; None for a channel without any value.
        target_kind: What the target is beside its labels; None where these say all.
        likenesses: How much neighbouring voxels resemble each other in each case's channels; None where there are too few.
        normalisation: How dataset.json wants each channel scaled, "" where its name decides; empty where all names do.
        reading: What dataset.json says of the files; None where it says nothing.
        in_pixels: Nothing says how large the voxels of any case are.
    """

    channels: tuple[str, ...]
    labels: tuple[str, ...]
    cases: tuple[str, ...]
    spacings: tuple[tuple[float, float, float], ...]
    shapes: tuple[tuple[int, int, int], ...]
    kept_fractions: tuple[float, ...]
    intensities: tuple[IntensityStatistics | None, ...]
    directions: tuple[Direction, ...] = ()
    intensity_ranges: tuple[tuple[IntensityRange | None, ...], ...] = ()
    likenesses: tuple[tuple[float | None, ...], ...] = ()
    target_kind: StoredTarget | None = None
    normalisation: tuple[str, ...] = ()
    reading: Reading | None = None
    in_pixels: bool = False

    def __post_init__(self) -> None:
        _require_one_entry_each(self)
        for case, spacing, shape, kept in zip(self.cases, self.spacings, self.shapes, self.kept_fractions, strict=True):
            if not all(math.isfinite(side) and side > 0 for side in spacing):
                raise DatasetError(f"case {case}: the spacing must be positive, found {spacing}")
            if not (min(shape) >= 1 and max(shape) <= LARGEST_SIDE):
                raise DatasetError(f"case {case}: every side must have 1 to {LARGEST_SIDE} voxels, found {shape}")
            if not 0 < kept <= 1:
                raise DatasetError(f"case {case}: the kept fraction must lie above 0 and at most at 1, found {kept}")

    @property
    def target(self) -> Target:
        """What is predicted."""
        return restored_target(self.labels, self.target_kind)

    def spacing_percentile(self, percentile: float) -> Spacing:
        """A percentile of the voxel sizes in mm, each axis for itself."""
        return tuple(np.percentile(np.array(self.spacings), percentile, axis=0).tolist())

    @property
    def appearances(self) -> tuple[Appearance, ...]:
        """What new images are compared with, of each case, as far as it was measured."""
        missing = len(self.cases)
        return tuple(
            Appearance(spacing=spacing, shape=shape, direction=direction, ranges=ranges, likenesses=likenesses)
            for spacing, shape, direction, ranges, likenesses in zip(
                self.spacings,
                self.shapes,
                self.directions or (None,) * missing,
                self.intensity_ranges or ((),) * missing,
                self.likenesses or ((),) * missing,
                strict=True,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFingerprint:
    """What one case adds.

    Attributes:
        geometry: Of the image.
        shape: Voxels after cropping.
        kept_fraction: Share of the volume that cropping kept.
        foreground: `(C, n)` float32, every tenth voxel of any label above background, unresampled.
        ranges: Of each channel, labels aside.
        likenesses: The same; see `measure_likenesses`.
    """

    geometry: Geometry
    shape: tuple[int, int, int]
    kept_fraction: float
    foreground: Float32Array
    ranges: tuple[IntensityRange | None, ...]
    likenesses: tuple[float | None, ...]


def is_two_dimensional(fingerprint: DatasetFingerprint) -> bool:
    """Whether every case is a single slice, along the same axis: then there is nothing to plan in 3D."""
    return bool(single_slice_axes(fingerprint))


def single_slice_axes(fingerprint: DatasetFingerprint) -> tuple[int, ...]:
    """The axes along which every case has one voxel only."""
    return tuple(axis for axis in range(3) if all(shape[axis] == 1 for shape in fingerprint.shapes))


def extract_fingerprint(dataset: Dataset, *, workers: int) -> DatasetFingerprint:
    """Measure the training cases, but those that only test or are added, reading each image once.

    Args:
        workers: Processes that read and measure cases.

    Raises:
        CasesFailed: Naming each case that cannot be read or measured.
        DatasetError: No case has any foreground.
    """
    measured = run_on_cases(
        partial(_measure_file, target=dataset.target), dataset.measured, task="fingerprint", workers=workers
    )
    if not any(case.foreground.size for case in measured):
        raise DatasetError(
            f"{dataset.name}: no training case has a label above background, so there is nothing to learn; "
            "check the files in labelsTr"
        )
    return DatasetFingerprint(
        channels=dataset.channels,
        labels=dataset.target.labels,
        cases=tuple(case.identifier for case in dataset.measured),
        spacings=tuple(case.geometry.spacing for case in measured),
        shapes=tuple(case.shape for case in measured),
        kept_fractions=tuple(case.kept_fraction for case in measured),
        intensities=tuple(
            summarise_intensities([case.foreground[channel] for case in measured])
            for channel in range(len(dataset.channels))
        ),
        directions=tuple(case.geometry.direction for case in measured),
        intensity_ranges=tuple(case.ranges for case in measured),
        likenesses=tuple(case.likenesses for case in measured),
        target_kind=stored_target(dataset.target),
        normalisation=dataset.normalisation,
        reading=None if dataset.reading == AS_FILES_SAY else dataset.reading,
        in_pixels=all(case.geometry.in_pixels for case in measured),
    )


def _measure_file(case: Case, target: Target) -> CaseFingerprint:
    from autoseg.dataset.raw_cases import read_case

    raw = read_case(case, target)
    return measure_case(raw.data, raw.segmentation, raw.geometry)


def summarise_intensities(samples: Sequence[Float32Array]) -> IntensityStatistics:
    """Statistics of one channel over the foreground samples of all cases, pooled: a large case counts more."""
    values = np.concatenate(samples)
    low, median, high = np.percentile(values, (LOW_PERCENTILE, 50, HIGH_PERCENTILE))
    return IntensityStatistics(
        mean=float(values.mean(dtype=np.float64)),
        sd=float(values.std(dtype=np.float64)),
        median=float(median),
        minimum=float(values.min()),
        maximum=float(values.max()),
        percentile_00_5=float(low),
        percentile_99_5=float(high),
    )


def measure_case(data: Float32Array, segmentation: LabelArray | None, geometry: Geometry) -> CaseFingerprint:
    """Crop a case to its nonzero region and measure it.

    Args:
        data: `(C, Z, Y, X)`.
        segmentation: `(Z, Y, X)`, or of several files `(P, Z, Y, X)`, where any counts; without one there is no foreground to measure.

    Raises:
        DatasetError: The foreground holds NaN or infinity.
    """
    from autoseg.preprocessing.cropping import crop_to_nonzero

    cropped, labels, box = crop_to_nonzero(data, segmentation)
    depth, height, width = box_shape(box)
    holds = is_foreground(labels)
    foreground = cropped[:, holds.any(axis=0) if holds.ndim > len(box) else holds][:, ::SAMPLING_STEP]
    for channel, values in enumerate(foreground):
        if not np.isfinite(values).all():
            raise DatasetError(
                f"channel {channel} holds NaN or infinity inside the foreground; run autoseg_verify_dataset"
            )
    ranges = measure_ranges(data)
    return CaseFingerprint(
        geometry=geometry,
        shape=(depth, height, width),
        kept_fraction=depth * height * width / math.prod(data.shape[1:]),
        foreground=np.ascontiguousarray(foreground, dtype=np.float32),
        ranges=ranges,
        likenesses=measure_likenesses(data, ranges),
    )


def save_fingerprint(fingerprint: DatasetFingerprint, path: Path) -> None:
    """Write `fingerprint.json`, whose keys documentation/files.md lists; what was not measured for comparing is left out."""
    content = {"version": autoseg.__version__, **encode(fingerprint)}
    content = {key: value for key, value in content.items() if value or key not in (*COMPARED, *MAY_LACK)}
    content["intensities"] = [
        entry and {FILE_NAMES.get(name, name): value for name, value in entry.items()}
        for entry in content["intensities"]
    ]
    write_record(path, content, FORMAT)


def load_fingerprint(path: Path) -> DatasetFingerprint:
    """Read `fingerprint.json`, or the short form that holds only what the planners need.

    The short form has the keys sizes, spacings, modalities, num_classes (background not counted) and
    size_reductions, and no `format`; its `kind` is ignored.

    Raises:
        DatasetError: Naming the file and the key that is missing, unknown or wrong.
    """
    content = None
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise StorageError(f"{path.name}: expected an object with named fields, found {type(content).__name__}")
        return _decode_full(content, path) if "format" in content else _decode_short(content, path.name)
    except (StorageError, DatasetError) as error:
        where = "" if str(path) in str(error) else f"{path}: "
        advice = remedy_by_version(content, "correct it, or run autoseg_plan_and_preprocess again")
        raise DatasetError(f"{where}{error}; {advice}") from error


def _require_one_entry_each(fingerprint: DatasetFingerprint) -> None:
    _ = fingerprint.target
    if not fingerprint.channels or not fingerprint.cases:
        raise DatasetError("a fingerprint needs at least one channel and one case")
    if len(set(fingerprint.cases)) != len(fingerprint.cases):
        raise DatasetError("a case is listed twice in the fingerprint")
    for name, group in (
        ("spacings", "cases"),
        ("shapes", "cases"),
        ("kept_fractions", "cases"),
        ("intensities", "channels"),
        *((name, "cases") for name in COMPARED if getattr(fingerprint, name)),
        *((name, "channels") for name in ("normalisation",) if getattr(fingerprint, name)),
    ):
        expected, found = len(getattr(fingerprint, group)), len(getattr(fingerprint, name))
        if found != expected:
            raise DatasetError(
                f"{counted(expected, f'{group[:-1]} needs', f'{group} need')} as many entries in {name}, found {found}"
            )
    if any(len(ranges) != len(fingerprint.channels) for ranges in fingerprint.intensity_ranges):
        raise DatasetError("every entry in intensity_ranges needs one range for each channel")
    if any(len(found) != len(fingerprint.channels) for found in fingerprint.likenesses):
        raise DatasetError("every entry in likenesses needs one number for each channel")


def _decode_full(content: dict[str, Any], path: Path) -> DatasetFingerprint:
    require_format(content, FORMAT)
    plain = {**{name: [] for name in COMPARED}, **MAY_LACK, **content}
    plain["reading"] = with_absent(plain["reading"], READING_MAY_LACK)
    if "intensities" in plain:
        entries = decode(tuple[_IntensityEntry | None, ...], plain["intensities"], f"{path.name}.intensities")
        plain["intensities"] = [entry and _own_names(entry) for entry in entries]
    return decode_record(plain, DatasetFingerprint, FORMAT, path, where=path.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _IntensityEntry:
    """`IntensityStatistics` under the names the file has."""

    mean: float
    std: float
    median: float
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float


def _own_names(entry: _IntensityEntry) -> dict[str, float]:
    return {field.name: getattr(entry, FILE_NAMES.get(field.name, field.name)) for field in fields(IntensityStatistics)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShortForm:
    sizes: tuple[tuple[int, int, int], ...]
    spacings: tuple[tuple[float, float, float], ...]
    modalities: tuple[str, ...]
    num_classes: int
    size_reductions: tuple[float, ...]


def _decode_short(content: dict[str, Any], where: str) -> DatasetFingerprint:
    short = decode(_ShortForm, {key: value for key, value in content.items() if key != "kind"}, where)
    if not 1 <= short.num_classes <= LARGEST_LABEL:
        raise StorageError(f"{where}.num_classes: expected 1 to {LARGEST_LABEL}, found {short.num_classes}")
    return DatasetFingerprint(
        channels=short.modalities,
        labels=Exclusive.numbered(short.num_classes + 1).names,
        cases=tuple(f"case_{number}" for number in range(len(short.sizes))),
        spacings=short.spacings,
        shapes=short.sizes,
        kept_fractions=short.size_reductions,
        intensities=(None,) * len(short.modalities),
    )
