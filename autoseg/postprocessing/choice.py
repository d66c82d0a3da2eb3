"""Choosing postprocessing by cross-validation: no case judges a rule that was chosen on it.

The candidates come in steps: keep-largest over all foreground; then for each label the best of keep-largest and
remove-small, if one helps; then for each label filling holes; of regions one after the other, as what is taken from one may
be of another. For each fold the choice is made on the cases of the
other folds and its rules are judged on the fold's own. Over all cases so judged, a rule must lower the mean Dice of no
label it touches and raise that of one; else it is taken from the candidates and the choice is made anew, since what
follows a rule depends on it. The rules that are kept in the end are those chosen on all cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np

import autoseg
from autoseg.arrays import Float64Array, Mask
from autoseg.dataset.target import Target, stored_target
from autoseg.evaluation.metrics import defined_mean
from autoseg.files.storage import content_hash, file_hash
from autoseg.machine.pool import run_on_cases
from autoseg.postprocessing.evidence import CaseDice, Choice, Comparison, Evidence, JudgedRule
from autoseg.postprocessing.rules import FILL_HOLES, KEEP_LARGEST, REMOVE_SMALL, Rule, require_outputs
from autoseg.postprocessing.scoring import DiceTable, Rules, ValidationCase

Slot: TypeAlias = tuple[Rule, ...]
"""Rules of which one at most is taken."""
Step: TypeAlias = tuple[Slot, ...]
"""Slots that touch different labels, so that they are decided independently."""
Candidates: TypeAlias = Callable[[Mapping[int, Float64Array]], tuple[Step, ...]]
"""From the volumes (mm3) of each label's true components to the steps, in the order in which they are taken."""

THRESHOLD_QUANTILES = (0.0, 0.05, 0.25)
"""Of the true components' volumes: the smallest one, and two above it for references with stray voxels."""

SMALLEST_GAIN = 1e-9
"""Dice; below lies rounding."""

FOLDS_OF_ONE = 5
"""Parts into which the cases of a single fold are divided, as many as folds are usual."""


def choose_postprocessing(
    cases: Sequence[ValidationCase],
    target: Target,
    *,
    workers: int,
    candidates: Sequence[Rule] | None = None,
    sources: str = "",
) -> Choice:
    """Choose the rules that help, and say on what evidence.

    Where there is a single fold, its cases are divided into parts that take the place of folds; where there is a
    single patient nothing is chosen.

    Args:
        target: What was predicted.
        candidates: A user's own rules to choose from, each tried after those before it; by default the standard ones.
        sources: `sources_hash` of the cases, kept in the evidence.

    Raises:
        CasesFailed: Naming the cases that cannot be read or compared.
        ModelError: A candidate touches an output that the target does not have.
    """
    folds = _folds(cases)
    if len(set(folds)) < 2:
        return judge_as_given(cases, target, (), workers=workers, sources=sources)
    table = DiceTable(cases, target, workers=workers)
    views = {fold: _others(cases, folds, fold) for fold in dict.fromkeys(folds)}
    choosing = _Choosing(table, folds, views, standard_candidates if candidates is None else _in_order(candidates))
    rejected: dict[_Key, JudgedRule] = {}
    while True:
        chosen = choosing.choose(rejected.keys())
        judged = choosing.judge(chosen)
        failed = [key for key, rule in judged.items() if not rule.held_up]
        if not failed:
            break
        # A later step was tried on top of the earlier ones, so its failure counts only once they are settled.
        first = min(key.step for key in failed)
        rejected |= {key: judged[key] for key in failed if key.step == first}
    evidence = _evidence(table, folds, chosen, {**judged, **rejected}, sources, candidates)
    return Choice(rules=_joined(chosen[None]), evidence=evidence)


def judge_as_given(
    cases: Sequence[ValidationCase], target: Target, rules: Rules, *, workers: int, sources: str = ""
) -> Choice:
    """Score rules that were not chosen on these cases, or none; arguments as for `choose_postprocessing`."""
    table = DiceTable(cases, target, workers=workers)
    require_outputs(rules, target)
    for number, rule in enumerate(rules):
        table.measure([(tuple(rules[:number]), rule)])
    folds = [case.fold for case in cases]
    chosen = {fold: (tuple(rules),) for fold in (None, *folds)}
    evidence = _evidence(table, folds, chosen, {}, sources, None)
    return Choice(rules=tuple(rules), evidence=evidence)


def standard_candidates(volumes: Mapping[int, Float64Array]) -> tuple[Step, ...]:
    """The candidates described at the top of this module.

    Args:
        volumes: For each label the volumes in mm3 of the true components of the cases that are chosen on.
    """
    labels = tuple(volumes)
    together: Step = ((Rule(kind=KEEP_LARGEST, labels=labels),),) if len(labels) > 1 else ()
    fewer = tuple((Rule(kind=KEEP_LARGEST, labels=(label,)), *_small(label, volumes[label])) for label in labels)
    fuller = tuple((Rule(kind=FILL_HOLES, labels=(label,)),) for label in labels)
    return together, fewer, fuller


