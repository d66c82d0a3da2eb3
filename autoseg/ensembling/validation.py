"""What training left of a task's cross-validation, found in the workspace; what is missing, with the command that makes it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import autoseg
from autoseg.command_words import training_command
from autoseg.dataset.description import known_annotations, known_facts
from autoseg.dataset.folds import Split
from autoseg.dataset.splits import read_splits
from autoseg.dataset.target import Target
from autoseg.dataset.task_folds import numbered_folds
from autoseg.ensembling.selection import Selection
from autoseg.errors import ModelError, TrainingError, WorkspaceError
from autoseg.evaluation.case_files import cases_in, references_of
from autoseg.files.layout import (
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    USUAL_CONFIGURATIONS,
    configurations_in,
    fold_name,
    in_usual_order,
)
from autoseg.files.model_folder import FoldFolder, ModelFolder, ModelKey
from autoseg.images import split_ending
from autoseg.inference.fusion_record import FUSED, is_in_force, load_fusion
from autoseg.inference.model import networks_of
from autoseg.inference.record import predicted_with
from autoseg.machine.pool import fitting_workers
from autoseg.paths import Workspace
from autoseg.plans import load_plans
from autoseg.postprocessing.choice import sources_hash
from autoseg.postprocessing.deciding import BYTES_PER_WORKER, decide_postprocessing, is_own
from autoseg.postprocessing.evidence import Choice
from autoseg.postprocessing.rules import Rule
from autoseg.postprocessing.scoring import ValidationCase
from autoseg.words import counted, first_few

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """The validation predictions of a model.

    Attributes:
        target: What the model predicts.
        folds: Those that have predictions.
        cases: In order of folds and identifiers.
        missing: A line for each fold that is not complete, with the command that completes it.
    """

    model: ModelFolder
    target: Target
    folds: tuple[str, ...]
    cases: tuple[ValidationCase, ...]
    missing: tuple[str, ...]


def collect(key: ModelKey, workspace: Workspace, folds: Sequence[str] | None = None) -> CrossValidation:
    """What a model would be shipped with predicted in validation: where its views are fused, what they say together.

    Args and Raises: See `collect_predicted`.
    """
    predicted = collect_predicted(key, workspace, folds)
    record = load_fusion(predicted.model.fusion) if predicted.model.fusion.is_file() else None
    if record is None or not is_in_force(record, predicted.model.fusion, networks_of(predicted.model, record.networks)):
        return predicted
    return replace(predicted, cases=_fused(predicted))


def collect_predicted(key: ModelKey, workspace: Workspace, folds: Sequence[str] | None = None) -> CrossValidation:
    """Find a model's validation predictions and the references they are scored against.

    Args:
        folds: Numbers; None for all that the splits have.

    Raises:
        WorkspaceError: References are missing.
        TrainingError: The splits are damaged.
        DatasetError: What is known of the cases cannot be read.
        PlanError: The model's plans are damaged.
    """
    model, task = workspace.model(key), key.task
    file = workspace.task(task).splits
    splits = read_splits(file) if file.is_file() else ()  # a model that was installed has none here
    wanted = tuple(dict.fromkeys(folds or numbered_folds(workspace.task(task))))
    facts = known_facts(workspace.task(task).raw)
    target = load_plans(model.plans_file).target
    annotated = known_annotations(workspace.task(task).raw)
    cases: list[ValidationCase] = []
    missing: list[str] = []
    for fold in wanted:
        split = splits[int(fold)] if int(fold) < len(splits) else None
        expected = None if split is None else split.validation
        if split is not None and (seen := _seen_in_training(model.fold(fold), split)):
            missing.append(_trained_otherwise(key, fold, seen))
            continue
        predicted = _fold_predictions(model, fold, target)
        found = [
            ValidationCase(
                identifier=identifier,
                fold=fold,
                patient=facts.patient(identifier),
                predictions=files,
                references=references_of(identifier, workspace.task(task).references, target, files[0].parent),
                undrawn=target.undrawn(annotated.get(identifier)),
            )
            for identifier, files in predicted.items()
            if expected is None or identifier in expected
        ]
        cases += found
        if split is not None and found:
            _warn_of_other_cases(model, fold, split)
        if not found or (expected is not None and len(found) < len(expected)):
            missing.append(_what_is_missing(model, fold, len(found), expected))
    return CrossValidation(
        model=model,
        target=target,
        folds=tuple(dict.fromkeys(case.fold for case in cases)),
        cases=tuple(cases),
        missing=tuple(missing),
    )


def choose_models(
    task: str,
    workspace: Workspace,
    configurations: Sequence[str] | None = None,
    trainers: Sequence[str] = (DEFAULT_TRAINER,),
    plans: Sequence[str] = (DEFAULT_PLANS,),
) -> list[ModelKey]:
    """The models that are named, or with no configuration named all that were trained.

    Raises:
        WorkspaceError: One that is named was never trained, or none was; the command that trains it is given.
    """
    by_configuration: dict[str, list[ModelKey]] = {}
    usual = (*USUAL_CONFIGURATIONS, *configurations_in(workspace.results))
    for configuration in in_usual_order(usual if configurations is None else configurations):
        models = [
            ModelKey.named(task, configuration, trainer, name)
            for trainer in dict.fromkeys(trainers)
            for name in dict.fromkeys(plans)
        ]
        by_configuration[configuration] = [model for model in models if workspace.model(model).plans_file.is_file()]
    found = [model for models in by_configuration.values() for model in models]
    absent = [name for name, models in by_configuration.items() if not models]
    if (configurations is not None and absent) or not found:
        first = ModelKey.named(task, absent[0], trainers[0], plans[0])
        raise WorkspaceError(
            f"{task}: no {' or '.join(absent)} by {' or '.join(trainers)} with plans {' or '.join(plans)} is trained "
            f"in {workspace.results}; train every fold, {training_command(first, '0', '--npz')}, "
            "or name other models with `configurations`, `trainers` and `plans`"
        )
    return found


def determine_postprocessing(
    validation: CrossValidation,
    *,
    candidates: Sequence[Rule] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
) -> Choice:
    """Choose a model's postprocessing and write it into its folder.

    Args:
        candidates: A user's own rules to try.

    Raises:
        WorkspaceError: Nothing was validated, or there is a user's own file that is not to be overwritten.
    """
    path = validation.model.postprocessing
    if not validation.cases:
        raise WorkspaceError(f"{validation.model.folder}: nothing to choose on\n" + "\n".join(validation.missing))
    if is_own(path) and not overwrite:
        raise WorkspaceError(
            f"{path}: holds rules without evidence, so somebody wrote them; they are applied as they are. "
            "Give `overwrite=True` to have rules chosen instead, or `candidates=..., overwrite=True` to have these judged"
        )
    return decide_postprocessing(
        path,
        validation.cases,
        validation.target,
        workers=fitting_workers(workers, BYTES_PER_WORKER),
        candidates=candidates,
        overwrite=overwrite,
    )


def changed_since(selection: Selection, workspace: Workspace, *, workers: int) -> list[str]:
    """The members of a selection whose validation is no longer what they were selected by.

    One that was never validated here, as an installed model, is not among them; nor is anything known of a selection
    by another version.
    """
    if selection.version != autoseg.__version__:
        return []
    return [
        key.name
        for member in selection.members
        for key in [member.key(selection.task)]
        for known in [selection.sources.get(key.name, selection.sources.get(key.configuration))]
        if known is not None and _sources(key, workspace, member.folds, workers=workers) not in ("", known)
    ]


def _sources(key: ModelKey, workspace: Workspace, folds: Sequence[str], *, workers: int) -> str | None:
    """Hash of what a model's score is made from; empty where it was never validated here, None where that is incomplete."""
    if not workspace.model(key).validated_cases():
        return ""
    try:
        validation = collect(key, workspace, folds)
    except (WorkspaceError, TrainingError):
        return None
    return sources_hash(validation.cases, validation.target, workers=workers)


