"""The networks that a recipe may name: what each is, and what it would take with a plan."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.errors import PlanError
from autoseg.inference.model import input_channels
from autoseg.networks.build import RECIPE_NETWORKS, build_named_network
from autoseg.networks.describe import count_parameters
from autoseg.networks.fitted import require_fitting
from autoseg.networks.memory import estimate_step
from autoseg.networks.receptive_field import seen_by_a_score
from autoseg.plans import Plans
from autoseg.reporting.columns import in_columns
from autoseg.training.micro_batches import normalises_over_batch
from autoseg.words import in_gigabytes

COLUMNS = ("network", "parameters", "multiplications", "training memory", "score sees", "samples")
SOURCE = re.compile(r"Source: (.+?)\.?$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCost:
    """What a network takes with a plan, with the settings that it has where nothing is said.

    Attributes:
        parameters: Numbers that training changes.
        multiplications: Of one patch, forward.
        memory: Bytes of a training step in fp32, about.
        field: Voxels along each axis that a score depends on, before normalisation makes it the whole patch.
        is_independent: Whether samples of a batch do not see each other.
    """

    parameters: int
    multiplications: int
    memory: int
    field: tuple[int, ...]
    is_independent: bool


def papers() -> dict[str, str]:
    """Of each network by name."""
    return {name: _source(entry) for name, entry in RECIPE_NETWORKS.entries.items()}


def network_cost(name: str, plans: Plans, configuration: str) -> NetworkCost:
    """What a network takes; it is built and run without memory.

    Raises:
        PlanError: It does not take the plan's patch.
    """
    plan, outputs = plans.configuration(configuration), len(plans.target.outputs)
    sample = (input_channels(plans, configuration), *plan.sampling.patch_size)
    part = RECIPE_NETWORKS.part(name)

    def build() -> nn.Module:
        return build_named_network(part, plan, sample[0], outputs)

    require_fitting(build, name, (plan.batch_size, *sample), outputs)
    with torch.device("meta"):
        network = build()
    memory = estimate_step(network, sample, plan.batch_size, torch.float32)
    network.eval()
    if hasattr(network, "deep_supervision"):
        network.deep_supervision = False  # type: ignore[assignment]  # a plain attribute
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, *sample, device="meta"))
    return NetworkCost(
        parameters=count_parameters(network),
        multiplications=int(counter.get_total_flops()) // 2,
        memory=memory.peak,
        field=seen_by_a_score(network, sample),
        is_independent=not normalises_over_batch(network),
    )


def networks_table(
    plans: Plans | None = None, configuration: str = "", names: Iterable[str] = tuple(RECIPE_NETWORKS.entries)
) -> str:
    """A line for each network: its paper, or what it takes with a plan, or why it does not take the plan's patch."""
    if plans is None:
        return "\n".join(in_columns([("network", "paper"), *papers().items()], "<0 <0 "))
    rows: list[tuple[str, ...]] = [COLUMNS]
    refusals = []
    for name in names:
        try:
            rows.append((name, *_cells(network_cost(name, plans, configuration))))
        except PlanError as error:
            refusals.append(f"not with this plan: {error}")
    return "\n".join([*in_columns(rows, "<0 " * len(COLUMNS)), *refusals])


def _cells(cost: NetworkCost) -> tuple[str, ...]:
    return (
        f"{cost.parameters / 1e6:.3g} million",
        f"{cost.multiplications / 1e9:.3g} billion",
        in_gigabytes(cost.memory),
        "x".join(map(str, cost.field)),
        "independent" if cost.is_independent else "see each other",
    )


def _source(entry: object) -> str:
    found = SOURCE.search(inspect.getdoc(entry) or "")
    return " ".join(found[1].split()) if found else "-"
