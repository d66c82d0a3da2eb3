"""BIDS datasets (bids.neuroimaging.io): images by their suffix, labels by theirs in the derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoseg.conversion.bids_facts import facts_of_images
from autoseg.conversion.bids_files import BidsImage, BidsTree, json_files, read_tree, shown_choices
from autoseg.conversion.drawn_masks import DrawnCase, Overlap, are_maps, draw_labels
from autoseg.conversion.label_files import read_label_files
from autoseg.conversion.nnunet import number_and_name
from autoseg.conversion.numbering import number_labels
from autoseg.conversion.plain_folders import COLOURS, channels_of, outputs_of_raters
from autoseg.conversion.regions import with_regions
from autoseg.conversion.understood import Understood
from autoseg.dataset import Case
from autoseg.dataset.conditions import parse_condition
from autoseg.dataset.facts import Facts
from autoseg.errors import DatasetError
from autoseg.images import files_of, holds_channels, read_header
from autoseg.words import agreeing, counted, first_few, nearest, readable

BIDS = "BIDS, subjects with labels in derivatives"

EMPTY_WORDS = {"seg", "dseg", "label", "labels", "mask", "desc", "manual"}
"""Of suffixes, which name no structure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BidsSettings:
    """What is chosen of a BIDS dataset; what there is only one of need not be.

    Attributes:
        contrasts: Suffixes of images.
        multichannel: Whether the contrasts are channels of one case, rather than cases of their own.
        label_suffixes: What stands behind an image's name in the names of its labels, one for each label.
        names: Of the labels, in the order of the suffixes; None: as the suffixes differ.
        overlap: What becomes of labels with a file each.
        remap_labels: Whether values with gaps may be renumbered, where one file holds all labels.
        roi_suffix: Of masks in derivatives outside of which nobody knows; images without one are left out.
        roi_margin: Millimetres around these to which images are cut.
        where: A condition on what is known of the images; others are left out.
    """

    contrasts: tuple[str, ...] = ()
    multichannel: bool = False
    label_suffixes: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    overlap: Overlap = None
    remap_labels: bool = False
    where: str | None = None
    roi_suffix: str | None = None
    roi_margin: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subjects:
    """The cases that were found.

    Attributes:
        images: Of each case, in the order of its channels.
        notes: What is missing.
    """

    images: Mapping[str, tuple[BidsImage, ...]]
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Facts] = field(default_factory=dict)


def understand_bids(folder: Path, settings: BidsSettings, *, workers: int) -> Understood:
    """Find the cases of a BIDS dataset and read their labels.

    Raises:
        DatasetError: There is more than one choice and none was made, or what was chosen is not there; what there is to
            choose from is listed. Or labels cannot be used.
    """
    tree = read_tree(folder)
    if not tree.images:
        raise DatasetError(f"{readable(folder)}: its subjects have no images named as BIDS has it, sub-01_T1w.nii.gz")
    suffixes = _label_suffixes(tree, settings)
    contrasts = _contrasts(tree, settings, suffixes)
    subjects = _cases(tree, contrasts, multichannel=settings.multichannel)
    subjects = _chosen(tree, _with_region(tree, subjects, settings.roi_suffix), settings.where)
    labels = {case: _labels(images, suffixes) for case, images in subjects.images.items()}
    if not any(labels.values()):
        raise DatasetError(
            f"{readable(folder)}: no image of {' or '.join(contrasts)} has a label {' or '.join(suffixes)}\n{shown_choices(tree)}"
        )
    files = [paths for found in labels.values() for paths in found.values()]
    every = [path for paths in files for path in paths]
    is_map = len(suffixes) == 1 and (settings.remap_labels or are_maps(every, workers))
    cases = [_case(case, images, labels[case], subjects, is_map=is_map) for case, images in subjects.images.items()]
    number, name = number_and_name(folder)
    understood = Understood(
        source=folder,
        layout=BIDS,
        number=number,
        name=name,
        channels=_channels(contrasts, cases[0], multichannel=settings.multichannel),
        labels=(),
        training=tuple(case for case in cases if labels[case.identifier]),
        test=tuple(case for case in cases if not labels[case.identifier]),
        sidecars=dict(_inherited(tree, subjects)),
        facts=subjects.facts,
        notes=subjects.notes,
    )
    if is_map:
        understood = _with_map(understood, settings, workers)
    else:
        understood = _with_masks(understood, subjects, suffixes, settings, workers=workers)
    regions = {} if settings.roi_suffix is None else _regions(subjects, settings.roi_suffix)
    return with_regions(understood, regions, settings.roi_margin)


def _case(
    identifier: str,
    images: Sequence[BidsImage],
    labels: Mapping[str, tuple[Path, ...]],
    subjects: _Subjects,
    *,
    is_map: bool,
) -> Case:
    paths = tuple(labels.values())
    alone = paths[0][0] if is_map and paths and len(paths[0]) == 1 else None
    return Case(
        identifier=identifier,
        images=channels_of([image.path for image in images]),
        segmentation=alone,
        drawn=() if alone else paths,
        facts=subjects.facts[identifier],
    )


