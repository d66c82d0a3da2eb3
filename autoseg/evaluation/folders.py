"""Two folders of segmentations of equal names, scored against each other."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.dataset.facts import NOTHING_KNOWN, FactsTable
from autoseg.evaluation.case_files import common_cases
from autoseg.evaluation.metrics import Counted
from autoseg.evaluation.score_lines import are_score_lines, save_score_lines
from autoseg.evaluation.summary import (
    BYTES_PER_WORKER,
    Summary,
    is_summary,
    save_summary,
    score_folder,
)
from autoseg.files.layout import SUMMARY_FILE, SUMMARY_TABLE_FILE
from autoseg.machine.pool import fitting_workers
from autoseg.outputs import require_apart, require_own_file
from autoseg.words import first_few

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringSettings:
    """What is scored.

    Attributes:
        counted: Which numbers, and the values that each covers.
        common: The cases that both folders hold, and no others; else they must hold the same.
        surface_distances: Also the 95th percentile Hausdorff distance, which takes longer.
        undrawn: Numbers that nobody drew in a case, by its name; of these nothing is said.
        facts: What is known of the cases, which summary.json then says, too.
        names: Of the numbers, the index is the number; empty where they have none.
    """

    counted: Counted
    common: bool = False
    surface_distances: bool = False
    undrawn: Mapping[str, Sequence[int]] = field(default_factory=dict)
    facts: FactsTable = NOTHING_KNOWN
    names: tuple[str, ...] = ()


def evaluate_folder(
    references: Path,
    predictions: Path,
    scoring: ScoringSettings,
    *,
    workers: int | None = None,
    overwrite: bool = False,
) -> Summary:
    """Score the cases of two folders, whose files of one case have equal names, and write `predictions/summary.json` and `summary.csv`.

    Args:
        workers: Processes; None lets the machine decide.
        overwrite: Replace a summary.json that autoseg did not write.

    Raises:
        WorkspaceError: Both are one folder, or `predictions` holds a task's own data or a summary.json of another program.
        DatasetError: The folders hold different names; both sides are listed.
        CasesFailed: Naming each case whose files cannot be compared.
    """
    if not overwrite:
        require_own_file(predictions / SUMMARY_FILE, is_summary)
        require_own_file(predictions / SUMMARY_TABLE_FILE, are_score_lines)
    cases, left_out = common_cases(predictions, references, scoring.counted) if scoring.common else (None, [])
    if left_out:
        log.warning("left out, for one of the folders lacks them: %s", first_few(left_out))
    summary = (
        score_folder(
            predictions,
            references,
            scoring.counted,
            workers=fitting_workers(workers, BYTES_PER_WORKER),
            cases=cases,
            surface_distances=scoring.surface_distances,
        )
        .without(scoring.undrawn)
        .with_facts(scoring.facts.by_case)
    )
    require_apart([predictions], {"the folder of the true labels; name that of the predictions": [references]})
    save_summary(summary, predictions / SUMMARY_FILE)
    save_score_lines(summary, predictions / SUMMARY_TABLE_FILE, scoring.names)
    return summary
