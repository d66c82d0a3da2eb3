"""A raw task of ours from a dataset that was understood: files copied or linked, labels renumbered, dataset.json written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.conversion.building import built_beside, copy_facts, copy_file
from autoseg.conversion.drawn_masks import mask_of
from autoseg.conversion.mask_sources import file_of, read_masks
from autoseg.conversion.regions import image_within, label_within
from autoseg.conversion.understood import DrawnLabel, RegionOfInterest, Understood
from autoseg.dataset import Case, channel_file, read_dataset
from autoseg.dataset.declared_target import MASKS, RATER
from autoseg.dataset.metadata import write_metadata
from autoseg.errors import CasesFailed, DatasetError, StorageError
from autoseg.files.layout import DATASET_FILE, METADATA_FILE
from autoseg.files.storage import write_json
from autoseg.images import (
    AS_FILES_SAY,
    Image,
    Reading,
    files_of,
    holds_channels,
    is_copied,
    read_image,
    read_label,
    split_ending,
    write_image,
    written_ending,
)
from autoseg.images.formats.hdf5 import is_hdf5
from autoseg.machine.pool import run_on_cases
from autoseg.words import agreeing, counted, first_few, in_digits, readable

RENUMBERED = "renumbered"
"""The key that says which values labels had in the files of the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One file to bring over.

    Attributes:
        target: Relative to the task's folder.
        numbers: What becomes of a label's values.
        drawing: What a label is made of.
        region: What of the case is known, where it is cut to that, or is a label.
        is_label: Or an image, or what goes with one.
        beside: The copy of the very file, which a label in the image's own file is linked to.
        reading: What is said of the file where it may not say it itself.
    """

    source: Path
    target: str
    numbers: Mapping[int, int] | None = None
    drawing: DrawnLabel | None = None
    region: RegionOfInterest | None = None
    is_label: bool = False
    beside: str = ""
    reading: Reading = AS_FILES_SAY


def write_task(understood: Understood, target: Path, *, link: bool, workers: int) -> None:
    """Write the raw task `target` of what was understood; it appears whole or not.

    Args:
        link: Point to the source's files rather than copy them; labels that are renumbered are written all the same.

    Raises:
        DatasetError: Naming each file that cannot be brought over.
        StorageError: The folder cannot be written.
    """
    files = _files(understood)
    with built_beside(target) as temporary:
        for folder in sorted({file.target.partition("/")[0] for file in files}):
            (temporary / folder).mkdir()
        bring = partial(_bring, folder=temporary, link=link)
        try:
            run_on_cases(
                bring,
                files,
                task="linking" if link else "copying",
                workers=workers,
                name=lambda file: readable(file.source.name),
            )
        except CasesFailed as failed:
            lines = "\n".join(f"  {name}: {reason}" for name, reason in failed.failures)
            raise DatasetError(
                f"{readable(understood.source)}: {len(failed.failures)} of {counted(len(files), 'file')} cannot be "
                "brought over\n"
                f"{lines}\nNothing was written; put {agreeing(len(failed.failures), 'this', 'these')} right and "
                "convert again."
            ) from failed
        if understood.facts is None:
            copy_facts(understood.source, temporary)
        else:
            write_metadata(
                temporary / METADATA_FILE, {case: dict(facts.known) for case, facts in understood.facts.items()}
            )
        write_json(temporary / DATASET_FILE, _description(understood, target.name.partition("_")[2]))
        read_dataset(temporary)


def _files(understood: Understood) -> list[_File]:
    files = []
    for folder, cases in (("imagesTr", understood.training), ("imagesTs", understood.test)):
        for case in cases:
            region = understood.regions.get(case.identifier)
            cut_to = None if region is None or region.margin is None else region
            ending = _image_ending(case.image_paths[0], understood, case)
            for channel, path in enumerate(case.image_paths):
                target = f"{folder}/{channel_file(case.identifier, channel, ending)}"
                files.append(_File(source=path, target=target, region=cut_to, reading=case.reading))
                sidecars = files_of(path)[1:] if is_copied(path) and case.identifier not in understood.sidecars else ()
                files += [_File(source=one, target=target.removesuffix(ending) + one.suffix) for one in sidecars]
                files += _sidecars(understood, case, target.removesuffix(ending))
            if case.segmentation is not None:
                labels = folder.replace("images", "labels")
                label = _label(understood, case, case.segmentation, f"{labels}/{case.identifier}")
                image = f"../{folder}/{channel_file(case.identifier, 0, ending)}"
                files.append(replace(label, beside=image if case.image_paths == (case.segmentation,) else ""))
            files += _parts_of_labels(understood, case, folder.replace("images", "labels"))
            files += _drawn(understood, case)
    return files


def _parts_of_labels(understood: Understood, case: Case, folder: str) -> Iterator[_File]:
    """The label files of a case that each hold a mask, or what one rater drew, under the case's name."""
    if understood.outputs is None or case.identifier in understood.drawings:
        return
    if case.label_parts[:1] == (0,):
        yield _label(understood, case, case.label_paths[0], f"{folder}/{case.identifier}")
        return
    for stem, paths in zip(understood.outputs.files_of(case.identifier), case.drawn, strict=False):
        raters = [RATER.fullmatch(split_ending(path.name)[0]) for path in paths]
        for number, (path, match) in enumerate(zip(paths, raters, strict=True), start=1):
            rater = match[2] if match and all(raters) else str(number)
            name = f"{stem}_rater{rater}" if match or len(paths) > 1 else stem
            yield _label(understood, case, path, f"{folder}/{name}")


