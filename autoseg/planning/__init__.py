"""From a dataset to plans: verification, fingerprint, planners. What is imported here is shipped by name."""

from autoseg.planning.explanation import Decision
from autoseg.planning.fingerprint import (
    DatasetFingerprint,
    extract_fingerprint,
    is_two_dimensional,
    load_fingerprint,
    save_fingerprint,
)
from autoseg.planning.making import PlannerChoice
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
from autoseg.planning.workflow import plan_and_prepare, plan_task, prepare_task

__all__ = [
    "DatasetFingerprint",
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
    "PlannerChoice",
    "extract_fingerprint",
    "is_two_dimensional",
    "load_fingerprint",
    "plan_and_prepare",
    "plan_task",
    "prepare_task",
    "save_fingerprint",
]
