"""Only those cases of a dataset of which a condition on their metadata is so."""

from __future__ import annotations

from dataclasses import replace

from autoseg.conversion.understood import Understood
from autoseg.dataset.conditions import parse_condition
from autoseg.dataset.declared_target import ANNOTATED
from autoseg.dataset.facts import read_facts
from autoseg.errors import DatasetError
from autoseg.words import counted, readable


def chosen_cases(understood: Understood, where: str) -> Understood:
    """The dataset without the cases of which the condition is not so, or nothing is known.

    Raises:
        DatasetError: The condition is none, names what is known of no case, or leaves no case with labels.
    """
    cases = (*understood.training, *understood.test)
    if understood.facts is None:
        table = read_facts(understood.source, {case.identifier for case in cases})
        facts = {case.identifier: table.of(case.identifier) for case in cases}
    else:
        facts = dict(understood.facts)
    chosen = set(parse_condition(where).chosen(facts))
    training, test = (
        tuple(case for case in some if case.identifier in chosen) for some in (understood.training, understood.test)
    )
    if not training:
        raise DatasetError(f"{readable(understood.source)}: {where}: is so of no case with labels; ask for less")
    target = dict(understood.target)
    if isinstance(annotated := target.get(ANNOTATED), dict):
        target[ANNOTATED] = {case: names for case, names in annotated.items() if case in chosen}
    left = len(cases) - len(training) - len(test)
    return replace(
        understood,
        training=training,
        test=test,
        facts={case: known for case, known in facts.items() if case in chosen},
        target=target,
        notes=(*understood.notes, f"left out by {where}: {counted(left, 'case')}"),
    )
