"""DICOM series as they leave a hospital, each with what was drawn on it: a segmentation, a structure set, or a label image.

Cases get names of our own, since folders and files bear those of patients as often as not, and nothing of who was scanned is
read or written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.conversion.dicom_files import Found, find_dicom, match_drawings, place
from autoseg.conversion.drawn_masks import DrawnCase, Overlap, draw_labels
from autoseg.conversion.label_files import read_label_files
from autoseg.conversion.mask_sources import Structure
from autoseg.conversion.nnunet import number_and_name
from autoseg.conversion.numbering import number_labels
from autoseg.conversion.understood import Understood
from autoseg.dataset import Case
from autoseg.dataset.facts import Facts
from autoseg.dataset.metadata import PATIENT
from autoseg.errors import DatasetError
from autoseg.images import Header, read_header, split_ending, whole_files
from autoseg.images.dicom_drawings import DicomDrawing, in_file_names
from autoseg.images.formats.dicom import Series, grid_of
from autoseg.words import counted, first_few, nearest, readable

LAYOUT = "DICOM series and what was drawn on them"
LISTED = 10
"""Series that are named each; a heart has twenty phases, and a hospital hundreds of patients."""

WHAT_LABELS_ARE = "a label is a DICOM segmentation (SEG), a structure set (RTSTRUCT), or an image such as label.nii.gz on the grid of the series"


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomSettings:
    """What files cannot tell.

    Attributes:
        channel: What the images are; None takes their modality.
        labels: The structures that are labels, in the order of their numbers; None takes all.
        overlap: What becomes of structures that overlap.
        remap_labels: Whether values of label images may be renumbered.
    """

    channel: str | None = None
    labels: tuple[str, ...] | None = None
    overlap: Overlap = None
    remap_labels: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    """A series that is a case.

    Attributes:
        identifier: The name that it gets.
        patient: The same for the series of one patient, as far as folders tell.
        masks: What is drawn on it, by name.
        label: A label image on its grid.
    """

    identifier: str
    series: Series
    patient: str
    masks: Mapping[str, Structure]
    label: Path | None = None

    @property
    def is_labelled(self) -> bool:
        return bool(self.masks) or self.label is not None

    def case(self, facts: Facts) -> Case:
        return Case(
            identifier=self.identifier,
            images=whole_files([self.series.path]),
            segmentation=self.label,
            drawn=tuple((one.path,) for one in self.masks.values()),
            facts=facts,
        )


def understand_dicom(folder: Path, settings: DicomSettings, *, workers: int) -> Understood:
    """Find series and what was drawn on them. Series without, of patients of whom none has, become test cases.

    Raises:
        DatasetError: No series has a label, what is drawn lies on none of them, or it is not clear what is meant.
    """
    found = find_dicom(folder, workers)
    drawings, orphans = match_drawings(folder, found)
    drawn = [drawing for some in drawings.values() for drawing in some]
    names = _names(drawn)
    wanted = _wanted(folder, settings.labels, names) if drawn else ()
    scans = list(_scans(folder, found.series, drawings, wanted))
    if not drawn:
        scans = _with_label_images(folder, scans, found.images)
    if not any(scan.is_labelled for scan in scans):
        raise DatasetError(_nothing_drawn(folder, found, orphans))
    scans, left_out = _chosen(scans)
    notes = (
        *_told_of_names(drawn, names, wanted),
        *_told_of_cases(folder, scans, left_out),
        *_told_of_orphans(folder, orphans),
    )
    named = _named(scans)
    facts = _facts(named)
    number, name = number_and_name(folder)
    understood = Understood(
        source=folder,
        layout=LAYOUT,
        number=number,
        name=name,
        channels=(settings.channel or _modality(folder, named),),
        labels=(),
        training=(),
        test=(),
        facts=facts,
        notes=notes,
    )
    if wanted:
        return _with_structures(understood, named, wanted, settings, workers=workers)
    return _with_maps(understood, named, settings, workers)


# ------------------------------------------------------------------- cases


def _scans(
    folder: Path, there: Sequence[Series], drawings: Mapping[Path, Sequence[DicomDrawing]], wanted: Sequence[str]
) -> Iterator[_Scan]:
    depth = _common_depth(folder, there)
    for series in there:
        below = series.path.parent.relative_to(folder).parts[depth:]
        patient = below[0] if below else series.slices[0].study or series.path.name
        masks = _masks(series, drawings.get(series.path, ()), wanted)
        yield _Scan(identifier="", series=series, patient=patient, masks=masks)


def _common_depth(folder: Path, series: Sequence[Series]) -> int:
    """How many folders all series lie in; what comes next tells patients apart."""
    ways = [one.path.parent.relative_to(folder).parts for one in series]
    if len(set(ways)) < 2:
        return 0
    return next(depth for depth in range(min(map(len, ways)) + 1) if len({way[: depth + 1] for way in ways}) > 1)


def _masks(series: Series, drawings: Sequence[DicomDrawing], wanted: Sequence[str]) -> dict[str, Structure]:
    """What is drawn on a series of what is wanted."""
    masks: dict[str, Structure] = {}
    as_wanted = {name.casefold(): name for name in wanted}
    for drawing in drawings:
        names: dict[str, str] = {}
        for name, numbers in drawing.structures.items():
            called = as_wanted.get(in_file_names(name).casefold())
            if called is None:
                continue
            if alike := names.get(called):
                raise DatasetError(
                    f"{readable(drawing.path)}: names of structures differ in case or signs only: {readable(alike)}, "
                    f"{readable(name)}; rename or delete one"
                )
            if called in masks:
                raise DatasetError(
                    f"{readable(drawing.path)}: {readable(name)} is drawn in {readable(masks[called].path)}, too, on the same "
                    "series; keep one of the two, or name other labels (`labels`)"
                )
            names[called] = name
            masks[called] = Structure(path=drawing.path, image=series.path, numbers=numbers)
    return {name: masks[name] for name in wanted if name in masks}


def _chosen(scans: Sequence[_Scan]) -> tuple[list[_Scan], list[_Scan]]:
    """The labelled series and those of patients without any, of the same modality; the others are left out."""
    labelled = [scan for scan in scans if scan.is_labelled]
    patients = {scan.patient for scan in labelled}
    modalities = {scan.series.modality for scan in labelled}
    new = [scan for scan in scans if scan.patient not in patients and scan.series.modality in modalities]
    kept = [scan for scan in scans if scan in labelled or scan in new]
    return kept, [scan for scan in scans if scan not in kept]


def _named(scans: Sequence[_Scan]) -> list[_Scan]:
    digits = max(3, len(str(len(scans))))
    return [replace(scan, identifier=f"case_{number:0{digits}d}") for number, scan in enumerate(scans, start=1)]


def _facts(scans: Sequence[_Scan]) -> dict[str, Facts]:
    """Whose each case is, where a patient has several."""
    patients = list(dict.fromkeys(scan.patient for scan in scans))
    if len(patients) == len(scans):
        return {}
    digits = max(3, len(str(len(patients))))
    return {
        scan.identifier: Facts(known=((PATIENT, f"patient_{patients.index(scan.patient) + 1:0{digits}d}"),))
        for scan in scans
    }


def _modality(folder: Path, scans: Sequence[_Scan]) -> str:
    """By which the images are scaled: what all were made by."""
    found = Counter(scan.series.modality or "image" for scan in scans if scan.is_labelled)
    if len(found) > 1:
        listed = ", ".join(f"{number} {readable(modality)}" for modality, number in found.most_common())
        raise DatasetError(
            f"{readable(folder)}: what is drawn lies on series of several kinds: {listed}; convert a folder of each, or say with "
            "`channels` what they all are"
        )
    return next(iter(found))


def _told_of_names(drawn: Sequence[DicomDrawing], names: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    if not drawn:
        return
    kinds = Counter(drawing.kind for drawing in drawn)
    yield f"drawn in {', '.join(f'{number} {kind}' for kind, number in sorted(kinds.items()))}"
    spelt: dict[str, set[str]] = defaultdict(set)
    for drawing in drawn:
        for name in drawing.structures:
            spelt[in_file_names(name).casefold()].add(name)
    for some in spelt.values():
        if len(some) > 1:
            yield f"taken for one name: {first_few(sorted(some))}"
    if left := [name for name in names if name not in wanted]:
        yield f"drawn, too, and no labels here: {first_few(left)}"


def _told_of_orphans(folder: Path, orphans: Sequence[DicomDrawing]) -> Iterator[str]:
    if orphans:
        yield f"left out, for its series is not here: {first_few([place(folder, one.path) for one in orphans])}"


def _told_of_cases(folder: Path, scans: Sequence[_Scan], left_out: Sequence[_Scan]) -> Iterator[str]:
    """What a user should know of the cases."""
    ends = [place(folder, scans[at].series.path.parent) for at in (0, -1)]
    yield (
        "cases are called case_001, case_002, ... in the order of the folders, never after patients"
        + (f": from {ends[0]} to {ends[1]}" if ends[0] != ends[1] else "")
    )
    if len({scan.patient for scan in scans}) < len(scans):
        yield "series of one folder are taken for one patient's, who is never in training and validation at once (metadata.tsv)"
    for scan in left_out[:LISTED]:
        series = scan.series
        yield (
            f"left out, without a label: {place(folder, series.path.parent)}, {series.name} ({readable(series.modality)}, "
            f"{counted(len(series.slices), 'slice')})"
        )
    if (more := len(left_out) - LISTED) > 0:
        yield f"left out, without a label: {counted(more, 'more series', 'more series')}"


def _nothing_drawn(folder: Path, found: Found, orphans: Sequence[DicomDrawing]) -> str:
    there = counted(len(found.series), "DICOM series", "DICOM series")
    if orphans:
        listed = first_few([f"{place(folder, one.path)} ({one.kind})" for one in orphans])
        return f"{readable(folder)}: {there}, and none that was drawn on: {listed}; put the series that it was drawn on beside it"
    return f"{readable(folder)}: {there} without a label; {WHAT_LABELS_ARE}"


# ------------------------------------------------------------------- labels


def _with_structures(
    understood: Understood, scans: Sequence[_Scan], wanted: Sequence[str], settings: DicomSettings, *, workers: int
) -> Understood:
    """Labels by the names of what was drawn."""
    drawn = [
        DrawnCase(identifier=scan.identifier, masks={name: (one,) for name, one in scan.masks.items()})
        for scan in scans
        if scan.masks
    ]
    there = {name for scan in scans for name in scan.masks}
    names = [name for name in wanted if name in there]
    written = draw_labels(understood.source, drawn, names, overlap=settings.overlap, workers=workers)
    return replace(
        _with_cases(understood, scans),
        labels=written.labels,
        drawings=written.drawings,
        target=written.target,
        notes=(*understood.notes, *written.notes),
    )


def _with_maps(understood: Understood, scans: Sequence[_Scan], settings: DicomSettings, workers: int) -> Understood:
    """Labels by the numbers in label images."""
    cases = _with_cases(understood, scans)
    files = read_label_files(understood.source, cases.training, workers)
    numbering = number_labels(understood.source, files, remap_labels=settings.remap_labels, names=settings.labels)
    return replace(
        cases, labels=numbering.names, label_values=numbering.numbers, notes=(*understood.notes, *numbering.notes)
    )


def _with_cases(understood: Understood, scans: Sequence[_Scan]) -> Understood:
    cases = [(scan, scan.case((understood.facts or {}).get(scan.identifier, Facts()))) for scan in scans]
    return replace(
        understood,
        training=tuple(case for scan, case in cases if scan.is_labelled),
        test=tuple(case for scan, case in cases if not scan.is_labelled),
    )


def _names(drawings: Sequence[DicomDrawing]) -> list[str]:
    """What all structures are called, those that differ in case or signs only as most of them are, as files may be called."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for drawing in drawings:
        for name in drawing.structures:
            found[in_file_names(name).casefold()][in_file_names(name)] += 1
    return [found[key].most_common(1)[0][0] for key in sorted(found)]