def require_one_target(validations: Sequence[CrossValidation]) -> Target:
    """What all models predict.

    Raises:
        ModelError: Two models have other labels.
    """
    first = validations[0]
    for other in validations[1:]:
        if other.target != first.target:
            ours, theirs = (", ".join(model.target.outputs) for model in (first, other))
            raise ModelError(
                f"{first.model.folder} has the labels {ours}, but {other.model.folder} {theirs}; "
                "only models of the same labels can be compared"
            )
    return first.target


def require_cases(validation: CrossValidation) -> None:
    """Refuse a model of which nothing was validated.

    Raises:
        WorkspaceError: With what is missing.
    """
    if not validation.cases:
        lines = "".join(f"\n  {line}" for line in validation.missing)
        raise WorkspaceError(f"{validation.model.folder}: nothing was validated{lines}")


def _fold_predictions(model: ModelFolder, fold: str, target: Target) -> Mapping[str, tuple[Path, ...]]:
    """The files of each case that a fold's weights predicted, as they are now; of masks, where all are there."""
    trained = model.fold(fold)
    made = {split_ending(path.name)[0]: path for path in predicted_with(trained.validated_cases(), trained.weights())}
    names = {case: target.files_of(case) for case in cases_in(made, target)}
    return {case: tuple(made[name] for name in files) for case, files in names.items() if made.keys() >= set(files)}


