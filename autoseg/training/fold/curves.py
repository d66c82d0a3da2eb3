"""progress.png: losses, and how well each label is found, over the epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg.files.storage import atomic_path
from autoseg.images.colours import FIRST
from autoseg.training.fold.history import EpochRecord

BESIDE: Any = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
"""Of a legend, so that it hides no curve."""

STYLES = ("-", "--", ":", "-.")
"""Labels beyond those that have a colour of their own come in another kind of line."""

LONGEST_LEGEND = 14
"""Labels in a column of the legend."""

Values = Sequence[float | None]


def draw_progress(path: Path, records: Sequence[EpochRecord], labels: Sequence[str]) -> None:
    """A picture of losses, Dice and learning rate over the epochs.

    Args:
        labels: Names of the labels above background.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    said = any(record.overlap_per_class for record in records)
    columns = math.ceil((len(labels) + 1) / LONGEST_LEGEND)
    figure = Figure(figsize=(7 + 2 * columns, 10 if said else 7), layout="constrained")
    panels = figure.subplots(3 if said else 2, 1, sharex=True)
    epochs = [record.epoch + 1 for record in records]
    marker = "." if len(records) < 50 else ""
    panels[0].plot(epochs, [record.loss for record in records], marker=marker, label="training")
    panels[0].plot(epochs, [record.validation_loss for record in records], marker=marker, label="validation")
    panels[0].set_ylabel("loss")
    panels[0].legend(**BESIDE)
    _draw_labels(panels[1], epochs, [record.dice_per_class for record in records], labels, marker)
    averages = [_or_nan(record.dice_average) for record in records]
    panels[1].plot(epochs, averages, marker=marker, color="black", label="mean, moving average")
    panels[1].set_ylabel("Dice on validation patches")
    panels[1].legend(**BESIDE, ncols=columns, fontsize="small" if columns > 1 else "medium")
    if said:
        nothing = (None,) * len(labels)
        values = [record.overlap_per_class or nothing for record in records]
        _draw_labels(panels[2], epochs, values, labels, marker)
        panels[2].set_ylabel("overlap that the loss found\non training patches")
    for panel in panels[1:]:
        panel.set_ylim(-0.02, 1.02)  # curves at either end are seen
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.suptitle(f"epoch {len(records)}, learning rate {records[-1].learning_rate:.4g}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90)


def _draw_labels(
    panel: Any, epochs: Sequence[int], values: Sequence[Values], labels: Sequence[str], marker: str
) -> None:
    """A curve for each label, in the colour that it has in pictures."""
    for number, name in enumerate(labels):
        again, which = divmod(number, len(FIRST))
        look = {"color": tuple(part / 255 for part in FIRST[which]), "linestyle": STYLES[again % len(STYLES)]}
        panel.plot(epochs, [_or_nan(one[number]) for one in values], marker=marker, alpha=0.7, label=name, **look)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