def sources_hash(cases: Sequence[ValidationCase], target: Target, *, workers: int) -> str:
    """Of all that a choice is made from: the content of the files, the folds, the patients, the way of choosing."""
    files = run_on_cases(_file_hashes, cases, task="looking for changes", workers=workers)
    described = [
        (case.fold, case.identifier, case.patient, *hashes, *((case.undrawn,) if case.undrawn else ()))
        for case, hashes in zip(cases, files, strict=True)
    ]
    kind = stored_target(target)
    return content_hash(
        autoseg.__version__, tuple(target.scored), *(() if kind is None else (kind,)), sorted(described)
    )


@dataclass(frozen=True, slots=True, order=True)
class _Key:
    """What makes rules of different folds the same candidate: thresholds follow from the cases and may differ."""

    step: int
    kind: str
    labels: tuple[int, ...]


_Chosen: TypeAlias = Mapping[str | None, tuple[Rules, ...]]
"""The rules taken in each step, chosen without the fold that is the key; under None, chosen on all cases."""


@dataclass(frozen=True, slots=True)
class _Choosing:
    table: DiceTable
    folds: Sequence[str]
    views: Mapping[str, Mask]
    candidates: Candidates

    def choose(self, rejected: Iterable[_Key]) -> _Chosen:
        """Choose on all cases and without each fold, all at a time, so that the cases are read once a step."""
        masks: dict[str | None, Mask] = {None: np.ones(len(self.folds), dtype=bool)}
        masks.update(self.views)
        steps = {view: self._steps(self.table.true_volumes(mask)) for view, mask in masks.items()}
        chosen: dict[str | None, tuple[Rules, ...]] = dict.fromkeys(masks, ())
        out = set(rejected)
        for number in range(len(steps[None])):
            slots = {
                view: [tuple(rule for rule in slot if _key(number, rule) not in out) for slot in steps[view][number]]
                for view in masks
            }
            self.table.measure((_joined(chosen[view]), rule) for view in masks for slot in slots[view] for rule in slot)
            for view, mask in masks.items():
                before = _joined(chosen[view])
                best = [self._best(before, slot, mask) for slot in slots[view]]
                taken = tuple(rule for rule in best if rule is not None)
                self.table.join(before, taken)
                chosen[view] = (*chosen[view], taken)
        return chosen

    def judge(self, chosen: _Chosen) -> dict[_Key, JudgedRule]:
        """Judge every rule that was chosen anywhere on the folds it was not chosen on."""
        found: dict[_Key, Rule] = {}
        for view in (None, *self.views):
            for number, rules in enumerate(chosen[view]):
                for rule in rules:
                    found.setdefault(_key(number, rule), rule)
        return {key: self._judge_one(key, found[key], chosen) for key in sorted(found)}

    def _steps(self, volumes: Mapping[int, Float64Array]) -> tuple[Step, ...]:
        """The candidates' steps, each parted where two slots may change the same label."""
        steps = self.candidates(volumes)
        require_outputs((rule for step in steps for slot in step for rule in slot), self.table.target)
        return tuple(part for step in steps for part in self._parted(step))

    def _parted(self, step: Step) -> Iterator[Step]:
        part: list[Slot] = []
        changed: set[int] = set()
        for slot in step:
            columns = {column for rule in slot for column in self.table.columns(rule)}
            if changed & columns:
                yield tuple(part)
                part, changed = [], set()
            part.append(slot)
            changed |= columns
        yield tuple(part)

    def _judge_one(self, key: _Key, rule: Rule, chosen: _Chosen) -> JudgedRule:
        columns = self.table.columns(rule)
        labels = [self.table.labels[column] for column in columns]
        before, after = (np.full((len(self.folds), len(columns)), np.nan) for _ in range(2))
        chosen_without = []
        for fold in self.views:
            rows = np.array([fold == other for other in self.folds])
            start, end = self._around(key, chosen[fold])
            before[rows], after[rows] = start[rows][:, columns], end[rows][:, columns]
            if _taken(key, chosen[fold]) is not None:
                chosen_without.append(fold)
        start, end = self._around(key, chosen[None])
        return JudgedRule(
            rule=rule,
            held_up=_helps(before, after),
            chosen_without=tuple(chosen_without),
            in_fold=_compare(start[:, columns], end[:, columns], labels),
            out_of_fold=_compare(before, after, labels),
        )

    def _around(self, key: _Key, steps: tuple[Rules, ...]) -> tuple[Float64Array, Float64Array]:
        """`(cases, labels)` Dice before and after the candidate's place in a choice; equal where it was not taken."""
        start = _joined(steps[: key.step])
        rule = _taken(key, steps)
        return self.table.dice(start), self.table.dice(start if rule is None else (*start, rule))

    def _best(self, before: Rules, slot: Slot, mask: Mask) -> Rule | None:
        best, most = None, 0.0
        for rule in slot:
            columns = self.table.columns(rule)
            old, new = (self.table.dice(rules)[mask][:, columns] for rules in (before, (*before, rule)))
            gain = float(_gains(old, new).sum())
            if _helps(old, new) and gain > most + SMALLEST_GAIN:
                best, most = rule, gain
        return best


