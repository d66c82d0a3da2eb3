"""Recipes held against each other, as a table to read and as one to compute with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from autoseg.ensembling.comparison import CandidateStatistics
from autoseg.ensembling.recipe_comparison import ModelComparison, PairedDifference
from autoseg.files.storage import write_bytes
from autoseg.reporting.columns import in_columns, in_decimals
from autoseg.words import agreeing, counted, in_gigabytes


class Cost(Protocol):
    """What a training took; see `jobs.comparing.TrainingCost`."""

    @property
    def seconds(self) -> float: ...
    @property
    def memory(self) -> int | None: ...
    @property
    def parameters(self) -> int | None: ...


def comparison_table(comparison: ModelComparison, costs: Mapping[str, Cost]) -> str:
    """A line for each recipe, the best first: what it scored, how far it is behind the best, and what it cost."""
    target, best = comparison.target, comparison.models[0]
    names = [target.labels[number] for number in target.scored]
    heads = ("recipe", *names, "mean", "95 %", "behind the best", "95 %", "p", "seconds", "memory", "parameters")
    rows = [
        heads,
        *(_row(one, comparison.pairs.get((best.name, one.name)), costs[one.name]) for one in comparison.models),
    ]
    columns = " ".join(["<6", *[">6"] * len(names), ">6 >13 >6 >6 >6 >7 >6 >6"])
    folds = f"{agreeing(len(comparison.folds), 'fold')} {', '.join(comparison.folds)}"
    return "\n".join(
        [
            f"{counted(len(comparison.models), 'recipe')} on {counted(comparison.cases, 'case')} of {folds}: Dice, the mean over "
            "cases, and its 95 % interval",
            *in_columns(rows, columns),
            verdict(comparison),
        ]
    )


def verdict(comparison: ModelComparison) -> str:
    """Which is the best, by how much, and whether that is more than noise."""
    best = comparison.models[0].name
    pairs = [comparison.pairs[best, one.name] for one in comparison.models[1:]]
    if not pairs:
        return f"best: {best}, the only one"
    equal = [pair.worse for pair in pairs if not pair.more_than_noise]
    lead = pairs[0]
    said = f"best: {best}; it leads {lead.worse} by {lead.difference:.4f}"
    if lead.interval is None:
        return f"{said}; one patient cannot tell whether that is more than noise"
    said += f" (95 %: {_range(lead.interval)}; p {_p(lead.p)} after correction for {counted(len(comparison.pairs), 'pair')})"
    if not equal:
        return f"{said}; its lead over each of the others is more than noise"
    return f"{said}; not more than noise is its lead over {', '.join(equal)}"


def save_comparison(comparison: ModelComparison, costs: Mapping[str, Cost], path: Path) -> None:
    """Write a table as CSV: a line for each recipe and label and for the mean, and one for each pair."""
    import pandas as pd  # takes a third of a second

    rows: list[Mapping[str, object]] = []
    target = comparison.target
    for one in comparison.models:
        cost = costs[one.name]
        for number, label in zip(target.scored, one.labels, strict=True):
            low, high = label.interval or (None, None)
            line = {
                "recipe": one.name,
                "what": target.labels[number],
                "dice": label.mean,
                "std": label.std,
                "n": label.n,
            }
            rows.append(line | {"low": low, "high": high})
        low, high = one.interval or (None, None)
        took = {"seconds": cost.seconds, "memory": cost.memory, "parameters": cost.parameters}
        rows.append({"recipe": one.name, "what": "mean", "dice": one.score, "low": low, "high": high, **took})
    for pair in comparison.pairs.values():
        low, high = pair.interval or (None, None)
        line = {"recipe": pair.better, "what": f"minus {pair.worse}", "dice": pair.difference}
        rows.append(line | {"low": low, "high": high, "p": pair.p})
    write_bytes(
        path,
        pd.DataFrame(rows)
        .astype({"n": "Int64", "memory": "Int64", "parameters": "Int64"})
        .to_csv(index=False)
        .encode(),
    )


def _row(one: CandidateStatistics, pair: PairedDifference | None, cost: Cost) -> Sequence[str]:
    behind = ("-", "-", "-") if pair is None else (f"{pair.difference:.4f}", _range(pair.interval), _p(pair.p))
    memory = "-" if cost.memory is None else in_gigabytes(cost.memory)
    parameters = "-" if cost.parameters is None else f"{cost.parameters:,}"
    labels = [in_decimals(label.mean) for label in one.labels]
    took = (f"{cost.seconds:.0f}", memory, parameters)
    return (one.name, *labels, in_decimals(one.score), _range(one.interval), *behind, *took)


def _range(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else " to ".join(map(in_decimals, interval))


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
