"""Predicting with what `autoseg_find_best_configuration` selected: one model, or several whose probabilities are averaged."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from autoseg.commands.prediction import (
    Failures,
    ModelChoice,
    PredictionSettings,
    first_stage,
    make_predictor,
    predict_with_model,
)
from autoseg.dataset import Case
from autoseg.errors import CasesFailed, ModelError, StorageError, WorkspaceError
from autoseg.files.layout import (
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    PREDICTION_FILE,
    SELECTION_FILE,
    ModelKey,
    predictions_folder,
)
from autoseg.machine import available_cores
from autoseg.parallel import run_on_cases
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.ensembling.averaging import EnsembleJob
    from autoseg.ensembling.selection import Selection
    from autoseg.inference.guard import InputGuard
    from autoseg.inference.model import TrainedModel

log = logging.getLogger(__name__)


def open_selection(task: str, model: ModelChoice, workspace: Workspace, *, best: bool) -> Selection | None:
    """The task's selection where it is wanted: asked for, or there while the user names no model.

    Raises:
        WorkspaceError: It is asked for, and another model too.
        ModelError: It is asked for and missing, or cannot be read.
    """
    from autoseg.ensembling.selection import load_selection
    from autoseg.ensembling.validation import changed_since

    path = workspace.task(task).selection
    unnamed = replace(model, task=None, trainer=None, plans=None) == ModelChoice()
    names_no_model = unnamed and model.plans in (None, DEFAULT_PLANS)
    if best and not names_no_model:
        raise WorkspaceError(
            "--best predicts with what was selected; leave out -m, -p, -f, -chk and -l, or leave out --best"
        )
    if not best and not (names_no_model and model.trainer in (None, DEFAULT_TRAINER) and path.is_file()):
        return None
    selection = load_selection(path)
    if selection.task != task:
        raise ModelError(
            f"{path}: was selected for {selection.task}, not for {task}; select anew with "
            f"autoseg_find_best_configuration -t {task}"
        )
    log.info("%s: predicting with the selection %s (%s)", task, selection.name, path)
    if changed := changed_since(selection, workspace, workers=available_cores()):
        log.warning(
            "%s: %s: trained or validated again, or scored against other labels, since this was selected; "
            "select anew with autoseg_find_best_configuration -t %s",
            path,
            ", ".join(changed),
            task,
        )
    return selection


def selected_models(selection: Selection, model: ModelChoice) -> list[ModelChoice]:
    """A choice for each member; the user's reference to a trainer's own file is kept where it names that trainer."""
    return [
        replace(
            model,
            configuration=member.configuration,
            trainer=model.trainer if model.key(selection.task).trainer == member.trainer else member.trainer,
            plans=member.plans,
            folds=member.folds,
        )
        for member in selection.members
    ]


def require_same_selection(
    folder: Path, selection: Selection | None, settings: PredictionSettings, outputs: Sequence[Path]
) -> None:
    """Refuse to fill up a folder in which something else predicted; of what is to be replaced the record goes.

    Whether one model's predictions are of the same model and settings, their own record says later.

    Raises:
        WorkspaceError: The folder holds predictions by another selection or by a single model, or other processes may
            be filling it by these; or a record there is none of ours.
        ModelError: The record there cannot be read.
    """
    from autoseg.outputs import holds_segmentations

    several, single = folder / SELECTION_FILE, folder / PREDICTION_FILE
    by_one = selection is None or len(selection.members) == 1
    if settings.overwrite or (settings.parts == 1 and not holds_segmentations(folder, outputs)):
        if not settings.overwrite:
            _require_records(several, single)
        (several if by_one else single).unlink(missing_ok=True)
    elif by_one:
        if several.is_file() and not single.is_file():
            raise _made_otherwise(several)
    elif selection and several.is_file() and not _is_recorded(_as_used(selection, settings), several):
        raise _made_otherwise(several)
    elif single.is_file() and not several.is_file():
        raise _made_otherwise(single)


def _require_records(several: Path, single: Path) -> None:
    """Refuse to replace files that only have a record's name."""
    from autoseg.ensembling.selection import is_selection
    from autoseg.inference.record import is_prediction_record
    from autoseg.outputs import require_own_file

    require_own_file(several, is_selection)
    require_own_file(single, is_prediction_record)


