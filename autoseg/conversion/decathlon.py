"""Tasks of the Medical Segmentation Decathlon (medicaldecathlon.com) to raw tasks of ours.

Their images are 4D, one volume a channel, or 3D; ours are one 3D file a channel, with the channel's number in the name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autoseg.conversion.building import BYTES_PER_WORKER, built_beside, copy_facts, copy_file, require_free_number
from autoseg.conversion.declared import close_gaps
from autoseg.conversion.writing import renumbered, renumbering
from autoseg.dataset import Dataset, channel_file, read_dataset, read_description
from autoseg.errors import CasesFailed, DatasetError
from autoseg.files.layout import DATASET_FILE
from autoseg.files.storage import write_json
from autoseg.images import read_header, read_label, read_volumes, split_ending, write_image
from autoseg.machine.pool import fitting_workers, run_on_cases
from autoseg.words import agreeing, counted, readable

log = logging.getLogger(__name__)

SOURCE_NAME = re.compile(r"Task(\d+)_(.+)")
IMAGES, LABELS, TEST_IMAGES = "imagesTr", "labelsTr", "imagesTs"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: Path
    folder: str

    @property
    def identifier(self) -> str:
        return f"{self.folder}/{readable(self.path.name)}"


def convert_decathlon_task(
    source: Path, raw_data: Path, task_number: int | None = None, *, workers: int | None = 1
) -> Path:
    """Write `raw_data/TaskXXX_Name` from a Decathlon task, which stays as it is; the new folder appears whole or not.

    4D images are split into channels; 3D images and labels are copied byte by byte. Hidden files are left out.

    Args:
        source: `TaskXX_Name` with dataset.json, imagesTr, labelsTr and, where it has test cases, imagesTs.
        task_number: The new task's number; by default the source's own.
        workers: Processes; None lets the machine decide.

    Raises:
        DatasetError: The source is no such task; files that its dataset.json lists are missing or cannot be converted.
        WorkspaceError: The target, or another task of its number, exists; nothing is ever overwritten.
    """
    number, name = _number_and_name(source)
    target = raw_data / f"Task{number if task_number is None else task_number:03d}_{name}"
    write_decathlon_task(source, target, workers=fitting_workers(workers, BYTES_PER_WORKER))
    return target


def write_decathlon_task(source: Path, target: Path, *, remap_labels: bool = False, workers: int = 1) -> None:
    """Write the raw task `target` from a Decathlon task; the rest is as for `convert_decathlon_task`.

    Args:
        remap_labels: Whether label numbers with gaps may be renumbered.
    """
    description, numbers = close_gaps(read_description(source), source / DATASET_FILE, remap_labels=remap_labels)
    dataset = read_dataset(source, description)
    _check_source(source, dataset)
    require_free_number(target)
    files = [file for folder in (IMAGES, LABELS, TEST_IMAGES) for file in _files(source / folder)]
    with built_beside(target) as temporary:
        for folder in {file.folder for file in files}:
            (temporary / folder).mkdir()
        convert = partial(_convert, target=temporary, channels=len(dataset.channels), numbers=numbers)
        _convert_all(source, files, convert, workers)
        _write_description(source, temporary, None if numbers is None else {**description, **renumbering(numbers)})
        copy_facts(source, temporary)
    log.info("%s: %d training and %s", target, len(dataset.training), counted(len(dataset.test), "test case"))


# ------------------------------------------------------------------- checks


def _number_and_name(source: Path) -> tuple[int, str]:
    # a link counts by its own name, "." by that of the folder it stands for
    match = SOURCE_NAME.fullmatch(source.name) or SOURCE_NAME.fullmatch(source.resolve().name)
    if match is None:
        raise DatasetError(
            f"{readable(source)}: a Decathlon task's folder is called TaskXX_Name, for example Task04_Hippocampus; "
            "name that folder itself, not one above or inside it"
        )
    return int(match[1]), match[2]


def _check_source(source: Path, dataset: Dataset) -> None:
    if all(path.is_file() for case in dataset.training for path in case.image_paths):
        raise DatasetError(
            f"{readable(source)}: its images carry channel numbers already, so it needs no conversion; "
            "copy the folder into raw_data as TaskXXX_Name, with three digits"
        )
    listed = [_unnumbered(case.image_paths[0], case.identifier) for case in dataset.training]
    listed += [case.segmentation for case in dataset.training if case.segmentation]
    if (source / TEST_IMAGES).is_dir():
        listed += [_unnumbered(case.image_paths[0], case.identifier) for case in dataset.test]
    missing = [path for path in listed if not path.is_file()]
    if missing:
        lines = "\n".join(f"  {readable(path.relative_to(source))}" for path in missing)
        raise DatasetError(
            f"{readable(source)}: {len(missing)} of the files that dataset.json lists "
            f"{agreeing(len(missing), 'is', 'are')} missing\n{lines}\n"
            f"Extract the archive again, or take {agreeing(len(missing), 'this case', 'these cases')} off the list."
        )


def _unnumbered(image: Path, identifier: str) -> Path:
    return image.with_name(identifier + split_ending(image.name)[1])


# -------------------------------------------------------------------- files


def _files(folder: Path) -> list[_File]:
    """The images in a folder; what is hidden, or no image by its name, is left out."""
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    left_out = [readable(path.name) for path in paths if not split_ending(path.name)[1]]
    if left_out:
        log.info("%s: left out, for they are no images: %s", folder, ", ".join(left_out))
    return [_File(path=path, folder=folder.name) for path in paths if split_ending(path.name)[1]]


def _convert_all(source: Path, files: Sequence[_File], convert: Callable[[_File], None], workers: int) -> None:
    try:
        run_on_cases(convert, files, task="converting", workers=workers)
    except CasesFailed as failed:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in failed.failures)
        raise DatasetError(
            f"{readable(source)}: {len(failed.failures)} of {counted(len(files), 'file')} cannot be "
            f"converted\n{lines}\n"
            "Nothing was written; put "
            f"{agreeing(len(failed.failures), 'this right, or take it', 'these right, or take them')} away, and "
            "convert again."
        ) from failed


def _convert(file: _File, *, target: Path, channels: int, numbers: Mapping[int, int] | None) -> None:
    folder = target / file.folder
    if file.folder == LABELS:
        if numbers is None:
            copy_file(file.path, folder / file.path.name)
        else:
            label = renumbered(read_label(file.path), numbers)
            write_image(folder / file.path.name, label.data, label.geometry)
        return
    stem, ending = split_ending(file.path.name)
    volumes = _volumes(file.path)
    if volumes != channels:
        raise DatasetError(
            f"holds {counted(volumes, 'volume')}, but dataset.json names {channels} under modality; "
            "correct dataset.json, or export the image with all its channels"
        )
    if volumes == 1:
        copy_file(file.path, folder / channel_file(stem, 0, ending))
        return
    for channel, volume in enumerate(read_volumes(file.path)):
        write_image(folder / channel_file(stem, channel, ending), volume.data, volume.geometry)


def _volumes(path: Path) -> int:
    """How many volumes a file holds."""
    shape = read_header(path, most_dimensions=4).shape
    return shape[0] if len(shape) == 4 else 1


def _write_description(source: Path, target: Path, changed: Mapping[str, Any] | None) -> None:
    """dataset.json as it is, but for what changed; where the test images were not downloaded, without test cases."""
    if changed is None and (source / TEST_IMAGES).is_dir():
        copy_file(source / DATASET_FILE, target / DATASET_FILE)
        return
    description = dict(changed or read_description(source))
    if description.get("test") and not (source / TEST_IMAGES).is_dir():
        log.warning("%s: has no %s; its test cases are taken off the list", source, TEST_IMAGES)
        description.update(test=[], numTest=0)
    write_json(target / DATASET_FILE, description)
