"""The candidates of a selection, each scored as it would be shipped, and the one that is selected."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import autoseg
from autoseg.arrays import Float64Array
from autoseg.dataset.target import Target
from autoseg.ensembling.comparison import Ranking, Scores, rank
from autoseg.ensembling.pairs import Key
from autoseg.ensembling.selection import Member, Selection
from autoseg.errors import ModelError
from autoseg.evaluation.metrics import defined_mean
from autoseg.inference.fusion import Fusion
from autoseg.postprocessing.choice import judge_as_given, sources_hash
from autoseg.postprocessing.deciding import candidates_of, decide_postprocessing
from autoseg.postprocessing.evidence import Choice
from autoseg.postprocessing.scoring import ValidationCase
from autoseg.words import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model, or several that are averaged.

    Attributes:
        cases: What it predicted in cross-validation.
        postprocessing: Its postprocessing.json, which may not be there yet.
        costs: Of each member, as its plan has it.
        fusion: How much each member has to say; None: all alike.
    """

    name: str
    members: tuple[Member, ...]
    cases: tuple[ValidationCase, ...]
    postprocessing: Path
    costs: tuple[int, ...]
    fusion: Fusion | None = None

    @property
    def cost(self) -> tuple[int, ...]:
        """One before two, then by configuration; the plain mean before weights."""
        return len(self.members), sum(self.costs), int(self.fusion is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A selection with what it rests on.

    Attributes:
        winner: The candidate selected.
        ranking: All candidates, best first.
        choices: Each candidate's postprocessing, by name.
        before: Each candidate's mean Dice of each label without postprocessing, on the cases all were compared on.
    """

    selection: Selection
    winner: Candidate
    ranking: Ranking
    choices: Mapping[str, Choice]
    before: Mapping[str, Float64Array]


def select(
    candidates: Sequence[Candidate],
    target: Target,
    *,
    task: str,
    postprocess: bool = True,
    incomplete: Sequence[str] = (),
    workers: int,
) -> Outcome:
    """Choose each candidate's postprocessing, score it with that, and select the best.

    All candidates are compared on the cases that every one of them predicted in the same fold, and a case counts with
    the rules that were chosen without it. Of equal candidates the cheaper is selected.

    Args:
        target: What all of them predict.
        postprocess: Choose rules; without, labels are compared as they were predicted.
        incomplete: What was missing, a line each, for the record.

    Raises:
        ModelError: There is no case that every candidate predicted.
        CasesFailed: Naming the cases that cannot be read or compared.
    """
    keys = _common_keys(candidates)
    choices = {one.name: _choose(one, target, postprocess=postprocess, workers=workers) for one in candidates}
    scores = [
        Scores(name=one.name, dice=_rows(one, choices[one.name].evidence.after, keys), cost=one.cost)
        for one in candidates
    ]
    patient_of = {(case.fold, case.identifier): case.patient for case in candidates[0].cases}
    ranking = rank(scores, [patient_of[key] for key in keys])
    best = ranking.candidates[0]
    winner = next(one for one in candidates if one.name == best.name)
    selection = Selection(
        version=autoseg.__version__,
        task=task,
        name=winner.name,
        members=winner.members,
        rules=choices[winner.name].rules,
        expected_dice=best.score,
        interval=best.interval,
        lead=ranking.lead,
        scores={one.name: one.score for one in ranking.candidates},
        folds=tuple(dict.fromkeys(fold for fold, _ in keys)),
        cases=len(keys),
        incomplete=tuple(incomplete),
        sources={one.name: choices[one.name].evidence.sources for one in candidates},
        fusion=winner.fusion,
    )
    before = {one.name: defined_mean(_rows(one, choices[one.name].evidence.before, keys), axis=0) for one in candidates}
    return Outcome(selection=selection, winner=winner, ranking=ranking, choices=choices, before=before)


def _choose(candidate: Candidate, target: Target, *, postprocess: bool, workers: int) -> Choice:
    number = counted(len(candidate.cases), "case")
    log.info("%s: scoring %s%s", candidate.name, number, ", trying rules" if postprocess else "")
    if not postprocess:
        sources = sources_hash(candidate.cases, target, workers=workers)
        return judge_as_given(candidate.cases, target, (), workers=workers, sources=sources)
    path = candidate.postprocessing
    return decide_postprocessing(path, candidate.cases, target, workers=workers, candidates=candidates_of(path))


def _common_keys(candidates: Sequence[Candidate]) -> list[Key]:
    keys = [{(case.fold, case.identifier) for case in candidate.cases} for candidate in candidates]
    common = sorted(set.intersection(*keys))
    if not common:
        folds = [f"  {one.name}: folds {', '.join(sorted({case.fold for case in one.cases}))}" for one in candidates]
        raise ModelError(
            "no case was predicted by all candidates, so they cannot be compared\n"
            + "\n".join(folds)
            + "\nTrain the same folds of all, or name fewer with `configurations`"
        )
    return common


def _rows(candidate: Candidate, dice: Float64Array, keys: Sequence[Key]) -> Float64Array:
    row_of = {(case.fold, case.identifier): row for row, case in enumerate(candidate.cases)}
    return dice[[row_of[key] for key in keys]]
