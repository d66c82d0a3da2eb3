"""`autoseg_predict`: segmentations of new images, by a trained model."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from autoseg.commands.arguments import (
    TASK_HELP,
    add_device,
    add_plans_name,
    fold,
    folder,
    not_negative,
    positive,
    positive_number,
)
from autoseg.commands.models import load_trained_model, trainer_class_name
from autoseg.commands.running import Command, Parser, limit_threads, run_command
from autoseg.dataset import Case, split_ending
from autoseg.errors import CasesFailed, WorkspaceError
from autoseg.paths import Workspace
from autoseg.plans import CONFIGURATIONS, DEFAULT_IDENTIFIER

if TYPE_CHECKING:
    from autoseg.inference.model import TrainedModel

log = logging.getLogger(__name__)

DEFAULT_CONFIGURATION = "3d_fullres"
RECORD = "prediction.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """Which trained model to use; None leaves it to what is there."""

    task: str | None = None
    configuration: str | None = None
    trainer: str = "Trainer"
    identifier: str = DEFAULT_IDENTIFIER
    folds: tuple[str, ...] | None = None
    checkpoint: str = "final"
    lowres_segmentations: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSettings:
    """How to predict."""

    save_npz: bool = False
    mirror: bool = True
    step_size: float | None = None
    mode: str = "normal"
    overwrite: bool = False
    part: int = 0
    parts: int = 1
    preprocessing_threads: int = 2
    export_threads: int = 2
    postprocess: bool = True
    device: str | None = None
    precision: str = "auto"


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-i",
        dest="inputs",
        metavar="IN",
        nargs="+",
        type=folder,
        required=True,
        help="a folder of images <case>_0000.nii.gz, or the file(s) of one case, one for each channel in their order",
    )
    parser.add_argument(
        "-o", dest="output", metavar="OUT", type=folder, required=True, help="a folder; for one case's files, a file"
    )
    _add_model_arguments(parser.add_argument_group("the model"))
    _add_prediction_arguments(parser.add_argument_group("the prediction"))
    add_device(parser)


def _add_model_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-t", dest="task", metavar="TASK", help=f"{TASK_HELP} (default: the only task with a trained model)"
    )
    group.add_argument(
        "-m",
        dest="configuration",
        metavar="CONFIGURATION",
        choices=CONFIGURATIONS,
        help=f"{', '.join(CONFIGURATIONS)} (default: {DEFAULT_CONFIGURATION})",
    )
    group.add_argument(
        "-tr", dest="trainer", metavar="TRAINER", default="Trainer", help="Trainer, or my_file.py:MyTrainer"
    )
    add_plans_name(group, f"name of the plans it was trained with (default: {DEFAULT_IDENTIFIER})")
    group.add_argument(
        "-f",
        dest="folds",
        metavar="FOLD",
        nargs="+",
        type=fold,
        help="folds to average: 0 to 4, or all (default: every fold trained)",
    )
    group.add_argument(
        "-chk",
        dest="checkpoint",
        metavar="final|best",
        choices=("final", "best"),
        default="final",
        help="weights of the last epoch, or of the best by the running validation (default: final)",
    )
    group.add_argument(
        "-l",
        "--lowres_segmentations",
        dest="lowres_segmentations",
        metavar="FOLDER",
        type=folder,
        help="for 3d_cascade_fullres: what 3d_lowres predicted, <case>.nii.gz (default: it is predicted first)",
    )


def _add_prediction_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--save_npz", action="store_true", help="also write the probabilities, for ensembles")
    group.add_argument("--disable_tta", action="store_true", help="no averaging over mirrored images: up to 8x faster")
    group.add_argument(
        "--step_size",
        metavar="X",
        type=positive_number,
        help="how far the window moves, as a share of the patch; larger is faster (default: 0.5)",
    )
    group.add_argument(
        "--mode",
        metavar="normal|fast",
        choices=("normal", "fast"),
        default="normal",
        help="normal resamples probabilities, fast resamples labels (default: normal)",
    )
    group.add_argument("--overwrite_existing", action="store_true", help="predict again what is in OUT already")
    group.add_argument(
        "--num_parts", metavar="N", type=positive, default=1, help="share the cases among N processes (default: 1)"
    )
    group.add_argument(
        "--part_id", metavar="K", type=not_negative, default=0, help="which of them this is, from 0 (default: 0)"
    )
    for option, what in (("preprocessing", "read and prepare"), ("nifti_save", "compress and write")):
        group.add_argument(
            f"--num_threads_{option}", metavar="N", type=positive, default=2, help=f"threads that {what} (default: 2)"
        )
    group.add_argument("--disable_postprocessing", action="store_true", help="do not apply the model's postprocessing")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Predict; a case that fails is named, the others are finished."""
    predict(
        arguments.inputs,
        arguments.output,
        workspace,
        model=ModelChoice(
            task=arguments.task,
            configuration=arguments.configuration,
            trainer=arguments.trainer,
            identifier=arguments.identifier,
            folds=tuple(dict.fromkeys(arguments.folds)) if arguments.folds else None,
            checkpoint=arguments.checkpoint,
            lowres_segmentations=arguments.lowres_segmentations,
        ),
        settings=PredictionSettings(
            save_npz=arguments.save_npz,
            mirror=not arguments.disable_tta,
            step_size=arguments.step_size,
            mode=arguments.mode,
            overwrite=arguments.overwrite_existing,
            part=arguments.part_id,
            parts=arguments.num_parts,
            preprocessing_threads=arguments.num_threads_preprocessing,
            export_threads=arguments.num_threads_nifti_save,
            postprocess=not arguments.disable_postprocessing,
            device=arguments.device,
            precision=arguments.precision,
        ),
    )


