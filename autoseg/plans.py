"""Plans: everything that is decided about a task before training, as frozen values.

Spatial entries of a configuration are in transposed axis order: first the axis with the largest voxels, then the
others in file order (z, y, x). `transpose_forward` turns arrays of the image's axis order into that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import autoseg
from autoseg.dataset import LARGEST_LABEL, Exclusive, Target
from autoseg.errors import PlanError, StorageError
from autoseg.files.storage import content_hash, decode, read_json, read_plain_pickle, write_json, write_plain_pickle
from autoseg.geometry import SPACING_RANGE
from autoseg.versions import remedy, warn_if_newer
from autoseg.words import counted

FORMAT = 1
CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
NETWORKS = ("unet", "residual_unet")
"""That a plan may name."""

NORMALIZATION_SCHEMES = ("CT", "nonCT", "noNorm")

# What no network is trained with today, by a factor of ten or more: a plan beyond is damaged or hostile, and would take
# all memory before anything else went wrong.
MOST_BATCH_VOXELS = 2**28
"""Voxels of all patches of a batch; a single layer of 32 features takes 34 GB for them."""

MOST_PARAMETERS = 2**30
"""Weights of an encoder, about: 4 GB. The largest residual U-Net trained today has a tenth of it."""

MOST_LEVELS = 32
LARGEST_KERNEL = 63
MOST_BLOCKS = 1000
"""Convolutions, or residual blocks, of one level."""

LARGEST_SIDE = 2**18
"""Voxels along one axis of a case; the largest microscopes make half of it."""

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
class ConfigurationPlan:
    """One pipeline: the grid, the patch, the network and the normalisation.

    Attributes:
        spacing: Target voxel size in mm, three entries; for 2d the first is only informative, slices are not resampled.
        median_shape: Median case on the target grid, three entries, voxels.
        patch_size: Two entries for 2d, else three.
        pool_kernel_sizes: One entry for each pooling, finest first.
        conv_kernel_sizes: One entry for each level, so one more than poolings.
        features: Channels of the first level, doubled at each pooling up to `max_features`.
        batch_dice: Whether the Dice loss sums over the batch before dividing.
        previous: The configuration whose predictions are extra input channels (cascade), else None.
        convs_per_stage: Convolutions of each level; with `blocks_per_stage` those of each decoder level only.
        blocks_per_stage: Residual blocks of each encoder level, finest first; None for a network without.
    """

    name: str
    spacing: tuple[float, float, float]
    median_shape: tuple[int, int, int]
    patch_size: tuple[int, ...]
    batch_size: int
    num_pool_per_axis: tuple[int, ...]
    pool_kernel_sizes: tuple[tuple[int, ...], ...]
    conv_kernel_sizes: tuple[tuple[int, ...], ...]
    do_dummy_2d_augmentation: bool
    normalization_schemes: tuple[str, ...]
    use_mask_for_norm: tuple[bool, ...]
    batch_dice: bool
    previous: str | None
    network: str
    features: int
    max_features: int
    convs_per_stage: int
    blocks_per_stage: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        topology = self.topology
        if self.name not in CONFIGURATIONS:
            raise PlanError(f"configuration {self.name!r} is not one of {', '.join(CONFIGURATIONS)}")
        if topology.dimensions != (2 if self.name == "2d" else 3) or len(self.patch_size) != topology.dimensions:
            raise PlanError(
                f"{self.name}: patch {self.patch_size} and kernels must have the configuration's dimensions"
            )
        if any(side < 1 or side % factor for side, factor in zip(self.patch_size, topology.divisor, strict=True)):
            raise PlanError(
                f"{self.name}: every side of the patch {self.patch_size} must be divisible by {topology.divisor}, "
                "the product of the pooling kernels"
            )
        pools = tuple(sum(step > 1 for step in steps[1:]) for steps in zip(*topology.strides, strict=True))
        if pools != self.num_pool_per_axis:
            raise PlanError(
                f"{self.name}: num_pool_per_axis is {self.num_pool_per_axis}, but pool_kernel_sizes pool {pools} times"
            )
        if self.batch_size < 1 or self.features < 1 or self.convs_per_stage < 1 or self.max_features < self.features:
            raise PlanError(
                f"{self.name}: batch_size, features and convs_per_stage must be at least 1, "
                "and max_features at least features"
            )
        levels, blocks = len(self.conv_kernel_sizes), self.blocks_per_stage
        if blocks is not None and (len(blocks) != levels or min(blocks) < 1):
            raise PlanError(
                f"{self.name}: blocks_per_stage needs {counted(levels, 'number')}, one for each level, found {blocks}"
            )
        self._require_possible_sizes()
        if any(not 1 <= side <= LARGEST_SIDE for side in self.median_shape):
            raise PlanError(
                f"{self.name}: median_shape must be from 1 to {LARGEST_SIDE} voxels, found {self.median_shape}"
            )
        least, most = SPACING_RANGE
        if not all(least <= side <= most for side in self.spacing):
            raise PlanError(f"{self.name}: spacing must be from {least:g} to {most:g} mm, found {self.spacing}")
        if unknown := set(self.normalization_schemes) - set(NORMALIZATION_SCHEMES):
            raise PlanError(f"{self.name}: unknown normalisation {', '.join(sorted(unknown))}")
        if len(self.use_mask_for_norm) != len(self.normalization_schemes):
            raise PlanError(f"{self.name}: use_mask_for_norm needs one entry for each channel")

    def _require_possible_sizes(self) -> None:
        voxels = self.batch_size * math.prod(self.patch_size)
        if voxels > MOST_BATCH_VOXELS:
            raise PlanError(
                f"{self.name}: a batch of {counted(self.batch_size, 'patch', 'patches')} of {self.patch_size} is "
                "impossibly large; "
                f"at most {MOST_BATCH_VOXELS} voxels"
            )
        if max((self.convs_per_stage, *(self.blocks_per_stage or ()))) > MOST_BLOCKS:
            raise PlanError(f"{self.name}: a level has at most {MOST_BLOCKS} convolutions or blocks")
        if self._parameters > MOST_PARAMETERS:
            raise PlanError(
                f"{self.name}: a network of {self.features} to {self.max_features} features and about "
                f"{self._parameters:.2g} weights is impossibly large; at most {MOST_PARAMETERS:.2g}"
            )

    @property
    def _parameters(self) -> int:
        """Weights of the encoder's convolutions, to the order of magnitude."""
        blocks = self.blocks_per_stage or (self.convs_per_stage,) * len(self.conv_kernel_sizes)
        return sum(
            count * min(self.features << level, self.max_features) ** 2 * math.prod(kernel)
            for level, (count, kernel) in enumerate(zip(blocks, self.conv_kernel_sizes, strict=True))
        )

    @property
    def topology(self) -> Topology:
        """The levels of the network."""
        dimensions = len(self.conv_kernel_sizes[0]) if self.conv_kernel_sizes else 0
        return Topology(strides=((1,) * dimensions, *self.pool_kernel_sizes), kernels=self.conv_kernel_sizes)

    @property
    def prepared_name(self) -> str:
        """The configuration whose prepared cases this one uses: a cascade shares those of full resolution."""
        return "3d_fullres" if self.name == "3d_cascade_fullres" else self.name


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
        for number, statistics in enumerate(self.intensities or ()):
            if statistics is not None and not all(map(math.isfinite, astuple(statistics))):
                raise PlanError(f"channel {number}: its intensities must be finite numbers, found {statistics}")
        for name, configuration in self.configurations.items():
            previous = configuration.previous
            if previous is not None and (previous == name or previous not in self.configurations):
                raise PlanError(f"{name}: follows {previous}, which is not planned")
            if name != configuration.name:
                raise PlanError(f"the configuration under {name!r} calls itself {configuration.name!r}")
            if len(configuration.normalization_schemes) != len(self.channels):
                raise PlanError(
                    f"{name}: one normalisation for each channel is needed, found "
                    f"{len(configuration.normalization_schemes)} for {counted(len(self.channels), 'channel')}"
                )

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
        return Exclusive(names=self.labels)


