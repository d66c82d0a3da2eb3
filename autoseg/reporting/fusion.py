"""A fusion and its evidence as text."""

from __future__ import annotations

from collections.abc import Iterable

from autoseg.dataset.target import Target
from autoseg.inference.fusion_record import FUSED, MEAN, FusionRecord
from autoseg.words import counted

WIDTH = 12


def fusion_report(record: FusionRecord, target: Target) -> str:
    """The Dice of the fusion, of the mean and of each source, then the weights."""
    fusion, wide = record.fusion, max(len(name) for name in (*record.dice, "bias", "Dice"))
    cases = f"{counted(record.cases, 'case')} of {counted(len(record.folds), 'fold')}"
    others = "the other folds" if len(record.folds) > 1 else "other patients"
    held, best = ("holds up on", "it") if record.used else ("does not hold up on", "the mean of all")
    return "\n".join(
        [
            f"{'Dice':<{wide}}" + _cells(record.outputs),
            *(f"{name:<{wide}}" + _cells(map(_dice, record.dice[name])) for name in (FUSED, MEAN, *fusion.sources)),
            f"of {cases}, each scored with weights that were fitted to {others}",
            "",
            f"{'weights':<{wide}}" + _cells(target.outputs),
            *(
                f"{name:<{wide}}" + _cells(f"{weight:.3f}" for weight in row)
                for name, row in zip(fusion.sources, fusion.weights, strict=True)
            ),
            f"{'bias':<{wide}}" + _cells(f"{bias:.3f}" for bias in fusion.bias),
            f"the fusion {held} what it was not fitted to: {best} is what counts",
        ]
    )


def _cells(values: Iterable[str]) -> str:
    return "".join(f"  {value[:WIDTH]:>{WIDTH}}" for value in values)


def _dice(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"
