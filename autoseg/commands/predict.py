"""`autoseg_predict`: segmentations of new images, by a trained model or by what was selected for the task."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from autoseg.commands.arguments import (
    TASK_HELP,
    add_device,
    configuration_name,
    fold,
    folder,
    not_negative,
    plans_name,
    positive,
    share,
)
from autoseg.commands.input_guard import describe_warned, open_guard, refused_now
from autoseg.commands.next_steps import after_prediction, say_next
from autoseg.commands.prediction import (
    DEFAULT_CONFIGURATION,
    ModelChoice,
    PredictionSettings,
    choose_model,
    find_task_with_models,
    open_model,
    predict_with_model,
)
from autoseg.commands.prediction_by_selection import (
    open_selection,
    predict_by_selection,
    require_same_selection,
    selected_models,
)
from autoseg.commands.running import Command, Parser, limit_threads, run_command
from autoseg.dataset.contents import require_images
from autoseg.errors import CasesFailed, WorkspaceError
from autoseg.files.layout import (
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    REPORT_FILE,
    USUAL_CONFIGURATIONS,
)
from autoseg.images import WRITTEN_ENDINGS, split_ending
from autoseg.paths import Workspace
from autoseg.plans import Plans
from autoseg.words import counted

log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-i",
        dest="inputs",
        metavar="IN",
        nargs="+",
        type=folder,
        required=True,
        help="a folder of images <case>_0000.nii.gz (of one channel also <case>.nii.gz), or the file(s) of one case, one for each channel in their order",
    )
    parser.add_argument(
        "-o", dest="output", metavar="OUT", type=folder, required=True, help="a folder; for one case's files, a file"
    )
    _add_model_arguments(parser.add_argument_group("the model"))
    _add_prediction_arguments(parser.add_argument_group("the prediction"))
    add_device(parser)
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "openvino"),
        default="auto",
        help="what computes the network on a CPU; auto takes OpenVINO where it is installed and agrees with torch, and "
        "says so (default: auto)",
    )


def _add_model_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-t", dest="task", metavar="TASK", help=f"{TASK_HELP} (default: the only task with a trained model)"
    )
    group.add_argument(
        "--best",
        action="store_true",
        help="what autoseg_find_best_configuration selected (the default where it has and no model is named)",
    )
    group.add_argument(
        "-m",
        dest="configuration",
        metavar="CONFIGURATION",
        type=configuration_name,
        help=f"{', '.join(USUAL_CONFIGURATIONS)} (default: the task's selection, else {DEFAULT_CONFIGURATION}, else the only one "
        "that is trained)",
    )
    group.add_argument(
        "-tr",
        dest="trainer",
        metavar="TRAINER",
        help=f"Trainer, or my_file.py:MyTrainer (default: {DEFAULT_TRAINER}, else the only one that trained)",
    )
    group.add_argument(
        "-p",
        dest="plans",
        metavar="NAME",
        type=plans_name,
        help=f"name of the plans it was trained with (default: {DEFAULT_PLANS}, else the only ones)",
    )
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
        type=share,
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
    group.add_argument(
        "--strict_inputs",
        action="store_true",
        help="refuse images that are far from the training cases in voxel size, size, orientation or intensities "
        "(default: warn)",
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Predict; a case that fails is named, the others are finished."""
    plans = predict(
        arguments.inputs,
        arguments.output,
        workspace,
        best=arguments.best,
        model=ModelChoice(
            task=arguments.task,
            configuration=arguments.configuration,
            trainer=arguments.trainer,
            plans=arguments.plans,
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
            strict_inputs=arguments.strict_inputs,
            device=arguments.device,
            precision=arguments.precision,
            engine=arguments.engine,
        ),
    )
    if arguments.output.is_dir() and arguments.num_parts == 1:
        labels = plans.target.scored
        say_next(*after_prediction(plans.dataset, workspace, arguments.output, labels), home=arguments.home)


