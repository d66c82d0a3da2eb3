"""A plan of a small U-Net, of which a test says only what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from autoseg.plans import ConfigurationPlan, Grid, IntensityRule, NetworkPlan, Sampling, Topology, UNetSettings

COSTS = {"2d": 0, "3d_lowres": 1, "3d_fullres": 2, "3d_cascade_fullres": 3}


def unet_plan(
    name: str = "3d_fullres",
    *,
    patch_size: tuple[int, ...],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    median_shape: tuple[int, int, int] = (16, 16, 16),
    batch_size: int = 2,
    poolings: Sequence[tuple[int, ...]] | None = None,
    kernels: Sequence[tuple[int, ...]] | None = None,
    in_plane: bool = False,
    normalisation: Sequence[str] = ("nonCT",),
    masked: Sequence[bool] | None = None,
    batch_dice: bool = False,
    previous: str | None = None,
    prepared_as: str | None = None,
    cost: int | None = None,
    network: str = "unet",
    **settings: object,
) -> ConfigurationPlan:
    """Of two levels, if nothing else is said.

    Args:
        settings: Of the network, beside its levels.
    """
    axes = len(patch_size)
    poolings = ((2,) * axes,) if poolings is None else poolings
    levels = {
        "strides": ((1,) * axes, *poolings),
        "kernels": ((3,) * axes,) * (1 + len(poolings)) if kernels is None else kernels,
    }
    masks = (False,) * len(normalisation) if masked is None else masked
    return ConfigurationPlan(
        name=name,
        grid=Grid(spacing=spacing, median_shape=median_shape),
        sampling=Sampling(patch_size=patch_size, in_plane=in_plane),
        network=NetworkPlan(
            name=network, settings={**levels, "features": 4, "max_features": 8, "convs_per_stage": 1, **settings}
        ),
        intensities=tuple(
            IntensityRule(name=rule, masked=mask) for rule, mask in zip(normalisation, masks, strict=True)
        ),
        batch_size=batch_size,
        batch_dice=batch_dice,
        previous=previous,
        prepared_as=prepared_as or name,
        cost=COSTS.get(name, 2) if cost is None else cost,
    )


def unet_settings(topology: Topology, **settings: Any) -> UNetSettings:
    """What a small U-Net is built from, beside its levels."""
    given = {"features": 4, "max_features": 8, "convs_per_stage": 1, **settings}
    return UNetSettings(strides=topology.strides, kernels=topology.kernels, **given)


def changed(plan: ConfigurationPlan, **changes: Any) -> ConfigurationPlan:
    """The plan with other values, each in the part that it belongs to.

    `network` is the network's name; what no part knows is a setting of it.
    """
    own = {one.name for one in fields(ConfigurationPlan)} - {"network"}
    of_grid, of_sampling = ({one.name for one in fields(kind)} for kind in (Grid, Sampling))
    parts: dict[str, dict[str, Any]] = {"own": {}, "grid": {}, "sampling": {}, "settings": {}}
    name = changes.pop("network", plan.network.name)
    if poolings := changes.pop("poolings", None):
        changes["strides"] = ((1,) * len(poolings[0]), *poolings)
    for key, value in changes.items():
        part = "own" if key in own else "grid" if key in of_grid else "sampling" if key in of_sampling else "settings"
        parts[part][key] = value
    return replace(
        plan,
        grid=replace(plan.grid, **parts["grid"]),
        sampling=replace(plan.sampling, **parts["sampling"]),
        network=NetworkPlan(name=name, settings={**plan.network.settings, **parts["settings"]}),
        **parts["own"],
    )
