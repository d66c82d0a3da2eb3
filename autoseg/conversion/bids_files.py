"""The files of a BIDS dataset: subjects' images, their labels in derivatives, and the JSON files that go with them.

Source: the Brain Imaging Data Structure, specification 1.10, "Common principles" (entities, inheritance, derivatives).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from autoseg.images import split_ending
from autoseg.words import readable

SUBJECT, SESSION = "sub", "ses"
DERIVATIVES = "derivatives"
DESCRIPTION_FILE, PARTICIPANTS_FILE = "dataset_description.json", "participants.tsv"

Entities = tuple[tuple[str, str], ...]
"""Keys and values in a name, in their order: `(("sub", "01"), ("run", "2"))`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BidsName:
    """What a file's name says.

    Attributes:
        stem: Without its ending.
        contrast: The suffix, `T1w`.
    """

    stem: str
    entities: Entities
    contrast: str

    @property
    def key(self) -> str:
        """The stem without its suffix; images of one key were taken together."""
        return "_".join(f"{name}-{value}" for name, value in self.entities)

    def entity(self, name: str) -> str | None:
        """The value of an entity; None where the name has it not."""
        return dict(self.entities).get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class BidsImage:
    """An image of a subject.

    Attributes:
        labels: By their suffix, what stands behind the image's name, the files of each derivative in which it is there.
    """

    path: Path
    name: BidsName
    labels: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class BidsTree:
    """A BIDS dataset.

    Attributes:
        images: Of all subjects, sorted.
    """

    folder: Path
    images: tuple[BidsImage, ...]

    @cached_property
    def contrasts(self) -> Mapping[str, int]:
        """How many images there are of each suffix."""
        counts: dict[str, int] = defaultdict(int)
        for image in self.images:
            counts[image.name.contrast] += 1
        return dict(sorted(counts.items()))

    @cached_property
    def label_suffixes(self) -> Mapping[str, Mapping[str, int]]:
        """How many images of each contrast have labels of each suffix."""
        counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for image in self.images:
            for suffix in image.labels:
                counts[suffix][image.name.contrast] += 1
        return {suffix: dict(counts[suffix]) for suffix in sorted(counts)}


def is_bids(folder: Path) -> bool:
    """Whether a folder is a BIDS dataset: it says so, or has subjects' folders with images below."""
    subjects = _subjects(folder)
    return bool(subjects) and (
        any((folder / name).is_file() for name in (DESCRIPTION_FILE, PARTICIPANTS_FILE))
        or any(_parsed(path) for subject in subjects for path in _images_below(subject))
    )


def read_tree(folder: Path) -> BidsTree:
    """Find all images of subjects and, in all derivatives, the labels that are named after them."""
    images = [
        (path, name) for subject in _subjects(folder) for path in _images_below(subject) if (name := _parsed(path))
    ]
    labels = _labels(folder, [name for _, name in images])
    found = [BidsImage(path=path, name=name, labels=labels.get(name.stem, {})) for path, name in images]
    return BidsTree(folder=folder, images=tuple(sorted(found, key=lambda image: image.name.stem)))


def _subjects(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{SUBJECT}-*") if path.is_dir())


def _images_below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(root, name) for name in sorted(names) if name[0] != "." and split_ending(name)[1])


def _parsed(path: Path) -> BidsName | None:
    """What a name says; None where it is no name of a subject's image."""
    stem = split_ending(path.name)[0]
    *pairs, contrast = stem.split("_")
    entities = tuple((name, value) for name, dash, value in (pair.partition("-") for pair in pairs) if dash and value)
    if len(entities) < len(pairs) or "-" in contrast or not contrast or not entities or entities[0][0] != SUBJECT:
        return None
    return BidsName(stem=stem, entities=entities, contrast=contrast)


def _labels(folder: Path, names: Sequence[BidsName]) -> Mapping[str, Mapping[str, tuple[Path, ...]]]:
    """By the stem of an image, by suffix: those named after the image, or without its contrast after all of its key."""
    by_stem: dict[str, list[str]] = {name.stem: [name.stem] for name in names}
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_key[name.key].append(name.stem)
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in _derived(folder):
        stem = split_ending(path.name)[0]
        named = _longest(stem, by_stem) or _longest(stem, by_key)
        for image in (by_stem.get(named) or by_key[named]) if named else ():
            found[image][stem[len(named) :]].append(path)
    return {
        image: {suffix: tuple(paths) for suffix, paths in sorted(suffixes.items())} for image, suffixes in found.items()
    }


def _derived(folder: Path) -> Iterator[Path]:
    """Images in all derivatives, those of one after those of another, in the order of their names."""
    for derivative in sorted(path for path in (folder / DERIVATIVES).glob("*") if path.is_dir()):
        yield from _images_below(derivative)


def _longest(stem: str, known: Mapping[str, object]) -> str:
    """The longest known name that a stem begins with, before an underscore; empty where there is none."""
    parts = stem.split("_")
    begins = ("_".join(parts[:number]) for number in range(len(parts) - 1, 0, -1))
    return next((begin for begin in begins if begin in known), "")


def json_files(folder: Path, image: BidsImage) -> tuple[Path, ...]:
    """The JSON files that say something of an image, the more general first: those above it that name no other."""
    above = [folder, *reversed([path for path in image.path.parents if folder in path.parents])]
    own = set(image.name.entities)
    found = []
    for place in above:
        said = [(name, path) for path in sorted(place.glob("*.json")) if (name := _name_of_sidecar(path))]
        fitting = [(name, path) for name, path in said if name.contrast == image.name.contrast]
        fitting = [(name, path) for name, path in fitting if set(name.entities) <= own]
        found += [path for _, path in sorted(fitting, key=lambda one: len(one[0].entities))]
    return tuple(found)


def _name_of_sidecar(path: Path) -> BidsName | None:
    *pairs, contrast = path.name.removesuffix(".json").split("_")
    entities = tuple((name, value) for name, _, value in (pair.partition("-") for pair in pairs) if value)
    return BidsName(stem=path.stem, entities=entities, contrast=contrast) if len(entities) == len(pairs) else None


def shown_choices(tree: BidsTree) -> str:
    """What there is to choose from, a line each."""
    lines = ["contrasts: " + ", ".join(f"{readable(name)} ({number})" for name, number in tree.contrasts.items())]
    for suffix, counts in tree.label_suffixes.items():
        held = ", ".join(f"{number} of {readable(contrast)}" for contrast, number in counts.items())
        lines.append(f"labels {readable(suffix)}: {held}")
    return "\n".join(f"  {line}" for line in lines)
