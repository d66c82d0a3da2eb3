"""The trainer of one fold, with everything it needs from a workspace."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields, replace

from autoseg.dataset import read_dataset
from autoseg.dataset.description import known_facts
from autoseg.dataset.splits import open_split, open_splits
from autoseg.errors import TrainingError
from autoseg.files.layout import ALL, DATASET_FILE
from autoseg.files.model_folder import ModelKey
from autoseg.paths import Workspace
from autoseg.planning.planned import load_planned
from autoseg.preprocessing.previous import PreviousMaps
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.choice import find_trainer
from autoseg.training.fold.data import FoldData
from autoseg.training.fold.run_record import trained_cases
from autoseg.training.previous_stage import PreviousStage, find_predictions
from autoseg.training.settings import TrainingSettings
from autoseg.training.several_tasks import DataOfTasks
from autoseg.training.trainer import Trainer
from autoseg.words import agreeing, counted, first_few

log = logging.getLogger(__name__)


def build_trainer(
    key: ModelKey, fold: str, workspace: Workspace, *, settings: TrainingSettings, device: str | None = None
) -> Trainer:
    """The trainer of one fold, with everything it needs from the workspace; nothing is trained yet.

    Raises:
        PlanError: The configuration is not planned.
        TrainingError: Cases are not prepared, the fold does not exist, or a cascade lacks predictions to refine.
        ExtensionError: There is no such trainer, or its recipe file does not hold a recipe.
    """
    chosen = find_trainer(key.named_trainer)
    data = data_of_fold(key, fold, workspace)
    if chosen.recipe.tasks:
        data = _with_others(data, key, fold, workspace, chosen.recipe.tasks)
    return chosen.build(data, settings=settings, device=device)


def _with_others(data: FoldData, key: ModelKey, fold: str, workspace: Workspace, named: Sequence[str]) -> DataOfTasks:
    """A task's data with those of the others that a recipe trains at once with it."""
    tasks = [workspace.find_task(name) for name in named]
    if key.task not in tasks:
        raise TrainingError(
            f"{key.trainer}: trains {' and '.join(tasks)} at once, and {key.task} is none of them; name one of those, or add it "
            "to the recipe's tasks"
        )
    if len(set(tasks)) < len(tasks):
        raise TrainingError(f"{key.trainer}: tasks: each once, found {', '.join(named)}, which are {', '.join(tasks)}")
    others = [data_of_fold(replace(key, task=task), fold, workspace) for task in tasks if task != key.task]
    return DataOfTasks(**{one.name: getattr(data, one.name) for one in fields(data)}, others=tuple(others))


def data_of_fold(key: ModelKey, fold: str, workspace: Workspace) -> FoldData:
    """What a fold is trained and scored on.

    Raises:
        PlanError: The configuration is not planned.
        TrainingError: Cases are not prepared, the fold does not exist, or a cascade lacks predictions to refine.
    """
    task, model = key.task, workspace.model(key)
    plans = load_planned(key, workspace)
    plan = plans.configuration(key.configuration)
    facts, splits = known_facts(workspace.task(task).raw), workspace.task(task).splits
    for remark in facts.remarks:
        log.warning("%s", remark)
    cases = PreparedCases(workspace.task(task).prepared(plan.prepared_as, key.plans), facts.by_case)
    identifiers = _training_cases(task, workspace, cases)
    split = open_split(splits, identifiers, fold, facts=facts)
    previous = None
    if plan.previous is not None:
        before = workspace.model(key.of(plan.previous))
        folds = open_splits(splits, identifiers, facts=facts)
        seen = [*split.training, *split.validation]
        predictions = find_predictions(before, folds, seen, plans.target)
        previous = PreviousStage(predictions=predictions, maps=PreviousMaps(model.previous_stage))
    return FoldData(
        plans=plans,
        configuration=key.configuration,
        cases=cases,
        split=split,
        output=model.fold(fold).folder,
        references=workspace.task(task).references,
        previous=previous,
    )


def require_left_out(trainer: Trainer) -> None:
    """Refuse to score a fold on cases that it was trained on, as when folds were made anew since."""
    if trainer.fold.fold == ALL:
        return
    for one in trainer.together:
        if seen := sorted(set(trained_cases(one.fold)) & set(one.split.validation)):
            raise TrainingError(
                f"{one.output}: was trained on {first_few(seen)}, which splits_final.json now has among its validation cases, "
                "so its scores would be too good; train it anew with `overwrite=True`, or put the file back that it was trained by"
            )


def _training_cases(task: str, workspace: Workspace, cases: PreparedCases) -> tuple[str, ...]:
    """The dataset's cases, which must all be prepared; where the raw data are elsewhere, those that are prepared."""
    prepared = cases.identifiers()
    raw = workspace.task(task).raw
    listed = (
        tuple(case.identifier for case in read_dataset(raw).training) if (raw / DATASET_FILE).is_file() else prepared
    )
    missing = sorted(set(listed) - set(prepared))
    if missing or not listed:
        names = f" ({first_few(missing)})" if missing else ""
        raise TrainingError(
            f"{cases.folder}: {len(prepared)} of {counted(len(listed), 'case')} "
            f"{agreeing(len(prepared), 'is', 'are')} prepared here{names}; "
            "run autoseg_plan_and_preprocess first"
        )
    return listed
