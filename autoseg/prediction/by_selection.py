"""Predicting with what was selected for a task: one model, or several whose probabilities are averaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from autoseg.dataset.target import Target
from autoseg.ensembling.averaging import EnsembleJob, averaging_hash, ensemble_case
from autoseg.ensembling.selection import Selection
from autoseg.errors import CasesFailed, StorageError
from autoseg.files.layout import PREDICTION_FILE, predictions_folder
from autoseg.files.model_folder import ModelKey
from autoseg.inference.cases import is_finished
from autoseg.inference.predictor import Predictor
from autoseg.inference.record import model_hash
from autoseg.inference.settings import Failures, PredictionRun
from autoseg.machine.pool import run_on_cases
from autoseg.outputs import hash_files, label_files, probabilities_file, require_known_origin, require_one_origin
from autoseg.paths import Workspace
from autoseg.prediction.choice import ChosenModel, first_stage
from autoseg.prediction.folder import as_used, claim_folder
from autoseg.prediction.run import predict_with_model


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A model with the folder of its own predictions."""

    model: ChosenModel
    folder: Path


def predict_by_selection(
    selection: Selection, models: Sequence[ChosenModel], run: PredictionRun, workspace: Workspace
) -> Failures:
    """Predict with all members, average, and postprocess as selected; returns the cases that failed.

    The members' own predictions lie in `<folder>/<configuration>_predictions` until a case is averaged; of several
    models of one configuration trainer and plans stand there, too.
    """
    used = as_used(selection, run.settings)
    if run.folder is not None:
        claim_folder(run.folder, used, run.settings)
    if len(models) > 1:
        return _predict_and_average(used, models, run, workspace)
    (only,) = models
    return predict_with_model(replace(only, trained=replace(only.trained, rules=selection.rules)), run, workspace)


def _predict_and_average(
    selection: Selection, models: Sequence[ChosenModel], run: PredictionRun, workspace: Workspace
) -> Failures:
    model = averaging_hash(selection.rules, _model_hashes(models, run, workspace), selection.fusion)
    target = models[0].trained.target
    files = {output: label_files(output, target) for output in run.files}
    if run.folder is not None:
        outputs = [path for of_case in files.values() for path in of_case]
        require_one_origin(run.folder, model, outputs, overwrite=run.settings.overwrite)
    waiting, failures = _unfinished(run, model, files)
    with _work_folder(run.folder) as work:
        names = _folder_names([one.key for one in models])
        members = [_Member(model=one, folder=work / name) for one, name in zip(models, names, strict=True)]
        wanted = replace(run, cases=[case for case in run.cases if case.identifier in waiting])
        for member in _earlier_stages_first(members):
            still = wanted.without(list(failures.items()))
            into = still.into(member.folder, save_npz=True, postprocess=False)
            failures |= dict(predict_with_model(member.model, into, workspace))
        jobs = [
            EnsembleJob(
                identifier=case,
                members=tuple(probabilities_file(member.folder / f"{case}.nii.gz") for member in members),
                output=run.outputs[case],
                model=model,
                inputs=partial(str, inputs),
                fusion=selection.fusion,
            )
            for case, inputs in waiting.items()
            if case not in failures
        ]
        average = partial(ensemble_case, rules=selection.rules, probabilities=run.settings.save_npz)
        try:
            run_on_cases(average, jobs, task="averaging", workers=run.settings.export_threads)
        except CasesFailed as error:
            failures |= dict(error.failures)
        averaged = [job for job in jobs if job.identifier not in failures]
        _remove_members(averaged, [member.folder for member in members], target)
    return list(failures.items())


def _folder_names(models: Sequence[ModelKey]) -> list[str]:
    """A folder for each member's own predictions."""
    times = Counter(model.configuration for model in models)
    return [
        predictions_folder(model.name if times[model.configuration] > 1 else model.configuration) for model in models
    ]


def _model_hashes(models: Sequence[ChosenModel], run: PredictionRun, workspace: Workspace) -> list[str]:
    """Of each member, and of the model that a cascade refines where that is no member itself."""
    known = {one.key for one in models}
    refined = [first_stage(one, workspace) for one in models if one.key_before not in (None, *known)]
    trained = [*(one.trained for one in models), *refined]
    return [model_hash(Predictor(one, run.settings), ()) for one in trained]


def _unfinished(
    run: PredictionRun, model: str, files: Mapping[Path, Sequence[Path]]
) -> tuple[dict[str, str], dict[str, str]]:
    """The cases to predict, each with its images' hash, and those whose images cannot be read, each with the cause."""
    unknown = [] if run.settings.overwrite else require_known_origin(files, model)
    waiting: dict[str, str] = {}
    failures: dict[str, str] = {}
    for case in run.cases:
        output = run.outputs[case.identifier]
        try:
            inputs = hash_files(*case.image_paths)
        except StorageError as error:
            failures[case.identifier] = str(error)
            continue
        if run.settings.overwrite or (
            output not in unknown
            and not is_finished(
                output, model, partial(str, inputs), files=files[output], probabilities=run.settings.save_npz
            )
        ):
            waiting[case.identifier] = inputs
    return waiting, failures


def _earlier_stages_first(members: Sequence[_Member]) -> list[_Member]:
    """The members, a cascade after the one whose predictions it refines, where there is one."""
    folders: Mapping[ModelKey | None, Path] = {member.model.key: member.folder for member in members}
    ordered = sorted(members, key=lambda member: member.model.key_before is not None)
    return [replace(member, model=member.model.refining(folders.get(member.model.key_before))) for member in ordered]


@contextmanager
def _work_folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory() as temporary:
        yield Path(temporary)


def _remove_members(finished: Sequence[EnsembleJob], folders: Sequence[Path], target: Target) -> None:
    """Remove what the members predicted of finished cases, and the folders where nothing else is left."""
    for job in finished:
        for file in job.members:
            for path in (file, *label_files(file.with_name(f"{job.identifier}.nii.gz"), target)):
                path.unlink(missing_ok=True)
    for folder in folders:
        if folder.is_dir() and {path.name for path in folder.iterdir()} <= {PREDICTION_FILE}:
            (folder / PREDICTION_FILE).unlink(missing_ok=True)
            with suppress(OSError):  # another process, with another part of the cases, still needs it
                folder.rmdir()