def save_plans(plans: Plans, path: Path) -> None:
    """Write the pickle that is read, then its JSON view beside it."""
    write_plain_pickle(path, plans)
    write_json(path.with_suffix(".json"), plans)


def load_plans(path: Path) -> Plans:
    """Read a pickle of plans.

    Raises:
        PlanError: Naming the file, and the field or opcode that is refused.
    """
    return _decode_plans(path, read_plain_pickle)


def load_plans_json(path: Path) -> Plans:
    """Read the JSON view of plans, for turning an edited one back into the pickle.

    Raises:
        PlanError: Naming the file, and the field that is refused; an edit is to be corrected, not to be planned away.
    """
    return _decode_plans(path, read_json, edited="correct that place of the file; the plans that were there stay")


def require_trainable(plans: Plans) -> None:
    """Refuse, when planning, what would fail in training.

    A trainer that builds a network of its own is handed the plan, whatever network stands in it.

    Raises:
        PlanError: No network of ours has a configuration's name, or it lacks what that network needs, or its patch
            leaves nothing to normalise.
    """
    for name, configuration in plans.configurations.items():
        if configuration.network not in NETWORKS:
            raise PlanError(
                f"{name}.network: no network is called {configuration.network!r}, known are {', '.join(NETWORKS)}; "
                "take one of these; a trainer that builds a network of its own may ignore it"
            )
        if configuration.network == "residual_unet" and configuration.blocks_per_stage is None:
            raise PlanError(
                f"{name}.blocks_per_stage: a residual_unet needs a number of blocks for each level "
                f"({counted(len(configuration.conv_kernel_sizes), 'level')}), found null"
            )
        if tuple(configuration.patch_size) == configuration.topology.divisor:
            raise PlanError(
                f"{name}.patch_size: a patch of {configuration.patch_size} ends in a single voxel after all poolings, which "
                "cannot be normalised; take a larger one, or fewer poolings"
            )


