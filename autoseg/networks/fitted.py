"""The levels of a network that a recipe names, as the plan's patch and axes ask for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.errors import ExtensionError, PlanError
from autoseg.plans import ConfigurationPlan, Topology

log = logging.getLogger(__name__)


FEWER_LEVELS = "give it fewer `levels`, or a plan with such a patch"


def fitted_topology(
    plan: ConfigurationPlan, name: str, *, levels: int, kernel: int = 3, remedy: str | None = FEWER_LEVELS
) -> Topology:
    """Levels that pool as the plan's do, and halve every axis where the plan has fewer levels.

    Args:
        name: Of the network, for messages.
        levels: How many, the finest counted.
        kernel: Side of the convolutions; 1 along axes where the plan's are flat.
        remedy: What is said to do where the patch does not fit; None for a network that takes any patch.

    Raises:
        PlanError: The patch cannot be pooled so often; the sizes that can are named.
    """
    if levels < 1:
        raise PlanError(f"{plan.name}: {name} needs at least 1 level, found {levels}")
    planned = plan.topology
    each_axis = range(plan.dimensions)
    known = len(planned.strides) if plan.network.is_unet else 0
    strides = [planned.strides[level] if level < known else tuple(2 for _ in each_axis) for level in range(1, levels)]
    flat = [planned.kernels[level] if level < known else (kernel,) * plan.dimensions for level in range(levels)]
    topology = Topology(
        strides=((1,) * plan.dimensions, *strides),
        kernels=tuple(tuple(1 if side == 1 else kernel for side in sides) for sides in flat),
    )
    if remedy is not None:
        require_multiple(plan, name, topology.divisor, remedy)
    return topology


def require_multiple(plan: ConfigurationPlan, name: str, divisor: Sequence[int], remedy: str) -> None:
    """Refuse a patch whose sides a network cannot divide.

    Raises:
        PlanError: Naming the sizes that it can.
    """
    patch = plan.sampling.patch_size
    if any(side % step for side, step in zip(patch, divisor, strict=True)):
        raise PlanError(
            f"{plan.name}: {name} takes patches whose sides are multiples of {_times(divisor)}, found {_times(patch)}; "
            f"{remedy}"
        )


def require_fitting(build: Callable[[], nn.Module], name: str, batch: tuple[int, ...], out_channels: int) -> None:
    """Build a network on the meta device and run it on a batch there, which takes no memory, and look at what comes out.

    Args:
        name: Of the network, for messages.
        batch: `(B, C, *patch)`.

    Raises:
        PlanError: It does not take the batch, in torch's words, or its first output is not `(B, outputs, *patch)`.
        ExtensionError: It needs a library that is not installed.
    """
    network = without_memory(build)
    try:
        with torch.device("meta"):
            outputs = network.train()(torch.empty(batch))
    except ImportError as error:
        raise ExtensionError(f"{name} needs what is not installed: {_first_line(error)}; install it") from error
    except NotImplementedError as error:  # something of a library's that only runs with real numbers
        log.debug("%s cannot be tried before it is trained: %s", name, error)
        return
    except (RuntimeError, ValueError, IndexError) as error:
        raise PlanError(
            f"{name} does not take a batch of {_times(batch)} (samples, channels, patch): {_first_line(error)}; give it other settings, "
            "or a plan with another patch"
        ) from error
    answers = answers_of(outputs, len(batch) - 2)
    first = answers[0] if answers else outputs
    if not isinstance(first, Tensor):
        raise PlanError(
            f"{name} answers with {type(outputs).__name__}, expected scores, or a list of them, the finest first; give it other "
            "settings, or name another network"
        )
    expected = (batch[0], out_channels, *batch[2:])
    if tuple(first.shape) != expected:
        raise PlanError(
            f"{name} answers a batch of {_times(batch)} with {_times(first.shape)}, expected {_times(expected)}: the scores "
            "of every output in every voxel; give it other settings, or name another network"
        )


def answers_of(outputs: Any, dimensions: int) -> list[Tensor]:
    """What a network answers with, finest first: one map of scores, a list of them, or several of one size in one tensor.

    Args:
        outputs: `(B, C, *space)`; a list of such; or `(B, answers, C, *space)`, as MONAI's DynUNet learns by.
        dimensions: Of space.
    """
    if isinstance(outputs, Tensor):
        return list(outputs.unbind(dim=1)) if outputs.ndim == 3 + dimensions else [outputs]
    return list(outputs)


def without_memory(build: Callable[[], nn.Module]) -> nn.Module:
    """A network on the meta device; one of a library's that looks at numbers while it is built is built, and then brought there."""
    try:
        with torch.device("meta"):
            return build()
    except (ExtensionError, RuntimeError):  # if it was another fault, it comes again
        return build().to("meta")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _times(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))