def _label(understood: Understood, case: Case, path: Path, target: str) -> _File:
    """A label file, without its ending in `target`."""
    return _File(
        source=path,
        target=target + _label_ending(understood, case, path),
        numbers=(understood.label_values or {}).get(case.identifier),
        region=understood.regions.get(case.identifier),
        is_label=True,
        reading=case.reading,
    )


def _drawn(understood: Understood, case: Case) -> Iterator[_File]:
    """The label files that are made of others."""
    for drawing in understood.drawings.get(case.identifier, ()):
        source, stem = file_of(drawing.masks[0][0]), f"labelsTr/{case.identifier}{drawing.name}"
        region = understood.regions.get(case.identifier)
        yield _File(source=source, target=stem + _drawn_ending(source), drawing=drawing, region=region, is_label=True)
        yield from _sidecars(understood, case, stem)


def _sidecars(understood: Understood, case: Case, stem: str) -> Iterator[_File]:
    if case.identifier in understood.sidecars:
        yield _File(source=understood.sidecars[case.identifier], target=f"{stem}.json")


def _drawn_ending(path: Path) -> str:
    """Masks that are pictures make a picture, others NIfTI."""
    return ".png" if holds_channels(path.name) and not is_hdf5(path) else ".nii.gz"


def _ending_of_labels(understood: Understood, case: Case) -> str:
    if case.segmentation is not None:
        return _label_ending(understood, case, case.segmentation)
    if case.identifier in understood.drawings:
        return _drawn_ending(case.label_paths[0])
    return _label_ending(understood, case, case.label_paths[0])


def _label_ending(understood: Understood, case: Case, path: Path) -> str:
    if understood.label_values:
        return ".nii.gz"
    return _copied_ending(path, written=case.identifier in understood.regions)


def _image_ending(path: Path, understood: Understood, case: Case) -> str:
    region = understood.regions.get(case.identifier)
    return _copied_ending(path, written=region is not None and region.margin is not None)


def _copied_ending(path: Path, *, written: bool) -> str:
    """Of the copy: images in two files become one, and so do those that are written anew."""
    return written_ending(path.name) if written or not is_copied(path) else split_ending(path.name)[1]


