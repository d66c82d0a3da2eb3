"""HDF5 files that each hold an image and its labels, in a folder, or in folders train, val and test; or one such file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.conversion.drawn_masks import DrawnCase, Overlap, draw_labels
from autoseg.conversion.label_files import read_label_files
from autoseg.conversion.mask_sources import Channel
from autoseg.conversion.nnunet import number_and_name
from autoseg.conversion.numbering import number_labels
from autoseg.conversion.plain_folders import PlainSettings, channel_names, plain_notes
from autoseg.conversion.split_folders import NAMES, require_each_once, with_role
from autoseg.conversion.understood import Understood
from autoseg.dataset import Case
from autoseg.dataset.cases import channels_in
from autoseg.dataset.declared_reading import HDF5
from autoseg.dataset.facts import Facts, read_facts
from autoseg.dataset.folds import TEST, TRAIN
from autoseg.errors import DatasetError
from autoseg.images import AS_FILES_SAY, Reading, split_ending
from autoseg.images.formats.hdf5 import arrays_of, is_hdf5
from autoseg.words import counted, first_few, readable

IN_ONE_FILE = "HDF5 files that hold an image and its labels each"
CHANNELS = 4
"""Axes of an array of several channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What a file holds: channels of the image, and masks of the label; 0 for a map, None where there is no label."""

    channels: int
    masks: int | None

    def __str__(self) -> str:
        labels = "no label" if self.masks is None else counted(self.masks, "mask") if self.masks else "a map of labels"
        return f"{counted(self.channels, 'channel')} and {labels}"


def hdf5_files(source: Path) -> Mapping[str, Sequence[Path]]:
    """The files by what their cases are for, all for training where no folder says; empty where there are none."""
    if source.is_file():
        return {TRAIN: (source,)} if is_hdf5(source) else {}
    folders = {role: source / name for role, names in NAMES.items() for name in names if (source / name).is_dir()}
    found = {role: files for role, folder in folders.items() if (files := _files(folder))}
    if TRAIN in found and len(found) > 1:
        return found
    files = _files(source)
    return {TRAIN: files} if files else {}


def understand_hdf5(
    source: Path,
    files: Mapping[str, Sequence[Path]],
    settings: PlainSettings,
    *,
    arrays: tuple[str, ...] = (),
    overlap: Overlap = None,
    workers: int,
) -> Understood:
    """Look into each file. A label of three axes is a map, one of four a mask for each index of its first axis.

    Args:
        files: From `hdf5_files`.
        arrays: What image and label are called in the files; empty for `raw` and `label`.

    Raises:
        DatasetError: A file without the array of the image, or files that do not hold the same; or labels that cannot be used.
    """
    reading = Reading(raw=arrays[0], label=arrays[1]) if arrays else AS_FILES_SAY
    held = {path: _look_into(path, reading) for paths in files.values() for path in paths}
    if not any(one.masks is not None for one in held.values()):
        there = first_few(sorted({name for path in held for name in arrays_of(path)}))
        raise DatasetError(
            f"{readable(source)}: no file has an array {readable(reading.label)}, but {there}; name those of image and label "
            "with `hdf5_arrays`"
        )
    _require_alike(source, held)
    by_role = {role: [_case(path, held[path], reading, role) for path in paths] for role, paths in files.items()}
    everything = [case for cases in by_role.values() for case in cases]
    require_each_once(source, everything)
    training = tuple(case for case in everything if case.segmentation)
    number, name = number_and_name(source.with_name(split_ending(source.name)[0]))
    understood = Understood(
        source=source,
        layout=IN_ONE_FILE,
        number=number,
        name=name,
        channels=channel_names(source, settings.channels, everything[0]),
        labels=(),
        training=training,
        test=tuple(case for case in everything if not case.segmentation),
        description={HDF5: {"raw": reading.raw, "label": reading.label}} if arrays else {},
        facts=_facts(source, by_role) if len(by_role) > 1 else None,
        notes=(f"image and label are the arrays {readable(reading.raw)} and {readable(reading.label)} of each file",),
    )
    if masks := max(one.masks or 0 for one in held.values()):
        return _with_masks(understood, masks, settings, overlap, workers)
    return _with_maps(understood, settings, workers)


def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in sorted(folder.iterdir()) if is_hdf5(path) and path.is_file() and path.name[0] != ".")


def _look_into(path: Path, reading: Reading) -> _Held:
    arrays = arrays_of(path)
    if reading.raw not in arrays:
        there = first_few([readable(name) for name in arrays]) or "no array"
        raise DatasetError(
            f"{readable(path)}: has no array {readable(reading.raw)}, but {there}; name those of image and label with "
            "`hdf5_arrays`"
        )
    raw, label = arrays[reading.raw], arrays.get(reading.label)
    masks = None if label is None else label[0] if len(label) == CHANNELS and label[0] > 1 else 0
    return _Held(channels=raw[0] if len(raw) == CHANNELS else 1, masks=masks)


def _require_alike(source: Path, held: Mapping[Path, _Held]) -> None:
    labelled = {one for one in held.values() if one.masks is not None}
    if len(labelled) == 1 and len({one.channels for one in held.values()}) == 1:
        return
    groups: dict[_Held, list[Path]] = {}
    for path, one in held.items():
        groups.setdefault(one, []).append(path)
    told = "; ".join(f"{one} in {first_few([path.name for path in paths])}" for one, paths in groups.items())
    raise DatasetError(
        f"{readable(source)}: its files are not of one dataset: {told}; name one file, or a folder of files that hold the same"
    )


def _case(path: Path, held: _Held, reading: Reading, role: str) -> Case:
    return Case(
        identifier=split_ending(path.name)[0],
        images=channels_in(path, held.channels),
        segmentation=None if held.masks is None or role == TEST else path,
        reading=reading,
    )


def _facts(source: Path, by_role: Mapping[str, Collection[Case]]) -> Mapping[str, Facts]:
    known = read_facts(source, {case.identifier for cases in by_role.values() for case in cases}).by_case
    return {
        case.identifier: with_role(known.get(case.identifier, Facts()), role)
        for role, cases in by_role.items()
        for case in cases
    }


def _with_maps(understood: Understood, settings: PlainSettings, workers: int) -> Understood:
    source = understood.source
    found = read_label_files(source, understood.training, workers)
    numbering = number_labels(source, found, remap_labels=settings.remap_labels, names=settings.labels)
    return replace(
        understood,
        labels=numbering.names,
        label_values=numbering.numbers,
        notes=(*understood.notes, *plain_notes(settings, numbering, len(understood.test))),
    )


def _with_masks(
    understood: Understood, number: int, settings: PlainSettings, overlap: Overlap, workers: int
) -> Understood:
    names = settings.labels or tuple(f"mask_{place}" for place in range(1, number + 1))
    if len(names) != number:
        raise DatasetError(
            f"{readable(understood.source)}: {counted(len(names), 'label')} named ({first_few(names)}), but the files hold "
            f"{counted(number, 'mask')}; name each once, in this order"
        )
    drawn = [
        DrawnCase(
            identifier=case.identifier,
            masks={
                name: (Channel(path=case.segmentation, number=number, reading=case.reading),)
                for number, name in enumerate(names)
            },
        )
        for case in understood.training
        if case.segmentation
    ]
    written = draw_labels(understood.source, drawn, names, overlap=overlap, workers=workers)
    return replace(
        understood,
        labels=written.labels,
        training=tuple(
            replace(case, segmentation=None, drawn=((case.image_paths[0],),) * number) for case in understood.training
        ),
        drawings=written.drawings,
        target=written.target,
        notes=(*understood.notes, *written.notes),
    )
