"""An overview of a model's cross-validation with what the fusion of its views scored."""

from __future__ import annotations

from collections.abc import Iterator

from autoseg.evaluation.overview import OVERALL, Line, overview_of_model
from autoseg.files.model_folder import ModelFolder
from autoseg.inference.fusion_record import FUSED, FusionRecord, is_in_force, load_fusion
from autoseg.inference.model import networks_of


def overview_with_fusion(model: ModelFolder) -> tuple[Line, ...]:
    """Of a model's cross-validation, where views count alike, and behind it what their fusion scored on cases that it was
    not fitted to.

    Raises:
        WorkspaceError: Nothing was validated.
        ModelError: `fusion.json` is damaged.
    """
    lines = overview_of_model(model)
    record = load_fusion(model.fusion) if model.fusion.is_file() else None
    if record is None:
        return lines
    networks = networks_of(model, record.networks)
    used = is_in_force(record, model.fusion, networks)
    return lines if record.replaced(networks) else (*lines, *_fusion_lines(record, used=used))


def _fusion_lines(record: FusionRecord, *, used: bool) -> Iterator[Line]:
    """The file holds means alone."""
    dice = record.dice[FUSED]
    known = [one for one in dice if one is not None]
    of_all = {OVERALL: sum(known) / len(known) if known else None} if len(dice) > 1 else {}
    for label, mean in (*zip(record.outputs, dice, strict=True), *of_all.items()):
        yield Line(
            part=f"fused ({'used' if used else 'not used'})",
            label=label,
            mean=mean,
            std=None,
            minimum=None,
            maximum=None,
            n=record.cases,
        )
