"""What a folder of someone's data was understood to be, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoseg.conversion.mask_sources import MaskSource
from autoseg.dataset import Case
from autoseg.dataset.declared_target import MASKS, ORDER
from autoseg.dataset.facts import Facts
from autoseg.dataset.target import Target
from autoseg.images import split_ending
from autoseg.words import first_few, readable

DICOM = "DICOM"
"""The only files whose names may say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnLabel:
    """A label file of a case that is made of others.

    Attributes:
        name: Behind the case's name, `_axon` or `_rater2`; empty for its only file.
        masks: Where they come from, and the value that is written where each holds.
    """

    name: str
    masks: tuple[tuple[MaskSource, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOfInterest:
    """What of a case is known.

    Attributes:
        mask: A file that holds there.
        unknown: What labels say elsewhere.
        margin: Millimetres around it to which image and labels are cut; None leaves them whole.
    """

    mask: Path
    unknown: int
    margin: float | None = None


MOST_NAMES = 20
"""Of channels or labels in the report; atlases have a hundred and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A dataset in someone's layout.

    Attributes:
        layout: In words.
        number: Of the task, where the folder's name has one.
        name: Without the number.
        channels, labels: Names, the index is the number.
        training: Cases with a label file.
        test: Cases without.
        description: What else its dataset.json says, carried over.
        label_values: Of each case, for each value in its label file the one to write; None leaves the files as they are.
        drawings: Of cases whose labels are made of several files, what is written.
        regions: Of cases of which not all is known, what is.
        sidecars: Of cases, a JSON file that goes with image and labels and does not lie beside them.
        facts: What is known of each case; None where that stands beside the images as we have it.
        target: What dataset.json has to say of the target where names in the order of their numbers do not say all.
        outputs: What is predicted, where label files are brought over that each hold a part of it; else None.
        notes: What a user should know before training.
    """

    source: Path
    layout: str
    number: int | None
    name: str
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    training: tuple[Case, ...]
    test: tuple[Case, ...]
    description: Mapping[str, Any] = field(default_factory=dict)
    label_values: Mapping[str, Mapping[int, int]] | None = None
    drawings: Mapping[str, tuple[DrawnLabel, ...]] = field(default_factory=dict)
    regions: Mapping[str, RegionOfInterest] = field(default_factory=dict)
    sidecars: Mapping[str, Path] = field(default_factory=dict)
    facts: Mapping[str, Facts] | None = None
    target: Mapping[str, Any] = field(default_factory=dict)
    outputs: Target | None = None
    notes: tuple[str, ...] = ()

    def report(self) -> str:
        """What was understood, a line each."""
        files = {path for case in (*self.training, *self.test) for path in case.paths}
        endings = Counter(split_ending(path.name)[1] for path in files)
        lines = [
            f"{readable(self.source)}: {self.layout}",
            f"  channels  {_numbered(self.channels)}",
            self._outputs(),
            f"  cases     {len(self.training)} with labels, {len(self.test)} without",
            f"  files     {', '.join(f'{number} {ending or DICOM}' for ending, number in sorted(endings.items()))}",
        ]
        return "\n".join([*lines, *(f"  note      {note}" for note in self.notes)])

    def _outputs(self) -> str:
        if MASKS in self.target:
            return f"  masks     {', '.join(map(readable, self.target[MASKS]))}"
        return f"  {'regions  ' if ORDER in self.target else 'labels   '} {_numbered(self.labels)}"


def _numbered(names: Sequence[str]) -> str:
    return first_few([f"{number} {readable(name)}" for number, name in enumerate(names)], MOST_NAMES, say=str)
