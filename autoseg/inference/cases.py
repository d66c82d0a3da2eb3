"""Many cases, files in to files out: the next ones are prepared and the last ones written while the network runs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from autoseg.arrays import LabelArray
from autoseg.dataset import Case
from autoseg.dataset.target import Target, names_in_files, written_step
from autoseg.errors import AutosegError, CasesFailed, DatasetError, DiskError, ModelError, StorageError
from autoseg.files.storage import remove_file
from autoseg.geometry import Geometry
from autoseg.images import Told, write_image
from autoseg.images.dicom_seg import can_write_dicom_seg, write_dicom_seg
from autoseg.images.formats.dicom import series_of
from autoseg.inference.inputs import read_and_prepare
from autoseg.inference.predictor import Prediction, Predictor
from autoseg.inference.probabilities import PackedProbabilities, save_probabilities
from autoseg.inference.progress import TileProgress
from autoseg.inference.record import claim_record, model_hash, require_record, require_same_record
from autoseg.inference.scorers.scorer import AnyCase
from autoseg.inference.settings import DEFAULT_FILING, Filing, PredictionRun
from autoseg.outputs import (
    Origin,
    dicom_seg_file,
    hash_files,
    holds_segmentations,
    is_there,
    label_files,
    probabilities_file,
    read_origin,
    require_known_origin,
    require_one_origin,
)
from autoseg.postprocessing.rules import Rule, apply_rules
from autoseg.remedies import describe_os_error, shortage
from autoseg.words import agreeing, counted

log = logging.getLogger(__name__)

LESS_TIME = "larger steps (`step_size=1`), no mirroring (`mirror=False`), a model of larger voxels (`configuration=3d_lowres`) or a GPU take less"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One case to predict: how to prepare it (called in a thread), and the file its segmentation goes to.

    Attributes:
        inputs: Gives a hash of what is prepared, by which it is known later whether that has changed.
        source: The image's file; beside what is predicted of a DICOM series a DICOM segmentation is put.
        views: Of a model of several directions, where what each says alone goes, probabilities beside it; none: nowhere.
    """

    identifier: str
    prepare: Callable[[], AnyCase]
    output: Path
    inputs: Callable[[], str] = str
    source: Path | None = None
    views: Sequence[Path] = ()

    @property
    def outputs(self) -> tuple[Path, ...]:
        """In the order in which `predict_views` tells them."""
        return (*self.views, self.output)


def predict_cases(predictor: Predictor, run: PredictionRun, *, previous: Path | None = None) -> None:
    """Predict raw cases into segmentation files that lie exactly on the inputs' grids.

    Args:
        previous: For a cascade, the folder of the segmentations to refine, `<case>.nii.gz` on each image's grid, or a file of
            each mask.

    Raises:
        ModelError: A cascade without segmentations to refine, or another model with them; or what is there already was
            predicted with something else, as the record or the files say.
        DatasetError: Naming the cases that have none in `previous`.
        DiskError: The disk is full or read-only; the cases after it are not tried.
        CasesFailed: After all cases were tried, when some failed; it names each with its cause.
    """
    settings, record = run.settings, run.record
    files = {output: label_files(output, predictor.target) for output in run.files}
    outputs = [path for paths in files.values() for path in paths]
    jobs = _raw_jobs(predictor, run, previous)
    rules = predictor.model.rules if settings.postprocess else ()
    model = model_hash(predictor, rules)
    is_shared, overwrite = settings.parts > 1, settings.overwrite
    fresh = overwrite or record is None or not (is_shared or holds_segmentations(record.parent, outputs))
    if record is not None and not overwrite:
        require_record(record, predictor, rules, fresh=fresh)
    unknown = [] if overwrite else require_known_origin(files, model)
    if record is not None:
        require_one_origin(record.parent, model, outputs, overwrite=overwrite)
        claim_record(record, predictor, rules, previous, fresh=fresh)
    predict_jobs(predictor, [job for job in jobs if job.output not in unknown], settings, rules=rules)
    if record is not None:
        require_same_record(record, predictor, rules)


