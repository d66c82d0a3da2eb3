"""Folds and the rules that make them: five random ones, unless the column `split` of metadata.tsv says what each case is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from autoseg.dataset.facts import Facts
from autoseg.dataset.metadata import PATIENT
from autoseg.errors import TrainingError
from autoseg.words import counted, first_few

FOLDS = 5
SPLIT_SEED = 12345
"""Both are those of the field's published cross-validations, so that scores compare."""

SPLIT = "split"
"""The column that says what a case is for."""

TRAIN, VALIDATE, TEST, ADDED = "train", "val", "test", "aug"
"""What may stand there; what is added helps in training, and never validates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Identifiers of the training and validation cases of one fold, sorted."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


class SplitRule(Protocol):
    """How folds follow from what is known of the cases."""

    def split(self, facts: Mapping[str, Facts]) -> tuple[Split, ...]:
        """The folds of these cases.

        Raises:
            TrainingError: The cases do not allow it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFolds:
    """Folds that are shuffled and of equal size.

    Attributes:
        together: The column whose cases stay together where they are equal in it; then it is these groups that are
            shuffled. A case of which it is not known is a group of its own.
    """

    number: int = FOLDS
    seed: int = SPLIT_SEED
    together: str = PATIENT

    def split(self, facts: Mapping[str, Facts]) -> tuple[Split, ...]:
        """Each case validates in one fold and trains in all others.

        Raises:
            TrainingError: There are fewer cases, or groups of them, than folds.
        """
        from sklearn.model_selection import KFold

        group_of = {case: facts[case].get(self.together) or case for case in sorted(facts)}
        groups = sorted(set(group_of.values()))
        known = any(facts[case].get(self.together) for case in facts)
        if reason := too_few_for_folds(len(groups), self.together if known else "case", folds=self.number):
            raise TrainingError(reason)
        splits = []
        for _, held_out in KFold(self.number, shuffle=True, random_state=self.seed).split(groups):
            chosen = {groups[number] for number in held_out}
            splits.append(
                Split(
                    training=tuple(case for case in group_of if group_of[case] not in chosen),
                    validation=tuple(case for case in group_of if group_of[case] in chosen),
                )
            )
        return tuple(splits)


def too_few_for_folds(number: int, of: str = "case", *, folds: int = FOLDS) -> str | None:
    """Why so many cases, or groups of them, cannot be cross-validated; None where they can.

    Args:
        of: What they are, in words.
    """
    if number >= folds:
        return None
    return (
        f"{counted(number, f'{of} is', f'{of}s are')} too few for {counted(folds, 'fold')}; train fold `all`, "
        "or write splits_final.json yourself"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRole:
    """Folds that keep to the column `split`: where it says what validates, that is the one fold.

    Cases that test are in no fold. Those that are added train wherever no case of their group validates.

    Attributes:
        others: Makes the folds of all other cases.
    """

    others: SplitRule
    together: str = PATIENT

    def split(self, facts: Mapping[str, Facts]) -> tuple[Split, ...]:
        """The folds of these cases.

        Raises:
            TrainingError: The column holds what it must not, or nothing to train on.
        """
        roles = roles_of(facts)
        added = [case for case in sorted(facts) if roles[case] == ADDED]
        if VALIDATE in roles.values():
            splits: tuple[Split, ...] = (_fixed(roles),)
        else:
            splits = self.others.split({case: facts[case] for case in facts if roles[case] not in (ADDED, TEST)})
        return tuple(self._with_added(split, added, facts) for split in splits)

    def _with_added(self, split: Split, added: list[str], facts: Mapping[str, Facts]) -> Split:
        validated = {facts[case].get(self.together) or case for case in split.validation}
        more = [case for case in added if (facts[case].get(self.together) or case) not in validated]
        return Split(training=tuple(sorted({*split.training, *more})), validation=split.validation)


DEFAULT_RULE: SplitRule = ByRole(others=RandomFolds())
"""What is done where nobody asks for anything else."""


def roles_of(facts: Mapping[str, Facts]) -> dict[str, str | None]:
    """What each case is for; a column that holds nothing of ours means something else.

    Raises:
        TrainingError: It holds some of ours, and others.
    """
    roles = {case: facts[case].get(SPLIT) for case in facts}
    ours = (TRAIN, VALIDATE, TEST, ADDED)
    other = sorted({role for role in roles.values() if role is not None and role not in ours})
    if other and len(other) < len(set(roles.values()) - {None}):
        raise TrainingError(
            f"metadata.tsv: column {SPLIT} holds {first_few(other)} beside {' or '.join(ours)}; write one of these, or "
            "call the column otherwise"
        )
    return dict.fromkeys(facts) if other else roles


def is_fixed(facts: Mapping[str, Facts]) -> bool:
    """Whether the column `split` says which cases validate, so that there is one fold."""
    return VALIDATE in roles_of(facts).values()


def too_few_by_default(facts: Mapping[str, Facts]) -> str | None:
    """Why these cases cannot be cross-validated where nobody asks for other folds; None where they can, or need not."""
    roles = roles_of(facts)
    if VALIDATE in roles.values():
        return None
    cases = [case for case in facts if roles[case] not in (ADDED, TEST)]
    groups = {facts[case].get(PATIENT) or case for case in cases}
    return too_few_for_folds(len(groups), PATIENT if len(groups) < len(cases) else "case")


def fold_of_all(facts: Mapping[str, Facts]) -> Split:
    """Every case trains, but those that test; all of them validate, but those that are added."""
    roles = roles_of(facts)
    training = tuple(case for case in sorted(facts) if roles[case] != TEST)
    return Split(training=training, validation=tuple(case for case in training if roles[case] != ADDED))


def _fixed(roles: Mapping[str, str | None]) -> Split:
    training, validation = (tuple(sorted(case for case in roles if roles[case] == role)) for role in (TRAIN, VALIDATE))
    if not training:
        raise TrainingError(f"metadata.tsv: column {SPLIT} says of no case that it trains ({TRAIN})")
    return Split(training=training, validation=validation)