def _channels(contrasts: Sequence[str], case: Case, *, multichannel: bool) -> tuple[str, ...]:
    """Their names, by which they are normalised; of several contrasts that are cases of their own it is none of theirs."""
    if len(case.images) > len(case.image_paths):
        return COLOURS
    if len(contrasts) > 1 and not multichannel:
        return ("image",)
    return tuple("CT" if name.casefold() == "ct" else name for name in contrasts)


def _with_map(understood: Understood, settings: BidsSettings, workers: int) -> Understood:
    """Of label files that hold all labels by their numbers."""
    files = read_label_files(understood.source, understood.training, workers)
    numbering = number_labels(understood.source, files, remap_labels=settings.remap_labels, names=settings.names)
    return replace(
        understood,
        labels=numbering.names,
        label_values=numbering.numbers,
        outputs=outputs_of_raters(understood.training, numbering),
        notes=(*numbering.notes, *understood.notes),
    )


def _with_masks(
    understood: Understood,
    subjects: _Subjects,
    suffixes: Sequence[str],
    settings: BidsSettings,
    *,
    workers: int,
) -> Understood:
    """Of a file for each label."""
    labels = {case: _labels(images, suffixes) for case, images in subjects.images.items()}
    names = settings.names or label_names(suffixes)
    _require_names(understood.source, suffixes, names)
    drawn = [
        DrawnCase(
            identifier=case,
            masks={names[suffixes.index(suffix)]: files for suffix, files in found.items()},
        )
        for case, found in labels.items()
        if found
    ]
    written = draw_labels(understood.source, drawn, names, overlap=settings.overlap, workers=workers)
    return replace(
        understood,
        labels=written.labels,
        drawings=written.drawings,
        target=written.target,
        notes=(*written.notes, *understood.notes),
    )


def label_names(suffixes: Sequence[str]) -> tuple[str, ...]:
    """What tells suffixes apart: axon, myelin of _seg-axon-manual, _seg-myelin-manual; lesion of _lesion-manual alone."""
    words = [tuple(suffix.strip("_").replace("_", "-").split("-")) for suffix in suffixes]
    while min(map(len, words)) > 1 and _drops(word[0] for word in words) and _name_something(words):
        words = [word[1:] for word in words]
    while min(map(len, words)) > 1 and _drops(word[-1] for word in words):
        words = [word[:-1] for word in words]
    return tuple(map("-".join, words))


def _name_something(words: Iterable[Sequence[str]]) -> bool:
    """Whether one of them is a word for a structure: seg of _seg-manual stays, as nothing else is said."""
    return any(word not in EMPTY_WORDS for one in words for word in one)


def _drops(words: Iterable[str]) -> bool:
    """Whether a word of each suffix says nothing: all have the same, and there are several, or it is of no structure."""
    found = list(words)
    return len(set(found)) == 1 and (len(found) > 1 or found[0] in EMPTY_WORDS)


# ------------------------------------------------------------------- choices


def _label_suffixes(tree: BidsTree, settings: BidsSettings) -> tuple[str, ...]:
    there = tuple(suffix for suffix in tree.label_suffixes if suffix != settings.roi_suffix)
    if not there:
        raise DatasetError(
            f"{readable(tree.folder)}: no label of its images is in derivatives; it is named after its image, "
            f"{readable(tree.images[0].name.stem)}_seg.nii.gz"
        )
    if settings.label_suffixes:
        return _known(tree, "label_suffixes", settings.label_suffixes, there)
    if len(there) > 1:
        raise DatasetError(
            f"{readable(tree.folder)}: labels of several suffixes are in derivatives, and which of them are wanted, only you "
            f"know; name them with `label_suffixes`, one for each label\n{shown_choices(tree)}"
        )
    return there


def _contrasts(tree: BidsTree, settings: BidsSettings, suffixes: Sequence[str]) -> tuple[str, ...]:
    if settings.contrasts:
        chosen = _known(tree, "contrasts", settings.contrasts, tuple(tree.contrasts))
    else:
        chosen = tuple(
            contrast
            for contrast in tree.contrasts
            if any(tree.label_suffixes[suffix].get(contrast) for suffix in suffixes)
        )
        if len(chosen) > 1:
            raise DatasetError(
                f"{readable(tree.folder)}: images of several contrasts have such labels; name those that are wanted with "
                f"`contrasts`, and with `multichannel` where they are channels of one case\n{shown_choices(tree)}"
            )
    if settings.multichannel and len(chosen) < 2:
        raise DatasetError(
            f"{readable(tree.folder)}: `multichannel` makes one case of several contrasts, and there is only "
            f"{' '.join(map(readable, chosen))}; name several with `contrasts`\n{shown_choices(tree)}"
        )
    return chosen