def predict_by_selection(
    selection: Selection,
    members: Sequence[tuple[ModelChoice, TrainedModel]],
    cases: Sequence[Case],
    outputs: Mapping[str, Path],
    workspace: Workspace,
    settings: PredictionSettings,
    *,
    work_folder: Path | None,
    guard: InputGuard,
) -> Failures:
    """Predict with all members, average, and postprocess as selected; returns the cases that failed.

    The members' own predictions lie in `<work folder>/<configuration>_predictions` until a case is averaged; of several
    models of one configuration trainer and plans stand there, too.
    """
    if work_folder is not None:
        _claim_folder(work_folder, _as_used(selection, settings), settings)
    if len(members) == 1:
        ((choice, trained),) = members
        trained = replace(trained, rules=selection.rules)
        failures = predict_with_model(
            trained, choice, cases, outputs, workspace, settings, work_folder=work_folder, guard=guard
        )
    else:
        failures = _predict_and_average(selection, members, cases, outputs, workspace, settings, work_folder, guard)
    return failures


def _claim_folder(folder: Path, selection: Selection, settings: PredictionSettings) -> None:
    """Write down by what a folder is predicted; of processes that share one the first decides for all."""
    from autoseg.ensembling.selection import save_selection
    from autoseg.files.locking import create_json

    several, single = folder / SELECTION_FILE, folder / PREDICTION_FILE
    if settings.parts > 1 and not settings.overwrite:
        created = create_json(several, selection)
        if created and len(selection.members) > 1 and single.is_file():  # a single model was as fast
            several.unlink()
            raise _made_otherwise(single)
        if not created and not _is_recorded(selection, several):
            raise _made_otherwise(several)
    save_selection(selection, several)


def _as_used(selection: Selection, settings: PredictionSettings) -> Selection:
    return selection if settings.postprocess else replace(selection, rules=())


def _is_recorded(selection: Selection, record: Path) -> bool:
    from autoseg.ensembling.selection import load_selection

    found = load_selection(record)
    return (found.task, found.members, found.rules) == (selection.task, selection.members, selection.rules)


def _made_otherwise(record: Path) -> WorkspaceError:
    return WorkspaceError(
        f"{record.parent}: holds predictions made with something else ({record.name} says with what); "
        "name another folder, or predict all of them again with --overwrite_existing"
    )


def _predict_and_average(
    selection: Selection,
    members: Sequence[tuple[ModelChoice, TrainedModel]],
    cases: Sequence[Case],
    outputs: Mapping[str, Path],
    workspace: Workspace,
    settings: PredictionSettings,
    work_folder: Path | None,
    guard: InputGuard,
) -> Failures:
    from autoseg.ensembling.averaging import EnsembleJob, averaging_hash, ensemble_case
    from autoseg.outputs import probabilities_file, require_one_origin

    rules = _as_used(selection, settings).rules
    model = averaging_hash(rules, _member_hashes(members, workspace, settings))
    if work_folder is not None:
        require_one_origin(work_folder, model, list(outputs.values()), overwrite=settings.overwrite)
    waiting, failures = _unfinished(cases, outputs, model, settings)
    with _work_folder(work_folder) as work:
        folders = [work / name for name in _folder_names([choice.key(selection.task) for choice, _ in members])]
        member_settings = replace(settings, save_npz=True, postprocess=False)
        for choice, trained, folder in _earlier_stages_first(members, folders):
            still = [case for case in cases if case.identifier in waiting and case.identifier not in failures]
            files = {case.identifier: folder / f"{case.identifier}.nii.gz" for case in still}
            failures |= dict(
                predict_with_model(
                    trained, choice, still, files, workspace, member_settings, work_folder=folder, guard=guard
                )
            )
        jobs = [
            EnsembleJob(
                identifier=case,
                members=tuple(probabilities_file(folder / f"{case}.nii.gz") for folder in folders),
                output=outputs[case],
                model=model,
                inputs=partial(str, inputs),
            )
            for case, inputs in waiting.items()
            if case not in failures
        ]
        average = partial(ensemble_case, rules=rules, probabilities=settings.save_npz)
        try:
            run_on_cases(average, jobs, task="averaging", workers=settings.export_threads)
        except CasesFailed as error:
            failures |= dict(error.failures)
        _remove_members([job for job in jobs if job.identifier not in failures], folders)
    return list(failures.items())


