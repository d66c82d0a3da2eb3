"""One pipeline of a plan, part by part: grid, sampling, network, intensities.

Spatial entries are in transposed axis order: first the axis with the largest voxels, then the others in file order
(z, y, x).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from autoseg.dataset.normalisations import CT, Normalisation, read_normalisation
from autoseg.errors import DatasetError, PlanError
from autoseg.files.layout import is_configuration
from autoseg.files.storage import LATER
from autoseg.geometry import SPACING_RANGE
from autoseg.plans.network import NetworkPlan, Topology
from autoseg.words import counted

MOST_BATCH_VOXELS = 2**28
"""Voxels of all patches of a batch; a single layer of 32 features takes 34 GB for them. No network is trained with as many
today, by a factor of ten: a plan beyond is damaged or hostile, and would take all memory before anything else went wrong."""

LARGEST_SIDE = 2**18
"""Voxels along one axis of a case; the largest microscopes make half of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The voxels that cases are brought to.

    Attributes:
        spacing: Voxel size in mm, three entries; with patches of two dimensions the first is only informative, as slices
            are not resampled across.
        median_shape: The median case on it, three entries, voxels.
        native: Cases keep the voxels that they have, and both entries above only say what the median case is like.
    """

    spacing: tuple[float, float, float]
    median_shape: tuple[int, int, int]
    native: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        if any(not 1 <= side <= LARGEST_SIDE for side in self.median_shape):
            raise PlanError(f"median_shape must be from 1 to {LARGEST_SIDE} voxels, found {self.median_shape}")
        least, most = SPACING_RANGE
        if not all(least <= side <= most for side in self.spacing):
            raise PlanError(f"spacing must be from {least:g} to {most:g} mm, found {self.spacing}")


Direction: TypeAlias = tuple[float, float, float]
"""A unit vector in patient coordinates, (z, y, x)."""

UNIT = 1e-3
"""What a direction's length may differ from 1, as where a person rounded its numbers."""

MOST_VIEWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Directions that a case is looked along, in scanner space, at equal distances of all its points.

    Attributes:
        directions: Across the planes that are cut through the case.
        span: From the first pixel of a plane, or of a box, to the last, mm.
    """

    directions: tuple[Direction, ...]
    span: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.directions) <= MOST_VIEWS:
            raise PlanError(f"views need from 1 to {MOST_VIEWS} directions, found {len(self.directions)}")
        if wrong := [one for one in self.directions if not (abs(math.hypot(*one) - 1) <= UNIT and one[0] >= 0)]:
            raise PlanError(
                f"a view's direction is a vector (z, y, x) of length 1 whose z is not below 0, found {wrong[0]}"
            )
        least, most = SPACING_RANGE
        if not least <= self.span <= most:
            raise PlanError(f"the span of views must be from {least:g} to {most:g} mm, found {self.span}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What of a case the network sees at once.

    Attributes:
        patch_size: Two sides, of a slice or a plane, or three; voxels, or pixels of a view.
        in_plane: A patch of three sides is so thin along its first axis that it is varied within its slices only.
        views: How what it sees lies in the scanner; None: as the grid does.
    """

    patch_size: tuple[int, ...]
    in_plane: bool = False
    views: Views | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if self.views is not None and (len(set(self.patch_size)) != 1 or self.patch_size[0] < 2):
            raise PlanError(f"a plane or a box of a view has equal sides of at least 2 pixels, found {self.patch_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensityRule:
    """How one channel is normalised.

    Attributes:
        name: As `read_normalisation` reads it, settings behind it.
        masked: Inside the nonzero region only.
    """

    name: str
    masked: bool = False

    def __post_init__(self) -> None:
        try:
            known = read_normalisation(self.name).name
        except DatasetError as error:
            raise PlanError(str(error)) from error
        if not self.name.startswith(known):
            raise PlanError(f"unknown normalisation {self.name}; plans call it {known}")

    @property
    def normalisation(self) -> Normalisation:
        """The rule with its settings."""
        return read_normalisation(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPlan:
    """One pipeline: what cases become, what the network sees of them, and the network.

    Attributes:
        name: Any; nothing hangs on it.
        intensities: One rule for each channel.
        batch_dice: Whether the Dice loss sums over the batch before dividing.
        previous: The configuration whose predictions are extra input channels (cascade), else None.
        prepared_as: The configuration whose prepared cases this one uses: its own name, or one of equal grid and rules.
        cost: Place in the order of what predicting takes, the least first; of equal scores the cheaper wins.
    """

    name: str
    grid: Grid
    sampling: Sampling
    network: NetworkPlan
    intensities: tuple[IntensityRule, ...]
    batch_size: int
    batch_dice: bool
    previous: str | None
    prepared_as: str
    cost: int

    def __post_init__(self) -> None:
        if absurd := [name for name in (self.name, self.prepared_as) if not is_configuration(name)]:
            raise PlanError(
                f"configuration {absurd[0]!a}: a name is of up to 50 letters, digits, dots, hyphens and underscores, begins "
                "with a letter or digit, and is not that of another folder of the results"
            )
        patch, topology = self.sampling.patch_size, self.topology
        if len(patch) not in (2, 3) or topology.dimensions != len(patch):
            raise PlanError(f"patch {patch} and kernels must have the same two or three dimensions")
        if any(side < 1 or side % factor for side, factor in zip(patch, topology.divisor, strict=True)):
            raise PlanError(
                f"every side of the patch {patch} must be divisible by {topology.divisor}, the product of the strides"
            )
        if self.batch_size < 1:
            raise PlanError(f"batch_size must be at least 1, found {self.batch_size}")
        if self.batch_size * math.prod(patch) > MOST_BATCH_VOXELS:
            raise PlanError(
                f"a batch of {counted(self.batch_size, 'patch', 'patches')} of {patch} is "
                f"impossibly large; at most {MOST_BATCH_VOXELS} voxels"
            )

    @property
    def dimensions(self) -> int:
        """Of the patch, 2 or 3."""
        return len(self.sampling.patch_size)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """That a case is looked along; none where it is looked at as its grid lies."""
        return self.sampling.views.directions if self.sampling.views is not None else ()

    def along(self, number: int) -> ConfigurationPlan:
        """The same that looks along one of its directions only."""
        if self.sampling.views is None:
            raise PlanError(f"{self.name}: looks along no directions")
        one = replace(self.sampling.views, directions=self.directions[number : number + 1])
        return replace(self, sampling=replace(self.sampling, views=one))

    @property
    def needs_statistics(self) -> bool:
        """Whether a channel is normalised by the intensities of all training cases."""
        return any(rule.normalisation.name == CT for rule in self.intensities)

    @property
    def topology(self) -> Topology:
        """The levels that the network answers at; of another network than ours the finest alone."""
        if self.network.is_unet:
            return self.network.unet().topology
        ones = ((1,) * len(self.sampling.patch_size),)
        return Topology(strides=ones, kernels=ones)


@contextmanager
def of_configuration(name: str) -> Iterator[None]:
    """What is wrong with a part of a configuration is said with its name."""
    try:
        yield
    except PlanError as error:
        raise PlanError(f"{name}: {error}") from error
