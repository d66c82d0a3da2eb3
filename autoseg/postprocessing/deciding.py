"""The choice that a postprocessing.json holds: taken as it is while it is current, made anew else, a user's own respected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset.target import Target
from autoseg.postprocessing.choice import choose_postprocessing, judge_as_given, sources_hash
from autoseg.postprocessing.evidence import Choice, load_choice, save_choice
from autoseg.postprocessing.rules import Rule, load_rules
from autoseg.postprocessing.scoring import ValidationCase

BYTES_PER_WORKER = 3 * 10**9
"""A prediction and a reference of 1000 slices of 512x512, the numbers of their components, and a copy."""


def decide_postprocessing(
    path: Path,
    cases: Sequence[ValidationCase],
    target: Target,
    *,
    workers: int,
    candidates: Sequence[Rule] | None = None,
    overwrite: bool = False,
) -> Choice:
    """The choice for these cases, written to `path` where it is not there.

    A file without evidence is a user's own: it stays, and its rules are scored as they are.

    Args:
        path: The postprocessing.json.
        candidates: A user's own rules to choose from; None for the standard ones.
        overwrite: A user's own file is replaced, once the choice is made.

    Raises:
        CasesFailed: Naming the cases that cannot be read or compared.
        ModelError: The file is damaged, or a rule touches an output that is not there.
    """
    sources = sources_hash(cases, target, workers=workers)
    known = load_choice(path)
    if known is None and path.is_file() and not overwrite:
        return judge_as_given(cases, target, load_rules(path), workers=workers, sources=sources)
    wanted = None if candidates is None else tuple(candidates)
    if known is not None and (known.evidence.sources, known.evidence.candidates) == (sources, wanted):
        return known
    choice = choose_postprocessing(cases, target, workers=workers, candidates=candidates, sources=sources)
    save_choice(choice, path, target)
    return choice


def is_own(path: Path) -> bool:
    """Whether a user wrote this postprocessing.json."""
    return path.is_file() and load_choice(path) is None


def candidates_of(path: Path) -> tuple[Rule, ...] | None:
    """The user's own rules that the choice in a file was made from; None for the standard ones, or no choice."""
    known = load_choice(path)
    return None if known is None else known.evidence.candidates