def _folder_names(models: Sequence[ModelKey]) -> list[str]:
    """A folder for each member's own predictions."""
    times = Counter(model.configuration for model in models)
    return [
        predictions_folder(model.name if times[model.configuration] > 1 else model.configuration) for model in models
    ]


def _key(choice: ModelChoice, trained: TrainedModel) -> ModelKey:
    return choice.key(trained.plans.dataset)


def _key_before(choice: ModelChoice, trained: TrainedModel) -> ModelKey | None:
    """The model that a cascade refines; None for other models."""
    previous = trained.plan.previous
    return None if previous is None else _key(choice, trained).of(previous)


def _member_hashes(
    members: Sequence[tuple[ModelChoice, TrainedModel]], workspace: Workspace, settings: PredictionSettings
) -> list[str]:
    """Of each member, and of the model that a cascade refines where that is no member itself."""
    from autoseg.inference.record import model_hash

    models = [trained for _, trained in members]
    known = {_key(choice, trained) for choice, trained in members}
    models += [
        first_stage(trained, workspace, choice)
        for choice, trained in members
        if _key_before(choice, trained) not in (None, *known)
    ]
    return [model_hash(make_predictor(trained, settings), ()) for trained in models]


def _unfinished(
    cases: Sequence[Case], outputs: Mapping[str, Path], model: str, settings: PredictionSettings
) -> tuple[dict[str, str], dict[str, str]]:
    """The cases to predict, each with its images' hash, and those whose images cannot be read, each with the cause."""
    from autoseg.inference.cases import is_finished
    from autoseg.outputs import hash_files, require_known_origin

    unknown = [] if settings.overwrite else require_known_origin(list(outputs.values()), model)
    waiting, failures = {}, {}
    for case in cases:
        output = outputs[case.identifier]
        try:
            inputs = hash_files(*case.image_paths)
        except StorageError as error:
            failures[case.identifier] = str(error)
            continue
        if settings.overwrite or (
            output not in unknown and not is_finished(output, model, partial(str, inputs), settings.save_npz)
        ):
            waiting[case.identifier] = inputs
    return waiting, failures


def _earlier_stages_first(
    members: Sequence[tuple[ModelChoice, TrainedModel]], folders: Sequence[Path]
) -> list[tuple[ModelChoice, TrainedModel, Path]]:
    """The members with their folders, a cascade after the member whose predictions it refines, where there is one."""
    by_model: dict[ModelKey | None, Path] = {
        _key(choice, trained): folder for (choice, trained), folder in zip(members, folders, strict=True)
    }
    ordered = sorted(zip(members, folders, strict=True), key=lambda member: member[0][1].plan.previous is not None)
    return [
        (replace(choice, lowres_segmentations=by_model.get(_key_before(choice, trained))), trained, folder)
        for (choice, trained), folder in ordered
    ]


@contextmanager
def _work_folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory() as temporary:
        yield Path(temporary)


def _remove_members(finished: Sequence[EnsembleJob], folders: Sequence[Path]) -> None:
    """Remove what the members predicted of finished cases, and the folders where nothing else is left."""
    for job in finished:
        for file in job.members:
            file.unlink(missing_ok=True)
            file.with_name(f"{job.identifier}.nii.gz").unlink(missing_ok=True)
    for folder in folders:
        if folder.is_dir() and {path.name for path in folder.iterdir()} <= {PREDICTION_FILE}:
            (folder / PREDICTION_FILE).unlink(missing_ok=True)
            with suppress(OSError):  # another process, with another part of the cases, still needs it
                folder.rmdir()
