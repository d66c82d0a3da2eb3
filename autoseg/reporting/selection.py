"""A selection among a task's models as a table to read."""

from __future__ import annotations

from autoseg.dataset.target import Target
from autoseg.ensembling.candidates import Outcome
from autoseg.ensembling.comparison import SMALLEST_LEAD
from autoseg.ensembling.table import mean_of_defined
from autoseg.reporting.columns import in_columns, in_decimals, label_title
from autoseg.words import agreeing, counted


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
    rows = [("candidate", "Dice", "95 %", "raw", "postprocessing")]
    for one in outcome.ranking.candidates:
        rules = ", ".join(map(str, outcome.choices[one.name].rules)) or "none"
        raw = in_decimals(mean_of_defined(outcome.before[one.name]))
        rows.append((one.name, in_decimals(one.score), _range(one.interval), raw, rules))
    lines += [f"  {line}" for line in in_columns(rows, "<9 >7 >15 >7 <0")]
    lines += [_lead_line(outcome), *(f"  {line}" for line in _label_lines(outcome, target))]
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
    rows: list[tuple[str, ...]] = [("label", "mean", "std", "min", "max", "n", "95 %")]
    for number, label in zip(target.scored, outcome.ranking.candidates[0].labels, strict=True):
        scores = map(in_decimals, (label.mean, label.std, label.minimum, label.maximum))
        rows.append((label_title(number, target.labels), *scores, str(label.n), _range(label.interval)))
    return in_columns(rows, "<5 >7 >7 >7 >7 >5 >15")


def _range(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else "-".join(map(in_decimals, interval))
