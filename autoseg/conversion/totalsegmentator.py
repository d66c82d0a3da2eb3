"""A folder for each case, with its image and a folder of masks, a file for each structure, as TotalSegmentator's data are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.conversion.drawn_masks import DrawnCase, Overlap, draw_labels
from autoseg.conversion.mask_sources import file_of
from autoseg.conversion.nnunet import number_and_name
from autoseg.conversion.plain_folders import PlainSettings
from autoseg.conversion.regions import with_regions
from autoseg.conversion.understood import Understood
from autoseg.dataset import Case, image_files
from autoseg.dataset.listed import ROI
from autoseg.errors import DatasetError
from autoseg.images import whole_files
from autoseg.words import counted, first_few, nearest, readable

MASKS_FOLDERS = ("segmentations", "segmentation", "masks")
A_FOLDER_A_CASE = "a folder for each case, with its image and a mask file for each structure"


def case_folders(folder: Path) -> tuple[Path, ...]:
    """The folders of cases, each with a folder of masks in it."""
    return tuple(sorted(path for path in folder.iterdir() if path.is_dir() and _masks(path) is not None))


def understand_case_folders(folder: Path, settings: PlainSettings, *, overlap: Overlap, workers: int) -> Understood:
    """Find images and masks; all masks of all cases are labels, in the order of their names, unless some are named. An image
    called `roi` is a mask of what is known.

    Raises:
        DatasetError: A case without an image, or with others than the rest has; a label that nothing is called; files that
            are no masks.
    """
    folders = case_folders(folder)
    images = {path.name: image_files(path) for path in folders}
    regions = {case: files.pop(ROI) for case, files in images.items() if ROI in files}
    names = _channel_files(folder, images)
    masks = {path.name: image_files(found) for path in folders if (found := _masks(path)) is not None}
    there = sorted({name for files in masks.values() for name in files})
    wanted = _wanted(folder, settings.labels, there)
    drawn = [
        DrawnCase(identifier=case, masks={name: (files[name],) for name in wanted if name in files})
        for case, files in masks.items()
    ]
    written = draw_labels(folder, [case for case in drawn if case.masks], wanted, overlap=overlap, workers=workers)
    cases = [
        Case(
            identifier=case.identifier,
            images=whole_files(images[case.identifier][name] for name in names),
            drawn=tuple(tuple(map(file_of, sources)) for sources in case.masks.values()),
        )
        for case in drawn
    ]
    number, name = number_and_name(folder)
    understood = Understood(
        source=folder,
        layout=A_FOLDER_A_CASE,
        number=number,
        name=name,
        channels=tuple(settings.channels or (name.upper() if name.casefold() == "ct" else name for name in names)),
        labels=written.labels,
        training=tuple(case for case in cases if case.drawn),
        test=tuple(case for case in cases if not case.drawn),
        drawings=written.drawings,
        target=written.target,
        notes=written.notes,
    )
    return with_regions(understood, regions, settings.roi_margin)


def _masks(folder: Path) -> Path | None:
    return next((folder / name for name in MASKS_FOLDERS if (folder / name).is_dir()), None)


def _channel_files(folder: Path, images: Mapping[str, Mapping[str, Path]]) -> tuple[str, ...]:
    """The names of the images that every case has."""
    names = sorted(set.intersection(*(set(files) for files in images.values())))
    if not names:
        without = [case for case, files in images.items() if not files]
        reason = f"no image is in {first_few(without)}" if without else "no image has the same name in all cases"
        raise DatasetError(f"{readable(folder)}: {reason}; put an image such as ct.nii.gz beside each folder of masks")
    if more := [case for case, files in images.items() if set(files) != set(names)]:
        raise DatasetError(
            f"{readable(folder)}: {first_few(more)}: {counted(len(names), 'image')} ({first_few(names)}) in all cases, and others "
            "here; take them away, or add them to the other cases"
        )
    return tuple(names)


def _wanted(folder: Path, labels: Sequence[str] | None, there: Sequence[str]) -> tuple[str, ...]:
    if not there:
        raise DatasetError(
            f"{readable(folder)}: the folders of masks hold no image; each structure has a file of its own"
        )
    if labels is None:
        return tuple(there)
    if unknown := [name for name in labels if name not in there]:
        raise DatasetError(
            f"{readable(folder)}: no mask is called {first_few(unknown)}{nearest(unknown[0], there)}; there are {first_few(there)}"
        )
    return tuple(dict.fromkeys(labels))