def _bring(file: _File, *, folder: Path, link: bool) -> None:
    target = folder / file.target
    if file.drawing is not None or file.numbers is not None or file.region is not None:
        _write(target, _made(file))
    elif file.beside and not link:
        target.symlink_to(file.beside)
    elif not is_copied(file.source):
        _write(target, read_image(file.source))
    elif link:
        try:
            target.symlink_to(file.source.resolve())
        except OSError as error:
            raise StorageError(
                f"{readable(target)}: cannot be linked: {error.strerror or error}; copy instead"
            ) from error
    else:
        copy_file(file.source, target)


def _write(target: Path, image: Image) -> None:
    write_image(target, image.data, image.geometry)


def _made(file: _File) -> Image:
    """An image or label that is not what its file holds."""
    if not file.is_label:
        image = read_image(file.source, file.reading)
        return image if file.region is None else image_within(image, file.region, file.source)
    if file.drawing is not None:
        label = drawn(file.drawing)
    else:
        label = read_label(file.source, file.reading)
        label = label if file.numbers is None else renumbered(label, file.numbers)
    return label if file.region is None else label_within(label, file.region, file.source)


def renumbered(image: Image, numbers: Mapping[int, int]) -> Image:
    """A label image with other numbers, in the smallest type that holds them.

    Raises:
        DatasetError: It holds a value that is given no number.
    """
    kind = np.min_scalar_type(max(numbers.values()))
    written = np.empty(image.data.shape, kind)
    for plane, target_plane in zip(image.data, written, strict=True):
        values, places = np.unique(plane, return_inverse=True)
        if unknown := [value for value in values.tolist() if value not in numbers]:
            raise DatasetError(
                f"holds {first_few(np.array(unknown), say=in_digits)}, which is no label of this task; correct the file"
            )
        target_plane[...] = np.array([numbers[value] for value in values.tolist()], kind)[places].reshape(plane.shape)
    return replace(image, data=written)


def drawn(drawing: DrawnLabel) -> Image:
    """A label image that has each value where the value's mask holds, later ones over earlier ones."""
    images = read_masks([source for source, _ in drawing.masks])
    first = next(images)
    kind = np.min_scalar_type(max(value for _, value in drawing.masks))
    written = np.where(mask_of(first.data), drawing.masks[0][1], 0).astype(kind)
    for (_, value), image in zip(drawing.masks[1:], images, strict=True):
        written[mask_of(image.data)] = value
    return replace(first, data=written)


def _description(understood: Understood, name: str) -> dict[str, object]:
    def listed(folder: str, identifier: str, ending: str) -> str:
        return f"./{folder}/{identifier}{ending}"

    training = [
        {
            "image": listed("imagesTr", case.identifier, _image_ending(case.image_paths[0], understood, case)),
            "label": listed("labelsTr", case.identifier, _ending_of_labels(understood, case)),
        }
        for case in understood.training
    ]
    test = [
        listed("imagesTs", case.identifier, _image_ending(case.image_paths[0], understood, case))
        for case in understood.test
    ]
    return {
        "name": name,
        **understood.description,
        "modality": {str(number): channel for number, channel in enumerate(understood.channels)},
        **(
            {}
            if MASKS in understood.target
            else {"labels": {str(value): label for value, label in enumerate(understood.labels)}}
        ),
        **understood.target,
        **_renumbered(understood),
        "numTraining": len(training),
        "numTest": len(test),
        "training": training,
        "test": test,
    }


def _renumbered(understood: Understood) -> dict[str, object]:
    """What became of the values of label files; of each case, if cases differ."""
    by_case = {case: renumbering(numbers) for case, numbers in (understood.label_values or {}).items()}
    if not any(by_case.values()):
        return {}
    first, *others = by_case.values()
    if all(one == first for one in others):
        return dict(first)
    return {RENUMBERED: {case: changed[RENUMBERED] for case, changed in by_case.items() if changed}}


def renumbering(numbers: Mapping[int, int]) -> dict[str, dict[str, int]]:
    """The key of dataset.json that says which values label files had, with the numbers that these have now; none where equal."""
    changed = {str(old): new for old, new in numbers.items() if old != new}
    return {RENUMBERED: changed} if changed else {}
