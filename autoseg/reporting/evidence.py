"""What a choice of postprocessing rests on, as a table to read."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.postprocessing.evidence import Choice, Comparison
from autoseg.reporting.columns import in_columns, in_decimals, label_title
from autoseg.words import counted


def evidence_table(choice: Choice, names: Sequence[str]) -> str:
    """Every rule that was tried with what it does out of fold, and each label before and after.

    Args:
        names: Label names, the index is the value.
    """
    evidence = choice.evidence
    parts = ["fold " * part.isdecimal() + part for part in evidence.chosen_without]
    lines = [f"{counted(len(evidence.cases), 'case')}, judged by {', '.join(parts)}"]
    for judged in evidence.judged:
        kept = "kept" if judged.rule in choice.rules else "not kept"
        changes = "; ".join(_change(one, names) for one in judged.out_of_fold if one.before != one.after)
        lines.append(f"{kept:<9} {judged.rule}: {changes or 'changes nothing'}")
    if not evidence.judged:
        lines.append("no rule helps")
    rows: list[tuple[str, ...]] = [("label", "n", "before", "after", "(in fold)")]
    for inside, outside in zip(evidence.in_fold, evidence.out_of_fold, strict=True):
        scores = map(in_decimals, (outside.before, outside.after, inside.after))
        rows.append((label_title(outside.label, names), str(outside.n_after), *scores))
    return "\n".join(f"  {line}" for line in (*lines, *in_columns(rows, "<5 >5 >7 >7 >9")))


def _change(one: Comparison, names: Sequence[str]) -> str:
    return f"{label_title(one.label, names)} {in_decimals(one.before)} -> {in_decimals(one.after)}"
