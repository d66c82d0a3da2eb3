"""What every candidate of a selection scored, as a table to compute with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.dataset.target import Target
from autoseg.ensembling.candidates import Outcome
from autoseg.ensembling.comparison import CandidateStatistics, LabelStatistics
from autoseg.files.storage import write_bytes


def write_table(outcome: Outcome, target: Target, path: Path) -> None:
    """Write `summary.csv`: for every candidate a line for each label, and one for their mean."""
    import pandas as pd  # takes a third of a second

    rows: list[dict[str, object]] = []
    for place, one in enumerate(outcome.ranking.candidates, 1):
        raw = outcome.before[one.name]
        for number, label, before in zip(target.scored, one.labels, raw, strict=True):
            name = {"rank": place, "candidate": one.name, "label": number, "name": target.labels[number]}
            rows.append({**name, **_row(label), "raw_mean": before})
        rows.append({"rank": place, "candidate": one.name, "label": "", "name": "mean", **_mean_row(one, raw)})
    table = pd.DataFrame(rows).astype({"n": "Int64"})
    write_bytes(path, table.to_csv(index=False).encode())


def _row(label: LabelStatistics) -> dict[str, float | None]:
    low, high = label.interval or (None, None)
    return {
        "mean": label.mean,
        "std": label.std,
        "min": label.minimum,
        "max": label.maximum,
        "n": label.n,
        "low": low,
        "high": high,
    }


def _mean_row(one: CandidateStatistics, raw: Float64Array) -> dict[str, float | None]:
    low, high = one.interval or (None, None)
    return {"mean": one.score, "low": low, "high": high, "raw_mean": mean_of_defined(raw)}


def mean_of_defined(means: Float64Array) -> float | None:
    """The mean of the labels that have a score; None where none has."""
    defined = means[np.isfinite(means)]
    return float(defined.mean()) if len(defined) else None
