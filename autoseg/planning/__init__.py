"""From a dataset to plans: verification, fingerprint, planners. What is imported here is shipped by name."""

from autoseg.planning.explanation import Decision
from autoseg.planning.fingerprint import is_two_dimensional
from autoseg.planning.planner import Planner
from autoseg.planning.planner_2d import Planner2D
from autoseg.planning.planner_3d import Planner3D
from autoseg.planning.residual import (
    Planner2DResidualL,
    Planner2DResidualM,
    Planner2DResidualXL,
    Planner3DResidualL,
    Planner3DResidualM,
    Planner3DResidualXL,
)

__all__ = [
    "Decision",
    "Planner",
    "Planner2D",
    "Planner2DResidualL",
    "Planner2DResidualM",
    "Planner2DResidualXL",
    "Planner3D",
    "Planner3DResidualL",
    "Planner3DResidualM",
    "Planner3DResidualXL",
    "is_two_dimensional",
]