def predict(
    inputs: Sequence[Path],
    output: Path,
    workspace: Workspace,
    *,
    model: ModelChoice,
    settings: PredictionSettings,
) -> None:
    """Predict a folder of images into a folder, or one case's files into a file.

    Raises:
        WorkspaceError: No such model, or an output that does not fit the input.
        CasesFailed: After all cases were tried, naming those that failed.
    """
    single = not (len(inputs) == 1 and inputs[0].is_dir())
    _require_fitting_output(inputs, output, single=single)
    task = find_task_with_models(model.task, workspace)
    configuration = model.configuration or DEFAULT_CONFIGURATION
    directory = workspace.model_dir(task, configuration, trainer_class_name(model.trainer), model.identifier)
    _require_model(directory, task, configuration, workspace)

    from autoseg.inference.cases import find_cases, select_part

    limit_threads()
    trained = load_trained_model(
        directory, configuration, trainer=model.trainer, folds=model.folds, checkpoint=model.checkpoint
    )
    cases = select_part(find_cases(inputs, len(trained.plans.channels)), settings.part, settings.parts)
    outputs = {case.identifier: output if single else output / f"{case.identifier}.nii.gz" for case in cases}
    failures: list[tuple[str, str]] = []
    with _folder_of_first_stage(trained, output, model.lowres_segmentations, single=single) as first:
        if first is not None and first != model.lowres_segmentations:
            failures += _predict_with(
                _first_stage(trained, task, workspace, model),
                cases,
                [first / f"{case.identifier}.nii.gz" for case in cases],
                replace(settings, postprocess=False, save_npz=False),
                record=first / RECORD,
            )
        whole = [case for case in cases if case.identifier not in dict(failures)]
        if whole:
            failures += _predict_with(
                trained,
                whole,
                [outputs[case.identifier] for case in whole],
                settings,
                previous=first,
                record=None if single else output / RECORD,
            )
    if failures:
        raise CasesFailed("predicting", failures, len(cases))
    print(f"written: {output}")


def _predict_with(
    model: TrainedModel,
    cases: Sequence[Case],
    outputs: Sequence[Path],
    settings: PredictionSettings,
    *,
    previous: Path | None = None,
    record: Path | None = None,
) -> Sequence[tuple[str, str]]:
    """Predict with one model, say so, and return the cases that failed with their causes."""
    from autoseg.inference.cases import predict_cases
    from autoseg.inference.predictor import Predictor
    from autoseg.inference.tiles import STEP_SIZE

    predictor = Predictor(
        model,
        device=settings.device,
        precision=settings.precision,
        step_size=settings.step_size or STEP_SIZE,
        mirror=settings.mirror,
        mode=settings.mode,  # type: ignore[arg-type]  # a choice of the parser
    )
    print(
        f"{model.plans.dataset}: {model.configuration}, {'fold' if len(model.folds) == 1 else 'folds'} "
        f"{', '.join(model.folds)}, {model.checkpoint} weights, {len(cases)} {'case' if len(cases) == 1 else 'cases'}, "
        f"on {predictor.device} in {predictor.precision.name}"
    )
    try:
        predict_cases(
            predictor,
            cases,
            outputs,
            previous=previous,
            preprocessing_threads=settings.preprocessing_threads,
            export_threads=settings.export_threads,
            probabilities=settings.save_npz,
            overwrite=settings.overwrite,
            postprocess=settings.postprocess,
            record=record,
        )
    except CasesFailed as error:
        return error.failures
    return ()