def _known(tree: BidsTree, setting: str, wanted: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    if unknown := [name for name in wanted if name not in there]:
        raise DatasetError(
            f"{readable(tree.folder)}: {setting}: {first_few(unknown)}: nothing is called exactly so"
            f"{nearest(unknown[0], there)}\n{shown_choices(tree)}"
        )
    return tuple(dict.fromkeys(wanted))


def _require_names(folder: Path, suffixes: Sequence[str], names: Sequence[str]) -> None:
    if len(names) != len(suffixes) or len(set(names)) < len(names) or not all(names):
        raise DatasetError(
            f"{readable(folder)}: {counted(len(suffixes), 'label')} ({first_few(suffixes)}) and the names {first_few(names)}; "
            "name each once, in this order, with `labels`"
        )


# --------------------------------------------------------------------- cases


def _cases(tree: BidsTree, contrasts: Sequence[str], *, multichannel: bool) -> _Subjects:
    if not multichannel:
        return _Subjects(
            images={image.name.stem: (image,) for image in tree.images if image.name.contrast in contrasts}
        )
    by_key: dict[str, dict[str, BidsImage]] = {}
    for image in tree.images:
        if image.name.contrast in contrasts:
            by_key.setdefault(image.name.key, {})[image.name.contrast] = image
    whole = {
        key: tuple(found[one] for one in contrasts) for key, found in by_key.items() if len(found) == len(contrasts)
    }
    notes = [
        f"left out, without {contrast}: {first_few(without)}"
        for contrast in contrasts
        if (without := [key for key, found in by_key.items() if contrast not in found])
    ]
    apart = {key: reason for key, images in whole.items() if (reason := _grids_differ(images))}
    if apart:
        key, reason = next(iter(apart.items()))
        notes.append(
            f"left out, for {agreeing(len(apart), 'its', 'their')} contrasts lie on different grids: {first_few(list(apart))} "
            f"({readable(key)}: {reason}); resample them, or take contrasts as cases of their own"
        )
    return _Subjects(
        images={key: images for key, images in whole.items() if key not in apart},
        notes=tuple(notes),
    )


def _grids_differ(images: Sequence[BidsImage]) -> str:
    first, *others = [read_header(image.path) for image in images]
    for image, other in zip(images[1:], others, strict=True):
        if first.shape != other.shape:
            return f"{images[0].name.contrast} has {first.shape} voxels (z, y, x), {image.name.contrast} {other.shape}"
        if found := first.geometry.differences(other.geometry):
            return f"{image.name.contrast}: {'; '.join(found)}"
    return ""


def _regions(subjects: _Subjects, suffix: str) -> dict[str, Path]:
    """Of each case the mask of its region, where it has one."""
    found = {case: _labels(images, [suffix]).get(suffix) for case, images in subjects.images.items()}
    return {case: files[0] for case, files in found.items() if files}


def _with_region(tree: BidsTree, subjects: _Subjects, suffix: str | None) -> _Subjects:
    """Those that have a mask of their region, where one is asked for."""
    if suffix is None:
        return subjects
    _known(tree, "roi_suffix", [suffix], tuple(tree.label_suffixes))
    with_region = _regions(subjects, suffix)
    without = [case for case in subjects.images if case not in with_region]
    note = f"left out, without {suffix}: {first_few(without)}"
    return _Subjects(
        images={case: subjects.images[case] for case in with_region},
        notes=(*subjects.notes, *([note] if without else [])),
    )


def _chosen(tree: BidsTree, subjects: _Subjects, where: str | None) -> _Subjects:
    """Those of which the condition is so, with what is known of them."""
    if not subjects.images:
        raise DatasetError(
            f"{readable(tree.folder)}: no subject has all of these contrasts on one grid; {'; '.join(subjects.notes)}\n"
            f"{shown_choices(tree)}"
        )
    facts = facts_of_images(tree, {case: images[0] for case, images in subjects.images.items()})
    if where is None:
        return _Subjects(images=subjects.images, notes=subjects.notes, facts=facts)
    chosen = parse_condition(where).chosen(facts)
    left = len(facts) - len(chosen)
    return _Subjects(
        images={case: subjects.images[case] for case in chosen},
        notes=(*subjects.notes, f"left out by {where}: {counted(left, 'case')}"),
        facts={case: facts[case] for case in chosen},
    )


def _labels(images: Sequence[BidsImage], suffixes: Sequence[str]) -> Mapping[str, tuple[Path, ...]]:
    """Of each suffix the files of the first of a case's images that has it."""
    found = {
        suffix: next((image.labels[suffix] for image in images if suffix in image.labels), ()) for suffix in suffixes
    }
    return {suffix: files for suffix, files in found.items() if files}


def _inherited(tree: BidsTree, subjects: _Subjects) -> Iterator[tuple[str, Path]]:
    """Of pictures, whose pixels' size stands in a JSON file, the one that says it, where it is not beside them."""
    for case, images in subjects.images.items():
        path = images[0].path
        if holds_channels(path.name) and (said := json_files(tree.folder, images[0])):
            yield case, (files_of(path)[1:] or said[-1:])[0]