def predict_jobs(
    predictor: Predictor,
    jobs: Sequence[Job],
    filing: Filing = DEFAULT_FILING,
    *,
    rules: Sequence[Rule] = (),
    remedy: str = LESS_TIME,
) -> None:
    """Predict cases that may be prepared in any way, but those that are there, made from the same; see `predict_cases`."""
    views = max((len(job.views) for job in jobs), default=0)
    makers = [model_hash(one, rules) for one in (*map(predictor.along, range(views)), predictor)]
    waiting = [job for job in jobs if filing.overwrite or not _is_done(job, makers, predictor.target, filing)]
    if kept := len(jobs) - len(waiting):
        log.info(
            "%d of %s: predicted already, and kept (`overwrite` predicts %s again)",
            kept,
            counted(len(jobs), "case"),
            agreeing(kept, "it", "them"),
        )
    if not filing.overwrite and (changed := sum(_is_begun(job, predictor.target) for job in waiting)):
        origin = agreeing(changed, "it was", "they were")
        log.info(
            "%s: there already, but not with all that is asked for, or what %s made from has changed; predicted again",
            counted(changed, "case"),
            origin,
        )
    failures: dict[str, str] = {}
    with (
        TileProgress(len(jobs), done=len(jobs) - len(waiting), remedy=remedy) as shown,
        _Writer(filing.export_threads, failures) as writer,
        closing(_prepared_ahead(waiting, filing.preprocessing_threads)) as prepared,
    ):
        for job, preparing in prepared:
            on_parts = shown.start(job.identifier)
            try:
                inputs, case = preparing.result()
                if job.views:
                    predictions = list(predictor.predict_views(case, on_parts=on_parts))
                else:
                    predictions = [predictor.predict_prepared(case, probabilities=filing.save_npz, on_parts=on_parts)]
            except DiskError as error:
                raise _stopped_at(job.identifier, error) from error
            except Exception as error:
                failures[job.identifier] = _cause(error)
            else:
                for output, prediction, model in zip(job.outputs, predictions, makers, strict=True):
                    writer.write(replace(job, output=output), prediction, rules, Origin(model=model, inputs=inputs))
    if failures:
        named = [(job.identifier, failures[job.identifier]) for job in jobs if job.identifier in failures]
        raise CasesFailed("predicting", named, len(jobs))


def _is_done(job: Job, makers: Sequence[str], target: Target, filing: Filing) -> bool:
    """Whether all that a job makes is there already; views have probabilities beside."""
    return all(
        is_finished(
            output,
            model,
            job.inputs,
            files=label_files(output, target),
            probabilities=filing.save_npz or output != job.output,
        )
        for output, model in zip(job.outputs, makers, strict=True)
    )


def _is_begun(job: Job, target: Target) -> bool:
    return any(is_there(file) for output in job.outputs for file in label_files(output, target))


class _Writer:
    """Postprocesses and writes predictions in threads; as many wait as there are threads, so that memory is bounded."""

    def __init__(self, threads: int, failures: dict[str, str]) -> None:
        self.threads = max(1, threads)
        self.failures = failures
        self.pool = ThreadPoolExecutor(self.threads)
        self.pending: deque[tuple[str, Future[None]]] = deque()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            while self.pending and kind is None:
                self._collect()
        finally:
            self.pool.shutdown(cancel_futures=True)

    def write(self, job: Job, prediction: Prediction, rules: Sequence[Rule], origin: Origin) -> None:
        while len(self.pending) >= self.threads:
            self._collect()
        self.pending.append((job.identifier, self.pool.submit(_write, job, prediction, rules, origin)))

    def _collect(self) -> None:
        identifier, writing = self.pending.popleft()
        try:
            writing.result()
        except DiskError as error:
            raise _stopped_at(identifier, error) from error
        except Exception as error:
            self.failures[identifier] = _cause(error)


def _stopped_at(identifier: str, error: DiskError) -> DiskError:
    return DiskError(
        f"predicting: stopped at {identifier}: {error}; what is finished is kept, run the same command again for the others"
    )


_Prepared: TypeAlias = tuple[str, AnyCase]
"""With the hash of what it was prepared from."""


def _prepared_ahead(jobs: Sequence[Job], threads: int) -> Generator[tuple[Job, Future[_Prepared]], None, None]:
    """Each job with its preparation, of which up to `threads` are under way or waiting."""
    ahead: deque[tuple[Job, Future[_Prepared]]] = deque()
    pool = ThreadPoolExecutor(max(1, threads))
    try:
        for job in jobs:
            ahead.append((job, pool.submit(_hash_and_prepare, job)))
            if len(ahead) > threads:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()
    finally:
        pool.shutdown(cancel_futures=True)


def _hash_and_prepare(job: Job) -> _Prepared:
    """Hashed before it is read, so that an image that changes meanwhile is noticed the next time."""
    return job.inputs(), job.prepare()