def _wanted(folder: Path, labels: Sequence[str] | None, there: Sequence[str]) -> tuple[str, ...]:
    if labels is None:
        return tuple(there)
    known = {name.casefold(): name for name in there}
    asked = {name: known.get(in_file_names(name).casefold()) for name in labels}
    if unknown := [name for name, found in asked.items() if found is None]:
        raise DatasetError(
            f"{readable(folder)}: no structure is called {first_few(unknown)}{nearest(unknown[0], there)}; there are {first_few(there)}"
        )
    return tuple(dict.fromkeys(name for name in asked.values() if name is not None))


# ------------------------------------------------------------- label images


def _with_label_images(folder: Path, scans: Sequence[_Scan], images: Sequence[Path]) -> list[_Scan]:
    """The same with the label image of each, which lies in the patient's folder, or is called like it, on the series' grid."""
    labels: dict[int, Path] = {}
    for path in images:
        parts = path.relative_to(folder).parts
        words = {*parts, split_ending(parts[-1])[0]}
        near = [number for number, scan in enumerate(scans) if scan.patient in words or len(scans) == 1]
        if not near:
            continue
        header = read_header(path)
        faults = {number: _grid_fault(header, scans[number].series) for number in near}
        fitting = [number for number in near if not faults[number]]
        if not fitting:
            series = place(folder, scans[near[0]].series.path.parent)
            raise DatasetError(
                f"{readable(path)}: lies on another grid than the series {series}: {faults[near[0]]}; resample it onto that "
                "series, or take it away"
            )
        for number in fitting[:1]:
            if number in labels:
                raise DatasetError(
                    f"{readable(path)}: {readable(labels[number])} is a label of the same series; keep one of the two, with "
                    "another number for each structure"
                )
            labels[number] = path
    return [replace(scan, label=labels.get(number)) for number, scan in enumerate(scans)]


def _grid_fault(header: Header, series: Series) -> str:
    try:
        grid = grid_of(series)
    except DatasetError as error:
        return str(error)
    if header.shape != grid.shape:
        return f"size {header.shape} and {grid.shape} voxels (z, y, x)"
    return "; ".join(header.geometry.differences(grid.geometry))
