"""Which of the known layouts a dataset has, and what is in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from autoseg.conversion.bids import BIDS, BidsSettings, understand_bids
from autoseg.conversion.bids_files import is_bids
from autoseg.conversion.choosing import chosen_cases
from autoseg.conversion.declared import close_gaps, renumbering_note
from autoseg.conversion.dicom_files import holds_dicom
from autoseg.conversion.dicom_folders import DicomSettings, understand_dicom
from autoseg.conversion.file_of_paths import is_file_of_paths, understand_file_of_paths
from autoseg.conversion.hdf5_files import hdf5_files, understand_hdf5
from autoseg.conversion.nnunet import (
    number_and_name,
    of_each_case,
    understand_ours,
    understand_second_generation,
)
from autoseg.conversion.plain_folders import PlainSettings, plain_pair, understand_plain_folders
from autoseg.conversion.regions import regions_beside, regions_listed, with_regions
from autoseg.conversion.settings import ConversionSettings
from autoseg.conversion.split_folders import split_pairs, understand_split_folders
from autoseg.conversion.totalsegmentator import case_folders, understand_case_folders
from autoseg.conversion.understood import Understood
from autoseg.dataset import read_dataset, read_description
from autoseg.dataset.declared_reading import SHEARED
from autoseg.errors import DatasetError
from autoseg.files.layout import DATASET_FILE
from autoseg.images import split_ending
from autoseg.words import agreeing, counted, first_few, readable

DECATHLON = "the layout of the Medical Segmentation Decathlon (TaskXX_Name, no channel numbers)"

BIDS_ONLY = ("contrasts", "multichannel", "label_suffixes", "roi_suffix")
"""Settings of no other layout."""


def understand_dataset(source: Path, settings: ConversionSettings, *, workers: int) -> Understood:
    """Find out which layout a folder has, and what is in it; nothing is written.

    Raises:
        DatasetError: It has none that is known, its files do not fit it, or a setting does not apply to it.
    """
    understood = _understand(source, settings, workers)
    if settings.sheared != PlainSettings().sheared and SHEARED not in understood.description:
        raise DatasetError(
            f"{readable(source)}: `sheared` is for plain folders and files of paths, and this is {understood.layout}; "
            'say "sheared": "resample" in its dataset.json once it is converted'
        )
    if settings.where is None or understood.layout == BIDS:
        return understood
    if understood.layout == DECATHLON:
        raise DatasetError(
            f"{readable(source)}: has {DECATHLON}, of which all cases are taken; convert without `where`, and choose the cases of "
            "the folds"
        )
    return chosen_cases(understood, settings.where)


def _understand(source: Path, settings: ConversionSettings, workers: int) -> Understood:
    if is_file_of_paths(source):
        _require_no(settings, BIDS_ONLY, source)
        return understand_file_of_paths(source, _plain_settings(settings), workers=workers)
    if source.is_file() and hdf5_files(source):
        return _understand_hdf5(source, settings, workers)
    if not source.is_dir():
        raise DatasetError(f"{readable(source)}: no such folder; name the dataset's folder")
    if not (source / DATASET_FILE).is_file():
        return _understand_files(source, settings, workers)
    if settings.channels or settings.labels:
        raise DatasetError(
            f"{readable(source)}: its dataset.json names labels and channels; correct them there, "
            "`channels` and `labels` are for plain folders without one"
        )
    description = read_description(source)
    if "channel_names" in description or "file_ending" in description:
        understood = understand_second_generation(source, remap_labels=settings.remap_labels)
        regions = regions_beside(source, (*understood.training, *understood.test))
        return with_regions(understood, regions, settings.roi_margin)
    if "modality" not in description:
        raise DatasetError(
            f"{readable(source / DATASET_FILE)}: names its channels neither under modality nor under channel_names; "
            "documentation/data_format.md tells what it must say"
        )
    return _understand_first_generation(source, settings)


def _understand_files(source: Path, settings: ConversionSettings, workers: int) -> Understood:
    """A dataset that no dataset.json describes."""
    if is_bids(source):
        return _understand_bids(source, settings, workers)
    _require_no(settings, BIDS_ONLY, source)
    if pairs := split_pairs(source):
        return understand_split_folders(source, pairs, _plain_settings(settings), workers=workers)
    pair, of_masks = plain_pair(source), case_folders(source)
    is_other = bool(of_masks or hdf5_files(source) or (pair and _holds_images(pair[0])) or _datasets_in(source))
    if not is_other and holds_dicom(source):
        return _understand_dicom(source, settings, workers)
    if pair is None and of_masks:
        return understand_case_folders(source, _plain_settings(settings), overlap=settings.overlap, workers=workers)
    if pair is None and hdf5_files(source):
        return _understand_hdf5(source, settings, workers)
    return _understand_plain(source, settings, workers)


def _understand_hdf5(source: Path, settings: ConversionSettings, workers: int) -> Understood:
    return understand_hdf5(
        source,
        hdf5_files(source),
        _plain_settings(settings),
        arrays=settings.hdf5_arrays,
        overlap=settings.overlap,
        workers=workers,
    )


def _holds_images(folder: Path) -> bool:
    """Whether any file in it is an image by its name, as DICOM files are not."""
    return any(split_ending(path.name)[1] for path in folder.iterdir())


def _understand_bids(source: Path, settings: ConversionSettings, workers: int) -> Understood:
    chosen = BidsSettings(
        contrasts=settings.contrasts,
        multichannel=settings.multichannel,
        label_suffixes=settings.label_suffixes,
        names=settings.labels,
        overlap=settings.overlap,
        where=settings.where,
        roi_suffix=settings.roi_suffix,
        roi_margin=settings.roi_margin,
        remap_labels=settings.remap_labels,
    )
    understood = understand_bids(source, chosen, workers=workers)
    return understood if settings.channels is None else _with_channels(understood, settings.channels)


def _understand_dicom(source: Path, settings: ConversionSettings, workers: int) -> Understood:
    channels = settings.channels or (None,)
    if len(channels) > 1:
        raise DatasetError(
            f"{readable(source)}: {counted(len(channels), 'channel is', 'channels are')} named ({first_few(channels)}), but a "
            "DICOM series is one; name one, or convert the series to NIfTI and name the files <case>_0000.nii.gz, ..."
        )
    chosen = DicomSettings(
        channel=channels[0], labels=settings.labels, overlap=settings.overlap, remap_labels=settings.remap_labels
    )
    understood = understand_dicom(source, chosen, workers=workers)
    regions = regions_beside(source, (*understood.training, *understood.test))
    return with_regions(understood, regions, settings.roi_margin)


def _with_channels(understood: Understood, names: tuple[str, ...]) -> Understood:
    if len(names) != len(understood.channels):
        raise DatasetError(
            f"{readable(understood.source)}: {counted(len(names), 'channel is', 'channels are')} named "
            f"({first_few(names)}), but each case has {len(understood.channels)}; name each once, in their order"
        )
    return replace(understood, channels=names)


def _require_no(settings: ConversionSettings, names: Collection[str], source: Path) -> None:
    if given := [name for name in names if getattr(settings, name)]:
        raise DatasetError(
            f"{readable(source)}: `{given[0]}` chooses from a BIDS dataset, and this is none: no folder sub-... with images in "
            "it; leave it out, or name the dataset's folder"
        )


def _understand_plain(source: Path, settings: ConversionSettings, workers: int) -> Understood:
    pair = plain_pair(source)
    if pair is None:
        raise DatasetError(
            f"{readable(source)}: neither dataset.json, nor folders images and labels, nor subjects as BIDS has them, nor a "
            f"folder for each case with a folder of masks, nor DICOM files are in it; {_which_folder(source)}"
        )
    return understand_plain_folders(source, *pair, _plain_settings(settings), workers=workers)


def _which_folder(source: Path) -> str:
    """What to name instead: datasets that lie in it, where there are some."""
    if below := _datasets_in(source):
        return f"name {agreeing(len(below), 'the dataset', 'one of the datasets')} in it: {first_few(below)}"
    return (
        "name the dataset's folder itself, not one above or inside it (documentation/data_format.md tells which layouts "
        "are known)"
    )


def _datasets_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and _is_dataset(path)]


def _is_dataset(folder: Path) -> bool:
    """Whether a folder has one of the layouts, as far as names tell."""
    return (
        (folder / DATASET_FILE).is_file()
        or is_bids(folder)
        or bool(split_pairs(folder))
        or plain_pair(folder) is not None
        or bool(case_folders(folder))
    )


def _plain_settings(settings: ConversionSettings) -> PlainSettings:
    return PlainSettings(
        channels=settings.channels,
        labels=settings.labels,
        remap_labels=settings.remap_labels,
        roi_margin=settings.roi_margin,
        sheared=settings.sheared,
    )


def _understand_first_generation(source: Path, settings: ConversionSettings) -> Understood:
    """Ours, where files carry channel numbers; the Decathlon's, where they are those that dataset.json names."""
    description, regions = regions_listed(read_description(source), source)
    description, numbers = close_gaps(description, source / DATASET_FILE, remap_labels=settings.remap_labels)
    dataset = read_dataset(source, description)
    regions = {**regions_beside(source, (*dataset.training, *dataset.test)), **regions}
    case = dataset.training[0]
    unnumbered = case.image_paths[0].with_name(case.identifier + split_ending(case.image_paths[0].name)[1])
    if all(path.is_file() for path in case.image_paths) or not unnumbered.is_file():
        return with_regions(understand_ours(source, description, numbers), regions, settings.roi_margin)
    if regions or settings.roi_margin is not None:
        raise DatasetError(
            f"{readable(source)}: has {DECATHLON}, in which regions of interest are not known; give its images channel numbers, "
            "<case>_0000"
        )
    if settings.link:
        raise DatasetError(
            f"{readable(source)}: has {DECATHLON}; its images are renamed or split, which links cannot do; "
            "convert without `link`"
        )
    number, name = number_and_name(source)
    return Understood(
        source=source,
        layout=DECATHLON,
        number=number,
        name=name,
        channels=dataset.channels,
        labels=dataset.target.labels,
        training=dataset.training,
        test=dataset.test,
        label_values=of_each_case(numbers, dataset.training),
        notes=(*renumbering_note(numbers), *dataset.remarks),
    )
