"""A case's label files looked at by output: what each may hold, what it holds, and what is cut away from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.arrays import Array, LabelArray
from autoseg.dataset import BACKGROUND, Case, Target
from autoseg.dataset.coding import is_foreground
from autoseg.dataset.planes import plane_fault, read_plane
from autoseg.planning.label_inspection import cut_away, label_faults, label_values
from autoseg.words import agreeing, first_few, readable


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFindings:
    """What was found in one label file.

    Attributes:
        errors, warnings: In words.
        present: Numbers of the outputs that it holds any of; with the background's where it holds that.
    """

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    present: frozenset[int]


def inspect_label_file(
    data: Array, place: int, case: Case, channels: Sequence[Array], *, target: Target | None, labels: Sequence[str]
) -> LabelFindings:
    """Look at the values of one of a case's label files.

    Args:
        data: `(Z, Y, X)`, as it is stored.
        place: The file's in `case.label_paths`.
        channels: The case's images where all lie on the label's grid; else none.
        target: None where dataset.json is not in order.
        labels: Names as far as they are known, background first.
    """
    values = label_values(data)
    if target is not None and target.in_planes:
        return _plane(data, values, _number(place, case), channels, target)
    ignore = None if target is None else target.ignore
    if ignore is not None and (values == ignore).all():
        return LabelFindings(errors=(IGNORED_EVERYWHERE,), warnings=(), present=frozenset())
    kept = values if ignore is None else values[values != ignore]
    declared = range(len(labels)) if target is None else target.values
    errors = [*label_faults(kept, declared if labels else None), *_not_drawn(kept, case, target)]
    warnings = [] if kept.any() else ["holds background only; check whether the case was annotated at all"]
    shown = data if ignore is None else np.where(data == ignore, BACKGROUND, data)
    if channels and (cut := cut_away(channels, shown, () if target is None else target.value_names)):
        warnings.append(cut)
    return LabelFindings(errors=tuple(errors), warnings=tuple(warnings), present=_present(kept, target, len(labels)))


IGNORED_EVERYWHERE = "is ignored everywhere: nothing is annotated; leave the case out, or draw some of it"


def _plane(data: Array, values: Array, number: int, channels: Sequence[Array], target: Target) -> LabelFindings:
    if fault := plane_fault(values, target):
        return LabelFindings(errors=(fault,), warnings=(), present=frozenset())
    holds: LabelArray = is_foreground(read_plane(data, target, "")).astype(np.uint8)
    warnings = (
        []
        if holds.any()
        else [f"holds nothing of {readable(target.labels[number])}; check whether it was drawn at all"]
    )
    if channels and (cut := cut_away(channels, holds * number, target.labels)):
        warnings.append(cut)
    return LabelFindings(errors=(), warnings=tuple(warnings), present=frozenset({number} if holds.any() else ()))


def _number(place: int, case: Case) -> int:
    """Of the output that a file of planes is of."""
    owners = [number for number, files in enumerate(case.drawn, start=1) for _ in files]
    return owners[place] if owners else 1


def _not_drawn(values: Array, case: Case, target: Target | None) -> Iterator[str]:
    """Labels that are there although their output is said not to have been drawn."""
    if target is None or case.annotated is None:
        return
    drawn = [number for number in target.scored if target.labels[number] in case.annotated]
    allowed = {BACKGROUND, *(label for number in drawn for label in target.members_of(number))}
    found = [int(value) for value in values if value in target.values and value not in allowed]
    if found:
        yield (
            f"holds {agreeing(len(found), 'label')} {first_few(found)}, but only {first_few(case.annotated)} "
            f"{agreeing(len(case.annotated), 'is', 'are')} annotated in this case; correct `annotated`, or the file"
        )


def _present(values: Array, target: Target | None, labels: int) -> frozenset[int]:
    if target is None:
        return frozenset(np.intersect1d(values, range(labels)).tolist())
    members = {BACKGROUND: (BACKGROUND,), **{number: target.members_of(number) for number in target.scored}}
    return frozenset(number for number, held in members.items() if np.isin(values, held).any())
