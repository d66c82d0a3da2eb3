"""`autoseg_train_fusion`: how much each view of multiplanar, or each of several models, has to say."""

from __future__ import annotations

import argparse

from autoseg.command_words import model_words, predict_words
from autoseg.commands.arguments import add_device, add_models, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_models(parser)
    add_workers(parser, what="read, fuse and score")
    add_device(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Fit, judge, write, and print the evidence."""
    from autoseg.ensembling.fused_models import fuse_models
    from autoseg.ensembling.fused_views import fuse_views
    from autoseg.ensembling.validation import choose_models, collect, collect_predicted
    from autoseg.machine.pool import fitting_workers
    from autoseg.postprocessing.deciding import BYTES_PER_WORKER
    from autoseg.reporting.fusion import fusion_report
    from autoseg.training.settings import TrainingSettings

    task = workspace.find_task_with_models(arguments.task)
    models = choose_models(task, workspace, arguments.configurations, arguments.trainers, arguments.plans)
    found = collect_predicted if len(models) == 1 else collect
    validations = [found(model, workspace, arguments.folds) for model in models]
    workers = fitting_workers(arguments.workers, BYTES_PER_WORKER)
    if len(models) == 1:
        settings = TrainingSettings(precision=arguments.precision)
        fused = fuse_views(validations[0], workspace, settings=settings, device=arguments.device, workers=workers)
        written = validations[0].model.fusion
    else:
        fused = fuse_models(validations, workspace.task(task), workers=workers)
        written = workspace.task(task).fusion_folder(models)
    print(fusion_report(fused.record, validations[0].target))
    print("\n".join(f"missing: {line}" for one in validations for line in one.missing), end="")
    print(f"\nwritten: {written}")
    if len(models) == 1:
        say_next(predict_words(task, "-m", models[0].configuration, *model_words(models[0])), home=arguments.home)
    else:
        say_next(("autoseg_find_best_configuration", "-t", task), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_train_fusion",
    summary="fit how much each view of multiplanar, or each of several models, has to say",
    reads="results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/fold_*: of one model validation_views/*, what was\n"
    "seen along each direction alone; of several validation_raw/<case>.npz (both kept by autoseg_train ... --npz; of one\n"
    "model what lacks is predicted); and the references in preprocessed/TaskXXX_Name/gt_segmentations",
    writes="of one model fusion.json in its folder, which autoseg_predict uses where it holds up; of several the same in\n"
    "results/selections/TaskXXX_Name/fused, as a candidate of autoseg_find_best_configuration. A case is scored with\n"
    "weights that were fitted to the other folds.",
    example="autoseg_train_fusion -t 4 -m multiplanar\nautoseg_train_fusion -t 4 -m 2d 3d_fullres multiplanar",
    add_arguments=add_arguments,
    run=run,
)
