"""The best of a task's models, or of their pairs, by cross-validation: what is compared, and what is written of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from autoseg.command_words import training_command
from autoseg.ensembling.candidates import Candidate, Outcome, select
from autoseg.ensembling.fused_models import fuse_models
from autoseg.ensembling.pairs import case_probabilities, ensemble_validation, hash_probabilities
from autoseg.ensembling.prediction_commands import prediction_commands
from autoseg.ensembling.selection import Member, save_selection
from autoseg.ensembling.table import write_table
from autoseg.ensembling.validation import CrossValidation, require_one_target
from autoseg.errors import WorkspaceError
from autoseg.files.layout import FUSION_FILE, POSTPROCESSING_FILE
from autoseg.files.storage import write_bytes
from autoseg.files.task_folder import TaskFolder
from autoseg.inference.fusion_record import load_fusion
from autoseg.machine.pool import fitting_workers
from autoseg.paths import Workspace
from autoseg.plans import load_plans
from autoseg.postprocessing.deciding import BYTES_PER_WORKER


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSettings:
    """How models are compared.

    Attributes:
        strict: A fold that is missing is an error.
        ensembling: Compare pairs of models, too.
        postprocessing: Choose rules for each candidate; without, all are compared as they were predicted.
        workers: Processes; None lets the machine decide.
        everywhere: Options that each of the command lines gets which predict with it, as `--home DIR`.
    """

    strict: bool = False
    ensembling: bool = True
    postprocessing: bool = True
    workers: int | None = None
    everywhere: tuple[str, ...] = ()


def find_best_configuration(
    validations: Sequence[CrossValidation], workspace: Workspace, settings: SelectionSettings | None = None
) -> Outcome:
    """Select among a task's trained models and their pairs. Written are `summary.csv` with what every candidate scored, the
    command lines that predict with what was selected, and last `selection.json`, which says that the rest is there.

    Raises:
        WorkspaceError: Folds are missing (with `strict`, any; else all), or probabilities for ensembles.
        ModelError: Models differ in their labels, or no case was predicted by all.
        CasesFailed: Naming the cases that cannot be read or compared.
    """
    settings = settings or SelectionSettings()
    outcome = _compare(validations, workspace, settings)
    task = workspace.task(outcome.selection.task)
    commands = prediction_commands(
        outcome.selection,
        workspace,
        trainers={one.model.key.trainer: one.model.key.named_trainer for one in validations},
        postprocessing=outcome.winner.postprocessing if settings.postprocessing else None,
        everywhere=settings.everywhere,
    )
    write_bytes(task.commands, ("\n".join(commands) + "\n").encode())
    write_table(outcome, validations[0].target, task.candidates)
    save_selection(outcome.selection, task.selection)
    return outcome


def _compare(validations: Sequence[CrossValidation], workspace: Workspace, settings: SelectionSettings) -> Outcome:
    task, target = validations[0].model.key.task, require_one_target(validations)
    incomplete = [line for validation in validations for line in validation.missing]
    validated = [validation for validation in validations if validation.cases]
    if incomplete and (settings.strict or not validated):
        raise WorkspaceError(f"{task}: the cross-validation is not complete\n" + _indented(incomplete))
    count = fitting_workers(settings.workers, BYTES_PER_WORKER)
    candidates = _single_candidates(validated)
    if settings.ensembling:
        singles = tuple(candidates)
        candidates += _pairs(validated, singles, workspace.task(task), workers=count)
        candidates += _fused(validated, singles, workspace.task(task), workers=count)
    return select(
        candidates, target, task=task, postprocess=settings.postprocessing, incomplete=incomplete, workers=count
    )


def _single_candidates(validations: Sequence[CrossValidation]) -> list[Candidate]:
    several = len({(one.model.key.trainer, one.model.key.plans) for one in validations}) > 1
    return [
        Candidate(
            name=one.model.key.name if several else one.model.key.configuration,
            members=(
                Member(
                    configuration=one.model.key.configuration,
                    trainer=one.model.key.trainer,
                    plans=one.model.key.plans,
                    folds=one.folds,
                ),
            ),
            cases=one.cases,
            postprocessing=one.model.postprocessing,
            costs=(load_plans(one.model.plans_file).configuration(one.model.key.configuration).cost,),
        )
        for one in validations
    ]


def _pairs(
    validations: Sequence[CrossValidation], singles: Sequence[Candidate], task: TaskFolder, *, workers: int
) -> list[Candidate]:
    if len(validations) < 2:
        return []
    _require_probabilities(validations, task.name)
    hashes = {
        path: digest for one in validations for path, digest in hash_probabilities(one.cases, workers=workers).items()
    }
    pairs = []
    for (first, second), (one, other) in zip(combinations(validations, 2), combinations(singles, 2), strict=True):
        work = task.pair(first.model.key, second.model.key)
        cases = ensemble_validation((first.cases, second.cases), work, hashes, first.target, workers=workers)
        pairs.append(
            Candidate(
                name=f"{one.name}+{other.name}",
                members=one.members + other.members,
                cases=cases,
                postprocessing=work / POSTPROCESSING_FILE,
                costs=one.costs + other.costs,
            )
        )
    return pairs


def _fused(
    validations: Sequence[CrossValidation], singles: Sequence[Candidate], task: TaskFolder, *, workers: int
) -> list[Candidate]:
    """Models whose weights in what they say together were fitted before; they are fitted anew to what is there now."""
    fused = []
    by_name = {one.model.key.name: number for number, one in enumerate(validations)}
    for folder in task.fusion_folders():
        names = load_fusion(folder / FUSION_FILE).fusion.sources
        if not by_name.keys() >= set(names):
            continue
        numbers = [by_name[name] for name in names]
        found = fuse_models([validations[number] for number in numbers], task, workers=workers)
        fused.append(
            Candidate(
                name="fused " + "+".join(singles[number].name for number in numbers),
                members=tuple(member for number in numbers for member in singles[number].members),
                cases=found.cases,
                postprocessing=folder / POSTPROCESSING_FILE,
                costs=tuple(cost for number in numbers for cost in singles[number].costs),
                fusion=found.record.fusion,
            )
        )
    return fused


def _require_probabilities(validations: Sequence[CrossValidation], task: str) -> None:
    commands = [
        training_command(one.model.key, fold, "-val", "--npz")
        for one in validations
        for fold in one.folds
        if any(not case_probabilities(case).is_file() for case in one.cases if case.fold == fold)
    ]
    if commands:
        raise WorkspaceError(
            f"{task}: ensembles are made of the validation's probabilities (<case>.npz), which are missing; run\n"
            + _indented(commands)
            + "\nor leave ensembles out with `ensembling=False`"
        )


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)
