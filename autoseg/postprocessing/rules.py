"""Rules that are applied to finished segmentations, and the postprocessing.json that holds a model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.errors import ModelError, StorageError
from autoseg.postprocessing.components import LabelArray, keep_largest
from autoseg.storage import decode, encode, read_json, write_json

FORMAT = 1
KINDS: Mapping[str, Callable[..., Any]] = {"keep_largest": keep_largest}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One step: its kind, and the label values that are taken together as one object."""

    kind: str
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"postprocessing: the rule {self.kind!r} is not known; known are {', '.join(KINDS)}")
        if not self.labels or any(label < 1 for label in self.labels):
            raise ModelError(f"postprocessing: a rule needs labels above background, found {list(self.labels)}")


def apply_rules(segmentation: LabelArray, spacing: Sequence[float], rules: Sequence[Rule]) -> LabelArray:
    """Apply the rules in their order.

    Args:
        segmentation: `(Z, Y, X)` label values; left as it is.
        spacing: Voxel size in mm.
    """
    for rule in rules:
        segmentation = KINDS[rule.kind](segmentation, rule.labels, spacing)
    return segmentation


def save_rules(rules: Sequence[Rule], path: Path, *, evidence: Mapping[str, Any] | None = None) -> None:
    """Write a postprocessing.json; `evidence` says, in plain values, what the rules were chosen on."""
    write_json(path, {"format": FORMAT, "rules": encode(tuple(rules)), "evidence": evidence})


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Read a postprocessing.json.

    Raises:
        ModelError: Naming the file and what in it does not fit.
    """
    try:
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            found = content.get("format") if isinstance(content, dict) else None
            raise ModelError(
                f"{path}: postprocessing of format {found!r}, but this autoseg reads format {FORMAT}; "
                "install a matching version or choose the postprocessing again"
            )
        if odd := sorted(content.keys() ^ {"format", "rules", "evidence"}):
            raise StorageError(f"{path}: unknown or missing fields: {', '.join(odd)}")
        rules: tuple[Rule, ...] = decode(tuple[Rule, ...], content["rules"], f"{path}: rules")
        return rules
    except StorageError as error:
        raise ModelError(f"{error}; choose the postprocessing again or put the file right") from error
    except ModelError as error:
        raise error if str(path) in str(error) else ModelError(f"{path}: {error}") from error