@contextmanager
def _folder_of_first_stage(
    model: TrainedModel, output: Path, given: Path | None, *, single: bool
) -> Iterator[Path | None]:
    """Where the segmentations lie that a cascade refines: the user's, or beside the output; None for other models."""
    if given is not None or model.plan.previous is None:
        yield given
    elif single:
        with TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        yield output / f"{model.plan.previous}_predictions"


def _first_stage(cascade: TrainedModel, task: str, workspace: Workspace, choice: ModelChoice) -> TrainedModel:
    """The model that a cascade refines, with the same folds; final weights, as those the cascade learned from.

    A cascade of fold `all` learned from all the folds of the other.
    """
    configuration = str(cascade.plan.previous)
    directory = workspace.model_dir(task, configuration, trainer_class_name(choice.trainer), choice.identifier)
    if not directory.is_dir():
        raise WorkspaceError(
            f"{directory}: no such model, but {cascade.configuration} refines what {configuration} predicts; train it, "
            "install it with the cascade, or give its segmentations (-l)"
        )
    folds = None if cascade.folds == ("all",) else cascade.folds
    return load_trained_model(directory, configuration, trainer=choice.trainer, folds=folds, checkpoint="final")


def find_task_with_models(task: str | None, workspace: Workspace) -> str:
    """The task named, or the only one that has a trained model.

    Raises:
        WorkspaceError: None has, or several have; they are listed.
    """
    if task is not None:
        return workspace.find_task(task)
    known = workspace.tasks_with_models()
    if len(known) == 1:
        log.info("%s: the only task with a trained model", known[0])
        return known[0]
    if not known:
        raise WorkspaceError(f"{workspace.results}: no trained model here; train one with autoseg_train, or set --home")
    raise WorkspaceError(f"{workspace.results}: several tasks have models; choose one with -t: {', '.join(known)}")


def _require_fitting_output(inputs: Sequence[Path], output: Path, *, single: bool) -> None:
    is_file_name = bool(split_ending(output.name)[1])
    if single and not is_file_name:
        raise WorkspaceError(f"{output}: for the files of one case, -o names a file; let it end in .nii.gz")
    if not single and (is_file_name or output.is_file()):
        raise WorkspaceError(f"{output}: for a folder of images, -o names a folder, not a file")
    if not single and output.resolve() == inputs[0].resolve():
        raise WorkspaceError(f"{output}: is the folder of the images; predictions need a folder of their own")


def _require_model(directory: Path, task: str, configuration: str, workspace: Workspace) -> None:
    if directory.is_dir():
        return
    trained = [
        f"-m {name} -tr {model.name.partition('__')[0]} -p {model.name.partition('__')[2]}"
        for name in CONFIGURATIONS
        if (workspace.results / name / task).is_dir()
        for model in sorted((workspace.results / name / task).iterdir())
        if model.is_dir()
    ]
    listing = "\n".join(f"  {options}" for options in trained)
    remedy = f"trained are:\n{listing}" if trained else f"train it with: autoseg_train {configuration} Trainer {task} 0"
    raise WorkspaceError(f"{directory}: no such model; {remedy}")


COMMAND = Command(
    name="autoseg_predict",
    summary="segment new images with a trained model",
    reads="IN: a folder of <case>_0000.nii.gz ... or one case's file(s);\n"
    "results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/ with the trained folds",
    writes="OUT/<case>.nii.gz on the very grid of the input (with --save_npz also <case>.npz), and OUT/prediction.json\n"
    "that says with what was predicted; for one case's file(s), the file OUT. What is there already is kept.\n"
    "3d_cascade_fullres first writes what it refines into OUT/3d_lowres_predictions, unless -l names a folder.",
    example="autoseg_predict -i imagesTs -o predictions -t 4\n"
    "autoseg_predict -i patient_0000.nii.gz -o patient.nii.gz -t 4 -m 2d -f 0 --disable_tta",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
