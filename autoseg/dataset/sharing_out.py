"""Groups of cases shared out over parts, so that each part holds its share of every kind of case.

First each group goes, the largest before the others, to the part that it brings closest to its share; then groups are moved
and exchanged as long as that brings the parts closer. How close is measured as in a chi-squared test: squared differences
from what is expected, divided by it, summed over all kinds of cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from autoseg.arrays import Float64Array, IndexArray

ROUNDS = 20
"""Of exchanges; a few are enough for it to settle."""

LEAST_GAIN = 1e-9


def share_out(groups: Mapping[str, Counter[Hashable]], shares: Sequence[float], seed: int) -> dict[str, int]:
    """The part that each group belongs to.

    Args:
        groups: How many cases of each kind a group holds; a case may be of several kinds.
        shares: Of the parts, above 0; they sum to 1.
        seed: Decides between what is equally good.
    """
    names = sorted(groups)
    np.random.default_rng(seed).shuffle(names)
    kinds = sorted({kind for name in names for kind in groups[name]}, key=str)
    counts = np.array([[groups[name][kind] for kind in kinds] for name in names], dtype=np.float64)
    expected = np.outer(shares, counts.sum(axis=0))
    parts = _placed(counts, expected)
    for _ in range(ROUNDS):
        if not _exchanged(parts, counts, expected):
            break
    return dict(zip(names, parts.tolist(), strict=True))


def _placed(counts: Float64Array, expected: Float64Array) -> IndexArray:
    """Each group's part `(G,)`, of what each holds `(G, K)` and what each part should `(P, K)`."""
    parts = np.full(len(counts), -1, dtype=np.intp)
    missing = expected.copy()
    for placed, group in enumerate(np.argsort(-counts.sum(axis=1), kind="stable")):
        change = _change(counts[group], missing, expected)
        empty = np.setdiff1d(np.arange(len(expected)), parts)
        if len(counts) - placed <= len(empty):  # so that none stays so
            change[np.setdiff1d(np.arange(len(expected)), empty)] = np.inf
        part = int(np.argmin(change))
        parts[group] = part
        missing[part] -= counts[group]
    return parts


def _exchanged(parts: IndexArray, counts: Float64Array, expected: Float64Array) -> bool:
    """Move or exchange each group in place if that helps; whether anything was."""
    missing = expected.copy()
    np.subtract.at(missing, parts, counts)
    before = parts.copy()
    for group, held in enumerate(counts):
        own, others = int(parts[group]), np.flatnonzero(parts != parts[group])
        moves = _change(-held, missing[own], expected[own]) + _change(held, missing, expected)
        moves[own if (parts == own).sum() > 1 else slice(None)] = np.inf  # no part becomes empty
        swapped = held - counts[others]
        swaps = _change(-swapped, missing[own], expected[own])
        swaps += _change(swapped, missing[parts[others]], expected[parts[others]])
        best = min(moves.min(), swaps.min(initial=np.inf))
        if best > -LEAST_GAIN:
            continue
        other = None if best == moves.min() else int(others[swaps.argmin()])
        part = int(moves.argmin()) if other is None else int(parts[other])
        given = held if other is None else held - counts[other]
        parts[group], missing[own], missing[part] = part, missing[own] + given, missing[part] - given
        if other is not None:
            parts[other] = own
    return bool((parts != before).any())


def _change(added: Float64Array, missing: Float64Array, expected: Float64Array) -> Float64Array:
    """By how much parts come further from their shares if that is added to what they hold."""
    change: Float64Array = ((added**2 - 2 * added * missing) / expected).sum(axis=-1)
    return change
