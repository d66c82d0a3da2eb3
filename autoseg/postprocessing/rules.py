"""Rules that are applied to finished segmentations, and the postprocessing.json that holds a model's.

Such a file may be written by hand: `{"format": 1, "rules": [{"kind": "remove_small", "labels": [1],
"minimum_mm3": 30}]}`. The rules are applied in their order. Of regions and masks it may say, in the words of
dataset.json, which they are; the numbers of rules are then theirs, from 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.arrays import LabelArray
from autoseg.dataset.coding import beyond_half
from autoseg.dataset.declared_target import LABELS, MASKS, ORDER, SOFT, declaration, declared_target
from autoseg.dataset.notes import Notes
from autoseg.dataset.target import Exclusive, Target, hardened
from autoseg.errors import ModelError, StorageError
from autoseg.files.records import RecordFormat, require_format, write_record
from autoseg.files.storage import decode, read_json
from autoseg.postprocessing.components import fill_holes, keep_largest, remove_small
from autoseg.postprocessing.fractions import follow

FORMAT = RecordFormat(
    number=1,
    what="postprocessing",
    error=ModelError,
    another="install a matching version or choose the postprocessing again",
)
KEEP_LARGEST, REMOVE_SMALL, FILL_HOLES = KINDS = ("keep_largest", "remove_small", "fill_holes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One step.

    Attributes:
        kind: `keep_largest`, `remove_small` or `fill_holes`.
        labels: Numbers of outputs that are taken together as one object; of exclusive labels, their values.
        minimum_mm3: For `remove_small` the volume below which a component is removed; None for the others.
    """

    kind: str
    labels: tuple[int, ...]
    minimum_mm3: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"postprocessing: the rule {self.kind!r} is not known; known are {', '.join(KINDS)}")
        if not self.labels or any(label < 1 for label in self.labels):
            raise ModelError(f"postprocessing: a rule needs labels above background, found {list(self.labels)}")
        if self.kind != REMOVE_SMALL and self.minimum_mm3 is not None:
            raise ModelError(f"postprocessing: minimum_mm3 belongs to remove_small only, found it at {self.kind}")
        if self.kind == REMOVE_SMALL and not (self.minimum_mm3 and 0 < self.minimum_mm3 < math.inf):
            raise ModelError(
                f"postprocessing: remove_small needs minimum_mm3, a volume above 0, found {self.minimum_mm3}"
            )

    def __str__(self) -> str:
        size = "" if self.minimum_mm3 is None else f" below {self.minimum_mm3:g} mm3"
        return f"{self.kind} of {'+'.join(map(str, self.labels))}{size}"


def apply_rules(
    segmentation: LabelArray, spacing: Sequence[float], rules: Sequence[Rule], target: Target
) -> LabelArray:
    """Apply the rules in their order.

    Args:
        segmentation: Of the target, `(Z, Y, X)`, or `(outputs, Z, Y, X)` of masks that may overlap; left as it is. Of soft
            labels planes, of which rules see what is more than one half; see `follow`.
        spacing: Voxel size in mm.

    Raises:
        ModelError: A rule is of an output that the target does not have.
    """
    require_outputs(rules, target)
    if target.soft and rules:
        before = beyond_half(segmentation).astype(np.uint8)
        return follow(segmentation, before, apply_rules(before, spacing, rules, hardened(target)), spacing)
    for rule in rules:
        segmentation = _apply(segmentation, spacing, rule, target)
    return segmentation


def require_outputs(rules: Iterable[Rule], target: Target) -> None:
    """Refuse rules of other outputs than a target has.

    Raises:
        ModelError: Naming the rule.
    """
    for rule in rules:
        if unknown := sorted(set(rule.labels) - set(target.scored)):
            raise ModelError(
                f"postprocessing: the rule {rule} touches the labels {unknown}, but there are only {list(target.scored)}; "
                "put the rule right"
            )


def target_of_values(rules: Sequence[Rule]) -> Target:
    """What rules are of where nobody says: maps of labels, each number a value."""
    return Exclusive.numbered(max((label for rule in rules for label in rule.labels), default=1) + 1)


def save_rules(rules: Sequence[Rule], path: Path, *, target: Target | None = None, evidence: Any = None) -> None:
    """Write a postprocessing.json.

    Args:
        target: Whose outputs the rules name; None leaves it out.
        evidence: What the rules were chosen on, in plain values or a dataclass.
    """
    named = {} if target is None else declaration(target)
    write_record(path, {"rules": tuple(rules), **named, "evidence": evidence}, FORMAT)


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Read the rules of a postprocessing.json.

    Raises:
        ModelError: Naming the file and what in it does not fit.
    """
    try:
        content = _content(path)
        rules = content.get("rules")
        entries = [_with_minimum(entry) for entry in rules] if isinstance(rules, list) else rules
        decoded: tuple[Rule, ...] = decode(tuple[Rule, ...], entries, f"{path}: rules")
        return decoded
    except StorageError as error:
        raise ModelError(f"{error}; choose the postprocessing again or put the file right") from error
    except ModelError as error:
        raise error if str(path) in str(error) else ModelError(f"{path}: {error}") from error


def target_of_rules(path: Path) -> Target | None:
    """Whose outputs the rules of a postprocessing.json name; None where it does not say, as of exclusive labels.

    Raises:
        ModelError: Naming the file and what in it does not fit.
    """
    try:
        content = _content(path)
    except StorageError as error:
        raise ModelError(f"{error}; choose the postprocessing again or put the file right") from error
    if not content.keys() & {MASKS, ORDER, SOFT}:
        return None
    notes = Notes()
    target = declared_target(content, notes, lambda: ONE_LABEL)
    if target is None:
        raise ModelError(f"{path}: {'; '.join(notes.problems)}")
    return target


def load_evidence(path: Path) -> Mapping[str, Any] | None:
    """What the rules of a postprocessing.json were chosen on, in plain values; None where a user wrote them."""
    try:
        evidence = _content(path).get("evidence")
    except StorageError as error:
        raise ModelError(f"{error}; choose the postprocessing again or put the file right") from error
    return evidence if isinstance(evidence, dict) else None


def _apply(segmentation: LabelArray, spacing: Sequence[float], rule: Rule, target: Target) -> LabelArray:
    if rule.kind == FILL_HOLES:
        return fill_holes(segmentation, rule.labels, target)
    if rule.minimum_mm3 is None:
        return keep_largest(segmentation, rule.labels, spacing, target)
    return remove_small(segmentation, rule.labels, spacing, target, minimum_mm3=rule.minimum_mm3)


ONE_LABEL = Exclusive.numbered(2).names
"""Of soft labels that are not masks; what it is called does not matter to rules."""


def _content(path: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = read_json(path)
    require_format(content, FORMAT, path)
    named = {MASKS} if MASKS in content else {LABELS, ORDER} if ORDER in content else set()
    if unknown := sorted(content.keys() - {"format", "rules", "evidence", SOFT} - named):
        raise StorageError(f"{path}: unknown fields: {', '.join(unknown)}")
    if "rules" not in content:
        raise StorageError(f"{path}: no rules; an empty list does nothing")
    return content


def _with_minimum(entry: Any) -> Any:
    """A rule's entry with `minimum_mm3`, which only one kind needs."""
    return {"minimum_mm3": None, **entry} if isinstance(entry, dict) else entry
