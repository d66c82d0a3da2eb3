"""Plans: what is decided about a task before training, as frozen values, and their files."""

from autoseg.plans.configuration import (
    LARGEST_SIDE,
    ConfigurationPlan,
    Direction,
    Grid,
    IntensityRule,
    Sampling,
    Views,
)
from autoseg.plans.network import NETWORKS, NetworkPlan, Topology, UNetSettings
from autoseg.plans.plans import IntensityStatistics, Plans
from autoseg.plans.stored import (
    FORMAT,
    find_plans,
    load_plans,
    load_plans_json,
    plan_from_json,
    plan_signature,
    planned_in,
    plans_for,
    require_trainable,
    save_plans,
)

__all__ = [
    "FORMAT",
    "LARGEST_SIDE",
    "NETWORKS",
    "ConfigurationPlan",
    "Direction",
    "Grid",
    "IntensityRule",
    "IntensityStatistics",
    "NetworkPlan",
    "Plans",
    "Sampling",
    "Topology",
    "UNetSettings",
    "Views",
    "find_plans",
    "load_plans",
    "load_plans_json",
    "plan_from_json",
    "plan_signature",
    "planned_in",
    "plans_for",
    "require_trainable",
    "save_plans",
]
