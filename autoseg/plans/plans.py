"""Plans: everything that is decided about a task before training, as frozen values.

Spatial entries of a configuration are in transposed axis order; `transpose_forward` turns arrays of the image's axis order
into that one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from autoseg.dataset import LARGEST_LABEL, Target
from autoseg.dataset.target import StoredTarget, restored_target
from autoseg.errors import DatasetError, PlanError
from autoseg.images import Reading
from autoseg.plans.configuration import ConfigurationPlan
from autoseg.words import counted

MOST_CHANNELS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensityStatistics:
    """Intensities of one channel inside the foreground of all training cases, in the image's own unit."""

    mean: float
    sd: float
    median: float
    minimum: float
    maximum: float
    percentile_00_5: float
    percentile_99_5: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """Everything decided about one task by one planner.

    Attributes:
        format: Number of the file format.
        version: Version of autoseg that planned.
        identifier: Name the plans are filed under.
        planner: Class that planned.
        dataset: Folder name of the task.
        channels: Channel names.
        labels: Label names, index is the value.
        target_kind: What the target is beside its labels; None where these say all.
        reading: What dataset.json says of the files; None where it says nothing.
        intensities: One entry for each channel, None where its normalisation needs none and it was not measured; None
            altogether when planned from a fingerprint without intensities.
    """

    format: int
    version: str
    identifier: str
    planner: str
    dataset: str
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    transpose_forward: tuple[int, int, int]
    transpose_backward: tuple[int, int, int]
    intensities: tuple[IntensityStatistics | None, ...] | None
    configurations: Mapping[str, ConfigurationPlan]
    target_kind: StoredTarget | None = None
    reading: Reading | None = None

    def __post_init__(self) -> None:
        if len(self.labels) - 1 > LARGEST_LABEL or len(self.channels) > MOST_CHANNELS:
            raise PlanError(
                f"{counted(len(self.labels), 'label')} and {counted(len(self.channels), 'channel')}: too many; "
                f"at most {LARGEST_LABEL + 1} and {MOST_CHANNELS} can be used"
            )
        if sorted(self.transpose_forward) != [0, 1, 2] or tuple(
            self.transpose_forward.index(axis) for axis in range(3)
        ) != tuple(self.transpose_backward):
            raise PlanError(f"transpose_backward {self.transpose_backward} does not undo {self.transpose_forward}")
        if self.intensities is not None and len(self.intensities) != len(self.channels):
            raise PlanError(
                f"{counted(len(self.channels), 'channel needs', 'channels need')} as many intensity entries, found "
                f"{len(self.intensities)}"
            )
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise PlanError(f"labels must be the background and more, each named once, found {', '.join(self.labels)}")
        self._require_target()
        for number, statistics in enumerate(self.intensities or ()):
            if statistics is not None and not all(map(math.isfinite, astuple(statistics))):
                raise PlanError(f"channel {number}: its intensities must be finite numbers, found {statistics}")
        for name, configuration in self.configurations.items():
            previous = configuration.previous
            if previous is not None and (previous == name or previous not in self.configurations):
                raise PlanError(f"{name}: follows {previous}, which is not planned")
            if name != configuration.name:
                raise PlanError(f"the configuration under {name!r} calls itself {configuration.name!r}")
            if len(configuration.intensities) != len(self.channels):
                raise PlanError(
                    f"{name}: one normalisation for each channel is needed, found "
                    f"{len(configuration.intensities)} for {counted(len(self.channels), 'channel')}"
                )

    def _require_target(self) -> None:
        try:
            _ = self.target
        except DatasetError as error:
            raise PlanError(f"target_kind: {error}") from error

    def configuration(self, name: str) -> ConfigurationPlan:
        """The plan of one configuration.

        Raises:
            PlanError: Listing what is planned.
        """
        if name not in self.configurations:
            raise PlanError(f"{self.dataset}: {name} is not planned; planned are {', '.join(self.configurations)}")
        return self.configurations[name]

    @property
    def target(self) -> Target:
        """What is predicted."""
        return restored_target(self.labels, self.target_kind)