def _in_order(rules: Sequence[Rule]) -> Candidates:
    steps = tuple(((rule,),) for rule in rules)
    return lambda _volumes: steps


def _file_hashes(case: ValidationCase) -> tuple[str, ...]:
    return tuple(file_hash(path) for path in case.files)


def _folds(cases: Sequence[ValidationCase]) -> list[str]:
    """The part each case belongs to: its fold, or with a single fold one of the parts its patients are dealt to."""
    folds = [case.fold for case in cases]
    if len(set(folds)) > 1:
        return folds
    patients = sorted({case.patient for case in cases})
    return [f"part {patients.index(case.patient) % FOLDS_OF_ONE}" for case in cases]


def _others(cases: Sequence[ValidationCase], folds: Sequence[str], fold: str) -> Mask:
    """The cases to choose on when a fold judges: those of other folds, and of other patients."""
    judges = {case.patient for case, its_fold in zip(cases, folds, strict=True) if its_fold == fold}
    return np.array([case.patient not in judges for case in cases])


def _evidence(
    table: DiceTable,
    folds: Sequence[str],
    chosen: _Chosen,
    judged: Mapping[_Key, JudgedRule],
    sources: str,
    candidates: Sequence[Rule] | None,
) -> Evidence:
    before, in_fold = table.dice(()), table.dice(_joined(chosen[None]))
    after = np.array([table.dice(_joined(chosen[fold]))[row] for row, fold in enumerate(folds)]).reshape(before.shape)
    return Evidence(
        sources=sources,
        candidates=None if candidates is None else tuple(candidates),
        labels=table.labels,
        in_fold=_compare(before, in_fold, table.labels),
        out_of_fold=_compare(before, after, table.labels),
        judged=tuple(judged[key] for key in sorted(judged)),
        chosen_without={fold: _joined(chosen[fold]) for fold in dict.fromkeys(folds)},
        cases=tuple(
            CaseDice(
                identifier=case.identifier,
                fold=case.fold,
                patient=case.patient,
                before=_with_none(before[row]),
                after=_with_none(after[row]),
            )
            for row, case in enumerate(table.cases)
        ),
    )


def _compare(before: Float64Array, after: Float64Array, labels: Sequence[int]) -> tuple[Comparison, ...]:
    return tuple(
        Comparison(
            label=label,
            before=_with_none(defined_mean(before, axis=0))[column],
            after=_with_none(defined_mean(after, axis=0))[column],
            n_before=int(np.isfinite(before[:, column]).sum()),
            n_after=int(np.isfinite(after[:, column]).sum()),
        )
        for column, label in enumerate(labels)
    )


def _helps(before: Float64Array, after: Float64Array) -> bool:
    """Whether no label's mean Dice falls and one's rises; arrays are `(cases, labels)`."""
    gains = _gains(before, after)
    return bool((gains >= -SMALLEST_GAIN).all() and (gains > SMALLEST_GAIN).any())


def _gains(before: Float64Array, after: Float64Array) -> Float64Array:
    """How much each label's mean Dice rises; 0 where it has none before or after, which tells nothing."""
    return np.nan_to_num(defined_mean(after, axis=0) - defined_mean(before, axis=0))


def _with_none(values: Float64Array) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else float(value) for value in values)


def _small(label: int, volumes: Float64Array) -> tuple[Rule, ...]:
    """Remove-small rules for thresholds that the volumes of the label's true components give."""
    if not len(volumes):
        return ()
    thresholds = dict.fromkeys(_rounded_down(float(volume)) for volume in np.quantile(volumes, THRESHOLD_QUANTILES))
    return tuple(Rule(kind=REMOVE_SMALL, labels=(label,), minimum_mm3=threshold) for threshold in thresholds)


def _rounded_down(volume: float) -> float:
    """To two digits, so that folds agree on thresholds and the smallest true component never falls below its own."""
    digits = 1 - math.floor(math.log10(volume))
    return round(math.floor(volume * 10.0**digits) / 10.0**digits, max(0, digits))


def _key(step: int, rule: Rule) -> _Key:
    return _Key(step, rule.kind, rule.labels)


def _taken(key: _Key, steps: tuple[Rules, ...]) -> Rule | None:
    """The rule of a choice that is this candidate."""
    rules = steps[key.step] if key.step < len(steps) else ()
    return next((rule for rule in rules if _key(key.step, rule) == key), None)


def _joined(steps: Iterable[Rules]) -> Rules:
    return tuple(chain.from_iterable(steps))
