"""What training left of a task's cross-validation, found in the workspace; what is missing, with the command that makes it."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import autoseg
from autoseg.commands.models import trainer_class_name
from autoseg.dataset.splits import Split, read_patients
from autoseg.dataset.target import Target
from autoseg.errors import ModelError, StorageError, WorkspaceError
from autoseg.files.storage import read_json
from autoseg.images import split_ending
from autoseg.paths import Workspace, fold_dir
from autoseg.plans import CONFIGURATIONS, DEFAULT_IDENTIFIER, load_plans
from autoseg.words import counted, first_few

if TYPE_CHECKING:
    from autoseg.ensembling.selection import Selection
    from autoseg.postprocessing.scoring import ValidationCase

log = logging.getLogger(__name__)

VALIDATION = "validation_raw"
PLANS = "plans.pkl"
WEIGHTS = "weights_final.pt"
USUAL_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A trained model as a user names it.

    Attributes:
        trainer: `Trainer`, or `my_file.py:MyTrainer`.
    """

    configuration: str
    trainer: str
    identifier: str

    @property
    def trainer_class(self) -> str:
        """The class's name."""
        return trainer_class_name(self.trainer)

    @property
    def full(self) -> str:
        """A name that tells it from every other model of the task, and can be a folder's."""
        return f"{self.configuration}__{self.trainer_class}__{self.identifier}"

    def training_words(self, task: str, fold: str, *options: str) -> tuple[str, ...]:
        """The command line that trains a fold, or does what the options say."""
        plans = () if self.identifier == DEFAULT_IDENTIFIER else ("-p", self.identifier)
        return ("autoseg_train", self.configuration, self.trainer, task, fold, *options, *plans)

    def training_command(self, task: str, fold: str, *options: str) -> str:
        """The same in one line."""
        return shlex.join(self.training_words(task, fold, *options))


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """The validation predictions of a model.

    Attributes:
        folder: The model's.
        target: What the model predicts.
        folds: Those that have predictions.
        cases: In order of folds and identifiers.
        missing: A line for each fold that is not complete, with the command that completes it.
    """

    model: ModelName
    folder: Path
    target: Target
    folds: tuple[str, ...]
    cases: tuple[ValidationCase, ...]
    missing: tuple[str, ...]


def collect(task: str, workspace: Workspace, model: ModelName, folds: Sequence[str] | None = None) -> CrossValidation:
    """Find a model's validation predictions and the references they are scored against.

    Args:
        folds: Numbers; None for all that the splits have.

    Raises:
        WorkspaceError: References are missing.
        TrainingError: patients.json cannot be read.
        PlanError: The model's plans are damaged.
    """
    folder = workspace.model_dir(task, model.configuration, model.trainer_class, model.identifier)
    splits = _splits(workspace.splits_file(task))
    wanted = folds or [str(number) for number in range(len(splits) or USUAL_FOLDS)]
    patients = read_patients(workspace.patients_file(task))
    cases: list[ValidationCase] = []
    missing: list[str] = []
    for fold in wanted:
        split = splits[int(fold)] if int(fold) < len(splits) else None
        expected = None if split is None else split.validation
        if split is not None and (seen := _seen_in_training(fold_dir(folder, fold), split)):
            missing.append(_trained_otherwise(task, model, fold, seen))
            continue
        found = list(_fold_cases(folder, fold, expected, workspace.reference_dir(task), patients))
        cases += found
        if split is not None and found:
            _warn_of_other_cases(model, fold, folder, split)
        if not found or (expected is not None and len(found) < len(expected)):
            missing.append(_what_is_missing(task, model, folder, fold, len(found), expected))
    return CrossValidation(
        model=model,
        folder=folder,
        target=load_plans(folder / PLANS).target,
        folds=tuple(dict.fromkeys(case.fold for case in cases)),
        cases=tuple(cases),
        missing=tuple(missing),
    )


def find_models(
    task: str,
    workspace: Workspace,
    configurations: Sequence[str] | None,
    trainers: Sequence[str],
    identifiers: Sequence[str],
) -> list[ModelName]:
    """The models that are named, or with no configuration named all that were trained.

    Raises:
        WorkspaceError: One that is named was never trained, or none was; the command that trains it is given.
    """
    by_configuration: dict[str, list[ModelName]] = {}
    for configuration in [name for name in CONFIGURATIONS if configurations is None or name in configurations]:
        models = [
            ModelName(configuration=configuration, trainer=trainer, identifier=identifier)
            for trainer in dict.fromkeys(trainers)
            for identifier in dict.fromkeys(identifiers)
        ]
        by_configuration[configuration] = [model for model in models if _is_trained(task, workspace, model)]
    found = [model for models in by_configuration.values() for model in models]
    absent = [name for name, models in by_configuration.items() if not models]
    if (configurations is not None and absent) or not found:
        first = ModelName(configuration=absent[0], trainer=trainers[0], identifier=identifiers[0])
        raise WorkspaceError(
            f"{task}: no {' or '.join(absent)} by {' or '.join(trainers)} with plans {' or '.join(identifiers)} is trained "
            f"in {workspace.results}; train every fold, {first.training_command(task, '0', '--npz')}, "
            "or name other models with -m, -tr and -p"
        )
    return found


