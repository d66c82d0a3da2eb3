"""Folders `train`, `val`, `test` and perhaps `aug`, each with images and labels: a split that somebody made, which stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from autoseg.conversion.label_files import read_label_files
from autoseg.conversion.nnunet import number_and_name
from autoseg.conversion.numbering import number_labels
from autoseg.conversion.plain_folders import (
    PlainSettings,
    cases_of,
    channel_names,
    outputs_of_raters,
    plain_notes,
    plain_pair,
    require_equal_channels,
)
from autoseg.conversion.regions import regions_beside, with_regions
from autoseg.conversion.understood import Understood
from autoseg.dataset import Case
from autoseg.dataset.facts import Facts, read_facts
from autoseg.dataset.folds import ADDED, SPLIT, TEST, TRAIN, VALIDATE
from autoseg.dataset.metadata import WEIGHT
from autoseg.errors import DatasetError
from autoseg.words import counted, first_few, readable

SPLIT_FOLDERS = "folders train, val and test with images and labels each: a split that stays as it is"
NAMES = {
    TRAIN: ("train", "training"),
    VALIDATE: ("val", "valid", "validation"),
    TEST: ("test", "testing"),
    ADDED: ("aug", "augmented"),
}
"""What the folders may be called, by what their cases are for."""

WEIGHT_OF_ADDED = "0.33"
"""Of images that were made from others (Multi-Planar U-Net, Perslev et al. 2019)."""


def split_pairs(folder: Path) -> Mapping[str, tuple[Path, Path]]:
    """The folders of images and labels by what they are for; empty where what trains and what validates or tests is not there."""
    found = {
        role: pair
        for role, names in NAMES.items()
        for name in names
        if (folder / name).is_dir() and (pair := plain_pair(folder / name)) is not None
    }
    return found if TRAIN in found and (VALIDATE in found or TEST in found) else {}


def understand_split_folders(
    folder: Path, pairs: Mapping[str, tuple[Path, Path]], settings: PlainSettings, *, workers: int
) -> Understood:
    """Match images and labels in each folder, and note in `split` and `weight` what each case is for.

    Raises:
        DatasetError: As for plain folders; or a case of one name is in two of the folders.
    """
    by_role = {role: settings.read_as_asked(cases_of(images, labels)) for role, (images, labels) in pairs.items()}
    everything = [case for cases in by_role.values() for case in cases]
    require_each_once(folder, everything)
    for role, cases in by_role.items():
        if role != TEST and (without := [case.identifier for case in cases if not case.label_paths]):
            raise DatasetError(
                f"{readable(pairs[role][1])}: no label of {first_few(without)}; add it, or take the image away"
            )
    require_equal_channels(folder, everything)
    labelled = [case for case in everything if case.label_paths]
    files = read_label_files(folder, labelled, workers)
    numbering = number_labels(folder, files, remap_labels=settings.remap_labels, names=settings.labels)
    known = read_facts(folder, {case.identifier for case in everything}).by_case
    facts = {
        case.identifier: with_role(known.get(case.identifier, Facts()), role)
        for role, cases in by_role.items()
        for case in cases
    }
    number, name = number_and_name(folder)
    test = tuple(by_role.get(TEST, ()))
    counts = ", ".join(f"{role} {len(cases)}" for role, cases in by_role.items())
    understood = Understood(
        source=folder,
        layout=SPLIT_FOLDERS,
        number=number,
        name=name,
        channels=channel_names(folder, settings.channels, cases[0]),
        labels=numbering.names,
        training=tuple(case for role, cases in by_role.items() if role != TEST for case in cases),
        test=test,
        description=settings.description,
        label_values=numbering.numbers,
        outputs=outputs_of_raters(everything, numbering),
        facts=facts,
        notes=(f"the split stays as it is: {counts}", *plain_notes(settings, numbering, 0)),
    )
    regions = [regions_beside(images.parent, by_role[role]) for role, (images, _) in pairs.items()]
    return with_regions(
        understood, {case: path for of_role in regions for case, path in of_role.items()}, settings.roi_margin
    )


def require_each_once(folder: Path, cases: list[Case]) -> None:
    """Refuse a case of one name in two of the folders.

    Raises:
        DatasetError: Naming them.
    """
    times = Counter(case.identifier for case in cases)
    if double := sorted(name for name, count in times.items() if count > 1):
        raise DatasetError(
            f"{readable(folder)}: {counted(len(double), 'name is', 'names are')} in more than one of its folders: "
            f"{first_few(double)}; call the files differently, or take away what is one case twice"
        )


def with_role(facts: Facts, role: str) -> Facts:
    """What is known of a case, and what its folder says that it is for."""
    known = dict(facts.known)
    given = {SPLIT: role} | ({WEIGHT: known.get(WEIGHT, WEIGHT_OF_ADDED)} if role == ADDED else {})
    return Facts(known=tuple((known | given).items()))
