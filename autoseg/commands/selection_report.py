"""A selection as a table to read, and as a table to compute with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoseg.dataset.target import Target
from autoseg.ensembling.comparison import SMALLEST_LEAD
from autoseg.ensembling.table import mean_of_defined
from autoseg.words import agreeing, counted

if TYPE_CHECKING:
    from autoseg.ensembling.candidates import Outcome


def selection_report(outcome: Outcome, target: Target) -> str:
    """All candidates, best first; the winner label by label; how sure the choice is.

    Args:
        target: Of all candidates.
    """
    selection = outcome.selection
    lines = [
        f"{selection.task}: {counted(len(outcome.ranking.candidates), 'candidate')} on "
        f"{counted(selection.cases, 'case')} of "
        f"{agreeing(len(selection.folds), 'fold')} {', '.join(selection.folds)}; mean Dice and 95 % interval"
    ]
    if selection.incomplete:
        lines += ["a partial result, for the cross-validation is not complete:"]
        lines += [f"  {line}" for line in selection.incomplete]
    width = max(len(one.name) for one in outcome.ranking.candidates)
    lines.append(f"  {'candidate':<{width}}  {'Dice':>7}  {'95 %':>15}  {'raw':>7}  postprocessing")
    for one in outcome.ranking.candidates:
        rules = ", ".join(map(str, outcome.choices[one.name].rules)) or "none"
        raw = mean_of_defined(outcome.before[one.name])
        lines.append(f"  {one.name:<{width}}  {_score(one.score)}  {_range(one.interval)}  {_score(raw)}  {rules}")
    lines += [_lead_line(outcome), *_label_lines(outcome, target)]
    return "\n".join(lines)


def _lead_line(outcome: Outcome) -> str:
    selection, lead = outcome.selection, outcome.selection.lead
    if lead is None:
        return f"selected: {selection.name}" + (
            "" if selection.expected_dice is not None else " (no label has a score)"
        )
    if lead.low is None:
        return f"selected: {selection.name}; one patient cannot tell whether its lead over {lead.runner_up} is more than noise"
    if lead.difference < SMALLEST_LEAD:
        return f"selected: {selection.name}; it is as good as {lead.runner_up}, and costs less"
    verdict = "more than noise" if lead.more_than_noise else "not more than noise, so the next one may be as good"
    return (
        f"selected: {selection.name}; it leads {lead.runner_up} by {lead.difference:.4f} "
        f"(95 %: {lead.low:.4f} to {lead.high:.4f}), which is {verdict}"
    )


def _label_lines(outcome: Outcome, target: Target) -> list[str]:
    best = outcome.ranking.candidates[0]
    titles = [f"{value} {target.outputs[value]}" for value in target.scored]
    width = max(5, *map(len, titles))
    lines = [f"  {'label':<{width}}  {'mean':>7}  {'std':>7}  {'min':>7}  {'max':>7}  {'n':>5}  {'95 %':>15}"]
    for title, label in zip(titles, best.labels, strict=True):
        numbers = "  ".join(_score(value) for value in (label.mean, label.std, label.minimum, label.maximum))
        lines.append(f"  {title:<{width}}  {numbers}  {label.n:>5}  {_range(label.interval)}")
    return lines


def _score(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.4f}':>7}"


def _range(interval: tuple[float, float] | None) -> str:
    return f"{'-' if interval is None else f'{interval[0]:.4f}-{interval[1]:.4f}':>15}"
