"""Plans: what is decided about a task before training, as frozen values, and their files."""

from autoseg.plans.configuration import CONFIGURATIONS, LARGEST_SIDE, ConfigurationPlan, Grid, IntensityRule, Sampling
from autoseg.plans.network import NETWORKS, NetworkPlan, Topology, UNetSettings
from autoseg.plans.plans import IntensityStatistics, Plans
from autoseg.plans.stored import (
    FORMAT,
    load_plans,
    load_plans_json,
    plan_signature,
    require_trainable,
    save_plans,
)

__all__ = [
    "CONFIGURATIONS",
    "FORMAT",
    "LARGEST_SIDE",
    "NETWORKS",
    "ConfigurationPlan",
    "Grid",
    "IntensityRule",
    "IntensityStatistics",
    "NetworkPlan",
    "Plans",
    "Sampling",
    "Topology",
    "UNetSettings",
    "load_plans",
    "load_plans_json",
    "plan_signature",
    "require_trainable",
    "save_plans",
]
