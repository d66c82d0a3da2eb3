"""What must not change while a training goes on."""

from __future__ import annotations

from typing import Any

from autoseg.files.storage import content_hash
from autoseg.plans import plan_signature
from autoseg.training.parts import Parts


def conditions_of(parts: Parts, seed: int) -> dict[str, Any]:
    """Names, numbers and hashes; a checkpoint and the record of a run hold them."""
    data = parts.data
    weights = [one.case_weights for one in parts.together if one.case_weights]
    return {
        "trainer": parts.name,
        "configuration": data.configuration,
        "seed": seed,
        "batch_size": parts.batch_size,
        "iterations_per_epoch": parts.iterations_per_epoch,
        "plan": plan_signature(data.plans, data.configuration),
        "data": data.signature,
        "split": content_hash(data.split, *weights),
        "previous": data.previous_stage.signature,
    }