def plan_signature(plans: Plans, configuration: str) -> str:
    """Hash of all in the plans that training a configuration, and predicting with it, depend on.

    Raises:
        PlanError: The configuration is not planned.
    """
    return content_hash(
        plans.configuration(configuration),
        plans.labels,
        plans.channels,
        plans.transpose_forward,
        plans.intensities,
    )


def _decode_plans(path: Path, read: Callable[[Path], Any], *, edited: str = "") -> Plans:
    """Plans as they are read; `edited` is the advice where a person may have written them."""
    if not path.is_file():
        raise PlanError(f"{path}: no plans here; run autoseg_plan_and_preprocess first")
    content = None
    try:
        content = read(path)
        found = content.get("format") if isinstance(content, dict) else None
        if found != FORMAT:
            made_by = content.get("version") if isinstance(content, dict) else None
            raise PlanError(
                f"{path}: plans of format {found!r} (autoseg {made_by}), but this is autoseg {autoseg.__version__}, "
                f"which reads format {FORMAT}; install a matching version or plan again"
            )
        warn_if_newer(path, content)
        return decode(Plans, content, path.name)  # type: ignore[no-any-return]
    except StorageError as error:
        advice = remedy(content, edited or "run autoseg_plan_and_preprocess again")
        raise PlanError(f"{error}\n{path} is damaged or was edited wrongly; {advice}") from error
    except PlanError as error:
        if str(path) in str(error):
            raise
        advice = remedy(content, edited)
        raise PlanError(f"{path}: {error}" + (f"; {advice}" if advice else "")) from error