def predict(
    inputs: Sequence[Path],
    output: Path,
    workspace: Workspace,
    *,
    model: ModelChoice,
    settings: PredictionSettings,
    best: bool = False,
) -> Plans:
    """Predict a folder of images into a folder, or one case's files into a file; returns the plans of the model.

    Args:
        best: Predict with the task's selection, which must be there; without it the selection is used where `model`
            names nothing but the task.

    Raises:
        WorkspaceError: No such model, an output that does not fit the input, or strict inputs with nothing to compare.
        ModelError: No selection, or weights that cannot be used.
        CasesFailed: After all cases were tried, naming those that failed.
    """
    from autoseg.outputs import require_apart

    single = not (len(inputs) == 1 and inputs[0].is_dir())
    require_images(inputs)
    _require_fitting_output(inputs, output, single=single)
    _require_output_apart(inputs, output, model.lowres_segmentations, single=single)
    if settings.save_npz:
        _require_probabilities(settings, "for --save_npz to keep")
    task = find_task_with_models(model.task, workspace)
    require_apart(
        [output], {"the folder of the task's selection; name one of its own": [workspace.task(task).selection_folder]}
    )
    selection = open_selection(task, model, workspace, best=best)
    if selection is None:
        model = choose_model(task, model, workspace)

    from autoseg.inference.cases import find_cases, select_part

    limit_threads()
    choices = [model] if selection is None else selected_models(selection, model)
    if len(choices) > 1:
        _require_probabilities(settings, "by which several models are averaged")
    members = [(choice, open_model(task, choice, workspace)) for choice in choices]
    channels = len(members[0][1].plans.channels)
    found = find_cases(inputs, channels)
    cases = select_part(found, settings.part, settings.parts)
    if settings.parts > 1:
        log.info("part %d of %d: %d of %s", settings.part, settings.parts, len(cases), counted(len(found), "case"))
    outputs = {case.identifier: output if single else output / f"{case.identifier}.nii.gz" for case in cases}
    work_folder = None if single else output
    if work_folder is not None:
        require_same_selection(work_folder, selection, settings, tuple(outputs.values()))
    report = None if work_folder is None else work_folder / REPORT_FILE
    with open_guard(task, members, workspace, report=report, strict=settings.strict_inputs) as guard:
        if selection is None:
            failures = predict_with_model(
                members[0][1], model, cases, outputs, workspace, settings, work_folder=work_folder, guard=guard
            )
        else:
            failures = predict_by_selection(
                selection, members, cases, outputs, workspace, settings, work_folder=work_folder, guard=guard
            )
    failures = [*failures, *refused_now(guard, cases)]
    if failures:
        raise CasesFailed("predicting", failures, len(cases))
    if work_folder is not None and cases:  # whatever was started beside
        require_same_selection(work_folder, selection, replace(settings, overwrite=False), tuple(outputs.values()))
    if guard.warned:
        print(describe_warned(guard, len(cases)))
    print(f"written: {output}")
    return members[0][1].plans


def _require_probabilities(settings: PredictionSettings, purpose: str) -> None:
    if settings.mode == "fast":
        raise WorkspaceError(f"--mode fast makes no probabilities {purpose}; use --mode normal")


def _require_fitting_output(inputs: Sequence[Path], output: Path, *, single: bool) -> None:
    if absent := [path for path in inputs if not path.exists()]:
        raise WorkspaceError(f"{absent[0]}: no such file or folder; name a folder of images, or the files of one case")
    ending = split_ending(output.name)[1]
    is_file_name = bool(ending)
    if single and is_file_name and ending.lower() not in WRITTEN_ENDINGS:
        raise WorkspaceError(
            f"{output}: segmentations are written as {' or '.join(WRITTEN_ENDINGS)}; change the ending"
        )
    if single and not is_file_name:
        raise WorkspaceError(f"{output}: for the files of one case, -o names a file; let it end in .nii.gz")
    if not single and (is_file_name or output.is_file()):
        raise WorkspaceError(f"{output}: for a folder of images, -o names a folder, not a file")


def _require_output_apart(inputs: Sequence[Path], output: Path, refined: Path | None, *, single: bool) -> None:
    from autoseg.outputs import require_apart

    what = "one of the images; give the segmentation a name" if single else "the folder of the images; name one"
    earlier = [] if refined is None else [refined]
    require_apart([output], {f"{what} of its own": inputs, "the folder that -l names; name one of its own": earlier})


COMMAND = Command(
    name="autoseg_predict",
    summary="segment new images with a trained model, or with the best that was selected",
    reads="IN: a folder of <case>_0000.nii.gz ... (of one channel also <case>.nii.gz) or one case's file(s);\n"
    "results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/ with the trained folds;\n"
    "results/selections/TaskXXX_Name/selection.json, where the best was selected",
    writes="OUT/<case>.nii.gz on the very grid of the input (with --save_npz also <case>.npz), OUT/prediction.json that\n"
    "says with what was predicted, and OUT/report.json that holds the images against the training\n"
    "cases; for one case's file(s), the file OUT. What is there already is kept.\n"
    "3d_cascade_fullres first writes what it refines into OUT/3d_lowres_predictions, unless -l names a folder.",
    example="autoseg_predict -i imagesTs -o predictions -t 4\n"
    "autoseg_predict --best -i imagesTs -o predictions -t 4\n"
    "autoseg_predict -i patient_0000.nii.gz -o patient.nii.gz -t 4 -m 2d -f 0 --disable_tta",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
