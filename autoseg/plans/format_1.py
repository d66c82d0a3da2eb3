"""Plans as they were stored first: one flat object a configuration, which had one of four names.

In these words a configuration still enters signatures, so that what was prepared and trained before is known again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoseg.errors import PlanError
from autoseg.files.storage import decode, encode
from autoseg.plans.configuration import ConfigurationPlan, of_configuration
from autoseg.plans.network import Topology

ORDER_OF_COST = ("2d", "3d_lowres", "3d_fullres", "3d_cascade_fullres")
PREPARED_AS = {"3d_cascade_fullres": "3d_fullres"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatConfiguration:
    """A configuration of format 1; strides without the finest level's are called poolings."""

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
    blocks_per_stage: tuple[int, ...] | None

    def __post_init__(self) -> None:
        if self.name not in ORDER_OF_COST:
            raise PlanError(f"configuration {self.name!r} is not one of {', '.join(ORDER_OF_COST)}")
        if len(self.use_mask_for_norm) != len(self.normalization_schemes):
            raise PlanError("use_mask_for_norm needs one entry for each channel")
        if self.num_pool_per_axis != (pools := _poolings(self.topology)):
            raise PlanError(f"num_pool_per_axis is {self.num_pool_per_axis}, but pool_kernel_sizes pool {pools} times")

    @property
    def topology(self) -> Topology:
        """The levels of the network."""
        dimensions = len(self.conv_kernel_sizes[0]) if self.conv_kernel_sizes else 0
        return Topology(strides=((1,) * dimensions, *self.pool_kernel_sizes), kernels=self.conv_kernel_sizes)


def from_format_1(content: dict[str, Any], where: str) -> dict[str, Any]:
    """The content of plans of format 1, as format 2 has it.

    Raises:
        PlanError: A configuration contradicts itself.
        StorageError: A field of a configuration is missing, unknown or of another type.
    """
    configurations = {}
    for name, one in decode(dict[str, Any], content.get("configurations"), f"{where}.configurations").items():
        with of_configuration(name):
            flat = decode(FlatConfiguration, one, f"{where}.configurations.{name}")
            configurations[name] = encode(_by_part(flat))
    return {**content, "format": 2, "configurations": configurations}


def as_format_1(plan: ConfigurationPlan) -> FlatConfiguration | ConfigurationPlan:
    """A configuration in the words of format 1; one that they cannot say as it is."""
    is_new = plan.grid.native or plan.sampling.views is not None
    if is_new or not plan.network.is_unet or plan.name not in ORDER_OF_COST:
        return plan
    network = plan.network.unet()
    return FlatConfiguration(
        name=plan.name,
        spacing=plan.grid.spacing,
        median_shape=plan.grid.median_shape,
        patch_size=plan.sampling.patch_size,
        batch_size=plan.batch_size,
        num_pool_per_axis=_poolings(network.topology),
        pool_kernel_sizes=network.strides[1:],
        conv_kernel_sizes=network.kernels,
        do_dummy_2d_augmentation=plan.sampling.in_plane,
        normalization_schemes=tuple(rule.name for rule in plan.intensities),
        use_mask_for_norm=tuple(rule.masked for rule in plan.intensities),
        batch_dice=plan.batch_dice,
        previous=plan.previous,
        network=plan.network.name,
        features=network.features,
        max_features=network.max_features,
        convs_per_stage=network.convs_per_stage,
        blocks_per_stage=network.blocks_per_stage,
    )


def _by_part(flat: FlatConfiguration) -> dict[str, Any]:
    """The fields of `ConfigurationPlan`, whose constructor judges them."""
    return {
        "name": flat.name,
        "grid": {"spacing": flat.spacing, "median_shape": flat.median_shape},
        "sampling": {"patch_size": flat.patch_size, "in_plane": flat.do_dummy_2d_augmentation},
        "network": {
            "name": flat.network,
            "settings": {
                "strides": flat.topology.strides,
                "kernels": flat.conv_kernel_sizes,
                "features": flat.features,
                "max_features": flat.max_features,
                "convs_per_stage": flat.convs_per_stage,
                **({} if flat.blocks_per_stage is None else {"blocks_per_stage": flat.blocks_per_stage}),
            },
        },
        "intensities": [
            {"name": name, "masked": masked}
            for name, masked in zip(flat.normalization_schemes, flat.use_mask_for_norm, strict=True)
        ],
        "batch_size": flat.batch_size,
        "batch_dice": flat.batch_dice,
        "previous": flat.previous,
        "prepared_as": PREPARED_AS.get(flat.name, flat.name),
        "cost": ORDER_OF_COST.index(flat.name),
    }


def _poolings(topology: Topology) -> tuple[int, ...]:
    return tuple(sum(step > 1 for step in steps) for steps in zip(*topology.strides, strict=True))