def _raw_jobs(predictor: Predictor, run: PredictionRun, previous: Path | None) -> list[Job]:
    refined = _segmentations_to_refine(predictor, run.cases, previous)
    return [
        Job(
            identifier=case.identifier,
            prepare=partial(
                read_and_prepare,
                case,
                predictor,
                run.guard,
                previous=path,
                workplace=output.parent,
                most_held=run.settings.most_held,
            ),
            output=output,
            inputs=partial(hash_files, *case.image_paths, *(label_files(path, predictor.target) if path else [])),
            source=case.image_paths[0],
        )
        for case, path, output in zip(run.cases, refined, run.files, strict=True)
    ]


def _segmentations_to_refine(
    predictor: Predictor, cases: Sequence[Case], folder: Path | None
) -> Sequence[Path] | Sequence[None]:
    """For each case of a cascade the segmentation that an earlier stage made, all of which must be there."""
    model = predictor.model
    if folder is None and model.plan.previous:
        raise ModelError(
            f"{model.configuration} refines what {model.plan.previous} predicted; give the folder of those segmentations"
        )
    if folder is None:
        return [None] * len(cases)
    if not model.plan.previous:
        raise ModelError(
            f"{model.configuration} is no cascade and refines nothing; leave {folder} out (`lowres_segmentations`)"
        )
    paths = [folder / f"{case.identifier}.nii.gz" for case in cases]
    absent = [[file for file in label_files(path, predictor.target) if not file.is_file()] for path in paths]
    if missing := [files for files in absent if files]:
        raise DatasetError(
            f"{folder}: {len(missing)} of {counted(len(cases), 'case')} {agreeing(len(missing), 'has', 'have')} no "
            f"segmentation here; predict {agreeing(len(missing), 'it', 'them')} with "
            f"{model.plan.previous}, or name the folder that holds "
            f"{agreeing(sum(map(len, missing)), 'this file', 'these files')}\n"
            + "\n".join(f"  {file}" for files in missing for file in files)
        )
    return paths


def _write(job: Job, prediction: Prediction, rules: Sequence[Rule], origin: Origin) -> None:
    segmentation = apply_rules(prediction.segmentation, prediction.geometry.spacing, rules, prediction.target)
    written = Written(segmentation=segmentation, geometry=prediction.geometry, target=prediction.target, origin=origin)
    (names, *others) = names_in_files(prediction.target)
    if job.source is not None and not others and can_write_dicom_seg(job.source):
        try:
            write_dicom_seg(dicom_seg_file(job.output), segmentation, series_of(job.source), names, str(origin))
        except DatasetError as error:
            log.warning("%s: only %s is written: %s", job.identifier, job.output.name, error)
    write_segmentation(job.output, written, prediction.probabilities)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A segmentation as its files say it."""

    segmentation: LabelArray
    geometry: Geometry
    target: Target
    origin: Origin


def write_segmentation(output: Path, written: Written, probabilities: PackedProbabilities | None) -> None:
    """Write a case's labels, and its probabilities beside them or remove those of other labels.

    The segmentation takes its place last: what it says of its origin says that the case is done. What was there before
    goes only once the new one is written whole, of several files all.
    """
    archive = probabilities_file(output)
    save: Callable[[], object] = (
        partial(remove_file, archive) if probabilities is None else partial(save_probabilities, archive, probabilities)
    )
    maps, names = written.target.maps_of(written.segmentation), names_in_files(written.target)
    for file, labels, called in zip(label_files(output, written.target), maps, names, strict=True):
        save = partial(
            write_image,
            file,
            labels,
            written.geometry,
            Told(
                step=written_step(written.target),
                description=str(written.origin),
                names=called,
                maps=None if probabilities is None or len(maps) > 1 else probabilities.unpacked,
            ),
            before_it_is_there=save,
        )
    save()


def is_finished(
    output: Path, model: str, inputs: Callable[[], str], *, files: Sequence[Path], probabilities: bool
) -> bool:
    """Whether a case's files are there and were made by this model from these inputs."""
    origins = {read_origin(file) for file in files}
    origin = origins.pop()
    if origins or origin is None or origin.model != model:
        return False
    if probabilities and not is_there(probabilities_file(output)):
        return False
    try:
        return origin.inputs == inputs()
    except StorageError:
        return False


def _cause(error: Exception) -> str:
    if isinstance(error, AutosegError):
        return str(error)
    log.debug("a case failed", exc_info=error)
    if (what := shortage(error, "use fewer threads (`preprocessing_threads`, `export_threads`)")) is not None:
        return what
    if isinstance(error, OSError):
        return describe_os_error(error)
    return f"{type(error).__name__}: {error}"