def _fused(validation: CrossValidation) -> tuple[ValidationCase, ...]:
    """The cases with what was predicted of them by views that were fused."""
    model = validation.model
    folders = {fold: model.fused_validation / FUSED / fold_name(fold) for fold in validation.folds}
    fused = tuple(
        replace(case, predictions=tuple(folders[case.fold] / path.name for path in case.predictions))
        for case in validation.cases
    )
    if missing := sorted(case.identifier for case in fused if not all(path.is_file() for path in case.predictions)):
        raise WorkspaceError(
            f"{model.fusion}: views are fused, but not those of {first_few(missing)}; run autoseg_train_fusion for this "
            "model again, or delete the file"
        )
    return fused


def _what_is_missing(model: ModelFolder, fold: str, found: int, expected: Sequence[str] | None) -> str:
    trained = model.fold(fold).weights().is_file()
    command = training_command(model.key, fold, *(("-val",) if trained else ()), "--npz")
    none = "no predictions by the weights that are there" if trained else "no predictions"
    what = f"{found} of {counted(len(expected or ()), 'prediction')}" if found else none
    return f"{model.key.name} fold {fold}: {what}; {command}"


def _trained_otherwise(key: ModelKey, fold: str, seen: Sequence[str]) -> str:
    return (
        f"{key.name} fold {fold}: was trained on {first_few(seen)}, which splits_final.json now has among its validation "
        f"cases, so it cannot be compared; {training_command(key, fold, '--overwrite', '--npz')}"
    )


def _trained_cases(fold: FoldFolder) -> set[str]:
    """Imported when it is asked: a prediction takes a selection's models without all that trains."""
    from autoseg.training.fold.run_record import trained_cases

    return set(trained_cases(fold))


def _seen_in_training(fold: FoldFolder, split: Split) -> list[str]:
    """The validation cases that a fold was trained on, as when folds were made anew since."""
    return sorted(_trained_cases(fold) & set(split.validation))


def _warn_of_other_cases(model: ModelFolder, fold: str, split: Split) -> None:
    """Models of other cases are compared, but not in silence."""
    trained = _trained_cases(model.fold(fold))
    if trained and trained != set(split.training):
        log.warning(
            "%s fold %s: was trained on other cases than splits_final.json has now: %s",
            model.key.name,
            fold,
            first_few(sorted(trained ^ set(split.training))),
        )