def changed_since(selection: Selection, workspace: Workspace, *, workers: int) -> list[str]:
    """The members of a selection whose validation is no longer what they were selected by.

    One that was never validated here, as an installed model, is not among them; nor is anything known of a selection
    by another version.
    """
    if selection.version != autoseg.__version__:
        return []
    return [
        model.full
        for member in selection.members
        for model in [ModelName(configuration=member.configuration, trainer=member.trainer, identifier=member.plans)]
        for known in [selection.sources.get(model.full, selection.sources.get(model.configuration))]
        if known is not None
        and _sources(selection.task, workspace, model, member.folds, workers=workers) not in ("", known)
    ]


def _sources(task: str, workspace: Workspace, model: ModelName, folds: Sequence[str], *, workers: int) -> str | None:
    """Hash of what a model's score is made from; empty where it was never validated here, None where that is incomplete."""
    from autoseg.postprocessing.choice import sources_hash

    folder = workspace.model_dir(task, model.configuration, model.trainer_class, model.identifier)
    if not any(folder.glob(f"fold_*/{VALIDATION}/*.nii.gz")):
        return ""
    try:
        validation = collect(task, workspace, model, folds)
    except WorkspaceError:
        return None
    return sources_hash(validation.cases, validation.target.scored, workers=workers)


def require_one_set_of_labels(validations: Sequence[CrossValidation]) -> range:
    """The label values above background, which all models must share.

    Raises:
        ModelError: Two models have other labels.
    """
    first = validations[0]
    for other in validations[1:]:
        if other.target != first.target:
            ours, theirs = (", ".join(model.target.outputs) for model in (first, other))
            raise ModelError(
                f"{first.folder} has the labels {ours}, but {other.folder} {theirs}; "
                "only models of the same labels can be compared"
            )
    return first.target.scored


def _is_trained(task: str, workspace: Workspace, model: ModelName) -> bool:
    return (workspace.model_dir(task, model.configuration, model.trainer_class, model.identifier) / PLANS).is_file()


def _fold_cases(
    folder: Path, fold: str, expected: Sequence[str] | None, references: Path, patients: Mapping[str, str]
) -> Iterator[ValidationCase]:
    """The predictions that a fold's weights made, as they are now; where the split is known, of its cases only."""
    from autoseg.inference.record import predicted_with
    from autoseg.postprocessing.scoring import ValidationCase

    predictions = fold_dir(folder, fold) / VALIDATION
    paths = sorted(path for path in predictions.glob("*.nii.gz") if not path.name.startswith("."))
    for path in predicted_with(paths, fold_dir(folder, fold) / WEIGHTS):
        name, identifier = path.name, split_ending(path.name)[0]
        if expected is not None and identifier not in expected:
            continue
        reference = references / name
        if not reference.is_file():
            raise WorkspaceError(
                f"{reference}: no reference for {predictions / name}; run autoseg_plan_and_preprocess, which copies them"
            )
        yield ValidationCase(
            identifier=identifier,
            fold=fold,
            patient=patients.get(identifier, identifier),
            prediction=predictions / name,
            reference=reference,
        )


def _what_is_missing(
    task: str, model: ModelName, folder: Path, fold: str, found: int, expected: Sequence[str] | None
) -> str:
    trained = (fold_dir(folder, fold) / WEIGHTS).is_file()
    command = model.training_command(task, fold, *(("-val",) if trained else ()), "--npz")
    none = "no predictions by the weights that are there" if trained else "no predictions"
    what = f"{found} of {counted(len(expected or ()), 'prediction')}" if found else none
    return f"{model.full} fold {fold}: {what}; {command}"


def _trained_otherwise(task: str, model: ModelName, fold: str, seen: Sequence[str]) -> str:
    return (
        f"{model.full} fold {fold}: was trained on {first_few(seen)}, which splits_final.json now has among its validation "
        f"cases, so it cannot be compared; {model.training_command(task, fold, '--overwrite', '--npz')}"
    )


def _seen_in_training(fold: Path, split: Split) -> list[str]:
    """The validation cases that a fold was trained on, as when folds were made anew since."""
    from autoseg.training.run_record import trained_cases

    return sorted(set(trained_cases(fold)) & set(split.validation))


def _warn_of_other_cases(model: ModelName, fold: str, folder: Path, split: Split) -> None:
    """Models of other cases are compared, but not in silence."""
    from autoseg.training.run_record import trained_cases

    trained = set(trained_cases(fold_dir(folder, fold)))
    if trained and trained != set(split.training):
        log.warning(
            "%s fold %s: was trained on other cases than splits_final.json has now: %s",
            model.full,
            fold,
            first_few(sorted(trained ^ set(split.training))),
        )


def _splits(path: Path) -> list[Split]:
    """The folds; empty where there is no file, as for a model that was installed."""
    if not path.is_file():
        return []
    try:
        return [
            Split(training=tuple(entry.get("train", ())), validation=tuple(entry["val"])) for entry in read_json(path)
        ]
    except (StorageError, KeyError, TypeError, AttributeError) as error:
        raise WorkspaceError(
            f'{path}: expected a list of objects such as {{"train": ["a"], "val": ["b"]}} ({error}); put it right'
        ) from error
