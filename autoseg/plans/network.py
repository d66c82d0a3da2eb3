"""The network in a plan: its name, and what it is built from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoseg.errors import PlanError, StorageError
from autoseg.files.storage import decode, encode
from autoseg.words import counted

UNET, RESIDUAL_UNET = "unet", "residual_unet"
NETWORKS = (UNET, RESIDUAL_UNET)
"""Ours, that a plan may name."""

USUAL_FEATURES = 32

MOST_LEVELS = 32
LARGEST_KERNEL = 63
MOST_BLOCKS = 1000
"""Convolutions, or residual blocks, of one level."""

MOST_PARAMETERS = 2**30
"""Weights of an encoder, about: 4 GB. The largest residual U-Net trained today has a tenth of it; a plan beyond is damaged or
hostile, and would take all memory before anything else went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Resolution levels of one U-Net, finest first; entries are per spatial axis."""

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.strides or len(self.strides) != len(self.kernels):
            raise PlanError(
                "a U-Net needs one stride and one kernel for each level, "
                f"found {counted(len(self.strides), 'stride')} and {counted(len(self.kernels), 'kernel')}"
            )
        if any(step != 1 for step in self.strides[0]):
            raise PlanError(f"the first level keeps full resolution, but its stride is {self.strides[0]}")
        if len({len(entry) for entry in self.strides + self.kernels}) != 1:
            raise PlanError("strides and kernels must all have one entry for each axis")
        if any(size % 2 != 1 or size < 1 for kernel in self.kernels for size in kernel):
            raise PlanError(f"kernels must be odd, found {self.kernels}")
        if any(step < 1 for stride in self.strides for step in stride):
            raise PlanError(f"strides must be at least 1, found {self.strides}")
        if len(self.strides) > MOST_LEVELS or max(map(max, self.kernels)) > LARGEST_KERNEL:
            raise PlanError(f"a U-Net has at most {MOST_LEVELS} levels and kernels of {LARGEST_KERNEL}")

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.strides[0])

    @property
    def divisor(self) -> tuple[int, ...]:
        """What every patch side must be divisible by."""
        return tuple(math.prod(steps) for steps in zip(*self.strides, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """A network by its name.

    Attributes:
        name: One of `NETWORKS`, or whatever a trainer's own `build_network` understands.
        settings: Plain values that it is built from; those of our U-Nets are the fields of `UNetSettings`.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", {key: _frozen(value) for key, value in self.settings.items()})
        if self.name in NETWORKS or self.is_unet:
            self.unet()

    @property
    def is_unet(self) -> bool:
        """Whether the settings are those of a U-Net, be it ours or a trainer's own."""
        return "strides" in self.settings

    @property
    def features(self) -> int:
        """Channels of the finest level, by which memory is estimated; the usual number where the network does not say."""
        return self.unet().features if self.is_unet else USUAL_FEATURES

    def unet(self) -> UNetSettings:
        """The settings of a U-Net.

        Raises:
            PlanError: Settings are missing, unknown, or impossible.
        """
        try:
            settings: UNetSettings = decode(
                UNetSettings, {"blocks_per_stage": None, **encode(self.settings)}, "network.settings"
            )
        except StorageError as error:
            raise PlanError(str(error)) from error
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetSettings:
    """What a U-Net is built from.

    Attributes:
        strides: Of each level, finest first; the first keeps full resolution, the others pool.
        kernels: Of each level.
        features: Channels of the first level, doubled at each pooling up to `max_features`.
        convs_per_stage: Convolutions of each level; with `blocks_per_stage` those of each decoder level only.
        blocks_per_stage: Residual blocks of each encoder level, finest first; None for a network without.
    """

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    features: int
    max_features: int
    convs_per_stage: int
    blocks_per_stage: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        levels, blocks = len(self.topology.kernels), self.blocks_per_stage
        if self.features < 1 or self.convs_per_stage < 1 or self.max_features < self.features:
            raise PlanError("features and convs_per_stage must be at least 1, and max_features at least features")
        if blocks is not None and (len(blocks) != levels or min(blocks) < 1):
            raise PlanError(f"blocks_per_stage needs {counted(levels, 'number')}, one for each level, found {blocks}")
        if max((self.convs_per_stage, *(blocks or ()))) > MOST_BLOCKS:
            raise PlanError(f"a level has at most {MOST_BLOCKS} convolutions or blocks")
        if self._parameters > MOST_PARAMETERS:
            raise PlanError(
                f"a network of {self.features} to {self.max_features} features and about "
                f"{self._parameters:.2g} weights is impossibly large; at most {MOST_PARAMETERS:.2g}"
            )

    @property
    def topology(self) -> Topology:
        """The levels."""
        return Topology(strides=self.strides, kernels=self.kernels)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, finest first: doubled from level to level, at most `max_features`."""
        return tuple(min(self.features << level, self.max_features) for level in range(len(self.strides)))

    @property
    def _parameters(self) -> int:
        """Weights of the encoder's convolutions, to the order of magnitude."""
        blocks = self.blocks_per_stage or (self.convs_per_stage,) * len(self.kernels)
        return sum(
            count * width**2 * math.prod(kernel)
            for count, width, kernel in zip(blocks, self.widths, self.kernels, strict=True)
        )


def _frozen(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return {key: _frozen(one) for key, one in value.items()} if isinstance(value, Mapping) else value
