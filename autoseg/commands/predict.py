"""`autoseg_predict`: segmentations of new images, by a trained model or by what was selected for the task."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from autoseg.commands.arguments import (
    CONFIGURATIONS,
    ONLY_TRAINED_TASK,
    TRAINERS,
    add_configuration,
    add_device,
    add_folds,
    add_output,
    add_plans_name,
    add_task,
    add_trainer,
)
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.values import folder, not_negative, positive, share
from autoseg.dataset.target import Target
from autoseg.errors import WorkspaceError
from autoseg.files.layout import DEFAULT_CONFIGURATION, DEFAULT_PLANS, DEFAULT_TRAINER, SUMMARY_FILE
from autoseg.geometry import STEP_SIZE
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.prediction import ModelChoice, PredictionSettings


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-i",
        dest="inputs",
        metavar="IN",
        nargs="+",
        type=folder,
        required=True,
        help="a folder of images <case>_0000.nii.gz (of one channel also <case>.nii.gz), the file(s) of one case, one for each channel in their order, "
        "or DICOM: the folder of a series, a folder of such and of zip files, or one zip",
    )
    add_output(parser, "a folder; for one case's files, a file")
    parser.add_argument(
        "--evaluate",
        metavar="LABELS",
        type=folder,
        help="also score what is predicted: against a folder of true labels, or for one case's files against its file",
    )
    _add_model_arguments(parser.add_argument_group("the model"))
    prediction = parser.add_argument_group("the prediction")
    _add_form(prediction)
    _add_window(prediction)
    _add_work(prediction)
    add_device(parser)
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "openvino"),
        default="auto",
        help="what computes the network on a CPU; auto takes OpenVINO where it is installed and agrees with torch, and "
        "says so (default: auto)",
    )


def _add_model_arguments(group: argparse._ArgumentGroup) -> None:
    add_task(group, ONLY_TRAINED_TASK, required=False)
    group.add_argument(
        "--best",
        action="store_true",
        help="what autoseg_find_best_configuration selected (the default where it has and no model is named)",
    )
    add_configuration(
        group,
        f"{CONFIGURATIONS} (default: the task's selection, else {DEFAULT_CONFIGURATION}, else the only one "
        "that is trained)",
    )
    add_trainer(group, f"{TRAINERS} (default: {DEFAULT_TRAINER}, else the only one that trained)", default=None)
    add_plans_name(
        group, f"name of the plans it was trained with (default: {DEFAULT_PLANS}, else the only ones)", default=None
    )
    add_folds(group, "folds to average: 0 to 4, or all (default: every fold trained)")
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
        help="for 3d_cascade_fullres: what 3d_lowres predicted, <case>.nii.gz or a file of each mask (default: it is predicted first)",
    )


def _add_form(group: argparse._ArgumentGroup) -> None:
    """What is written."""
    group.add_argument("--save_npz", action="store_true", help="also write the probabilities, for ensembles")
    group.add_argument(
        "--output_format",
        metavar="ENDING",
        help="what segmentations in a folder are written as, such as nii.gz or seg.nrrd, which names its segments in "
        "3D Slicer (default: the kind of the images)",
    )


def _add_window(group: argparse._ArgumentGroup) -> None:
    """How the network looks at an image."""
    group.add_argument("--disable_tta", action="store_true", help="no averaging over mirrored images: up to 8x faster")
    group.add_argument(
        "--step_size",
        metavar="X",
        type=share,
        default=STEP_SIZE,
        help="how far the window moves, as a share of the patch; larger is faster (default: 0.5)",
    )
    border = group.add_mutually_exclusive_group()
    border.add_argument(
        "--halo",
        metavar="VOXELS",
        type=not_negative,
        default=0,
        help="of each tile so many voxels at every side do not count, and the image is mirrored so far beyond its border "
        "(default: 0)",
    )
    border.add_argument(
        "--drop_border",
        metavar="VOXELS",
        type=not_negative,
        default=0,
        help="the same without mirroring: at the border of the image a tile counts to its end (default: 0)",
    )
    group.add_argument(
        "--dropout_samples",
        metavar="N",
        type=not_negative,
        default=0,
        help="average over N passes in which the network's dropout stays on, as in training (default: one without)",
    )
    group.add_argument(
        "--mode",
        metavar="normal|fast",
        choices=("normal", "fast"),
        default="normal",
        help="normal resamples probabilities, fast resamples labels (default: normal)",
    )


def _add_work(group: argparse._ArgumentGroup) -> None:
    """Which cases, by how many threads, and what is done beside."""
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
    from autoseg.jobs.next_steps import after_prediction
    from autoseg.networks import limit_threads
    from autoseg.prediction import predict
    from autoseg.prediction.scoring import require_labels

    limit_threads()
    if arguments.evaluate is not None:
        require_labels(arguments.evaluate, arguments.output)
        if arguments.num_parts > 1:
            raise WorkspaceError(
                "a part of the cases is not scored alone; score all with autoseg_evaluate_folder at the end"
            )
    predicted = predict(
        arguments.inputs,
        arguments.output,
        workspace,
        best=arguments.best,
        model=_chosen_model(arguments),
        settings=_settings(arguments),
    )
    if predicted.unlike:
        print(predicted.describe_unlike())
    print(f"written: {arguments.output}")
    if arguments.evaluate is not None:
        _score(arguments, predicted.plans.target)
    elif arguments.output.is_dir() and arguments.num_parts == 1:
        task, labels = workspace.task(predicted.plans.dataset), predicted.plans.target.scored
        say_next(*after_prediction(task, arguments.output, labels), home=arguments.home)


def _chosen_model(arguments: argparse.Namespace) -> ModelChoice:
    from autoseg.prediction import ModelChoice

    return ModelChoice(
        task=arguments.task,
        configuration=arguments.configuration,
        trainer=arguments.trainer,
        plans=arguments.plans,
        folds=tuple(dict.fromkeys(arguments.folds)) if arguments.folds else None,
        checkpoint=arguments.checkpoint,
        lowres_segmentations=arguments.lowres_segmentations,
    )


def _settings(arguments: argparse.Namespace) -> PredictionSettings:
    from autoseg.inference.scorers.halo import Halo
    from autoseg.prediction import PredictionSettings

    return PredictionSettings(
        save_npz=arguments.save_npz,
        mirror=not arguments.disable_tta,
        step_size=arguments.step_size,
        halo=Halo(voxels=arguments.halo or arguments.drop_border, mirrored=arguments.halo > 0),
        dropout_samples=arguments.dropout_samples,
        mode=arguments.mode,
        overwrite=arguments.overwrite_existing,
        part=arguments.part_id,
        parts=arguments.num_parts,
        preprocessing_threads=arguments.num_threads_preprocessing,
        export_threads=arguments.num_threads_nifti_save,
        postprocess=not arguments.disable_postprocessing,
        strict_inputs=arguments.strict_inputs,
        output_format=arguments.output_format,
        device=arguments.device,
        precision=arguments.precision,
        engine=arguments.engine,
    )


def _score(arguments: argparse.Namespace, target: Target) -> None:
    from autoseg.prediction import score_prediction
    from autoseg.reporting.scores import score_table

    print(score_table(score_prediction(arguments.output, arguments.evaluate, target), target.labels))
    if arguments.evaluate.is_dir():
        print(f"written: {arguments.output / SUMMARY_FILE}")


COMMAND = main = Command(
    name="autoseg_predict",
    summary="segment new images with a trained model, or with the best that was selected",
    reads="IN: a folder of <case>_0000.nii.gz ... (of one channel also <case>.nii.gz) or one case's file(s);\n"
    "results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/ with the trained folds;\n"
    "results/selections/TaskXXX_Name/selection.json, where the best was selected",
    writes="OUT/<case>.nii.gz, or in the format of the images, on the very grid of the input (with --save_npz also\n"
    "<case>.npz), OUT/prediction.json that says with what was predicted, OUT/report.json that holds the images\n"
    "against the training cases, and OUT/labels_itksnap.txt and OUT/labels_slicer.csv with names and colours of the\n"
    "labels for two viewers; for one case's file(s), the file OUT. What is there already is kept.\n"
    "Of DICOM also OUT/<case>.dcm, a segmentation for viewers.\n"
    "3d_cascade_fullres first writes what it refines into OUT/3d_lowres_predictions, unless -l names a folder.\n"
    "With --evaluate of a folder also OUT/summary.json and summary.csv, as autoseg_evaluate_folder does.",
    example="autoseg_predict -i imagesTs -o predictions -t 4\n"
    "autoseg_predict --best -i imagesTs -o predictions -t 4\n"
    "autoseg_predict -i patient_0000.nii.gz -o patient.nii.gz -t 4 -m 2d -f 0 --disable_tta\n"
    "autoseg_predict -i patient_0000.nii.gz -o patient.nii.gz -t 4 --evaluate true_labels.nii.gz",
    add_arguments=add_arguments,
    run=run,
)
