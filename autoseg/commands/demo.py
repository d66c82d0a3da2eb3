"""`autoseg_demo`: the whole walk on a synthetic task that is made on the spot."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from autoseg.command_words import OWN_FOLDER
from autoseg.commands.arguments import positive
from autoseg.commands.plan_and_preprocess import plan_and_preprocess
from autoseg.commands.predict import describe_unlike
from autoseg.commands.running import Command, Parser, limit_threads, run_command, say_next
from autoseg.commands.train import train, validate
from autoseg.dataset import Dataset, read_dataset
from autoseg.errors import Interrupted
from autoseg.files.layout import DATASET_FILE
from autoseg.files.model_folder import ModelKey
from autoseg.files.storage import write_bytes
from autoseg.paths import Workspace
from autoseg.words import counted

DEFAULT_FOLDER = "autoseg_demo"
TASK = "Task900_Phantom"
CONFIGURATION = "3d_fullres"
FOLD = "0"
PLANS = "small"

# Enough for a clear result within minutes on two CPU cores; real data deserve the planner's own network and 1000 epochs.
EPOCHS, ITERATIONS, SEED = 60, 20, 0

RECIPE = '''"""The demo's planner: a rule of your own takes no more than this.

Use it as `autoseg_plan_and_preprocess -t 900 -pl3d small_planner.py:SmallPlanner -pl2d None`.
"""

from autoseg.planning import Planner3D


class SmallPlanner(Planner3D):
    """A network with a quarter of the usual channels, so that two CPU cores train it in minutes."""

    features = 8
'''


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "--epochs",
        metavar="N",
        type=positive,
        default=EPOCHS,
        help=f"train longer for a better result (default: {EPOCHS})",
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001 - the demo has a folder of its own
    """Make, plan, train, predict, score, draw."""
    demo(arguments.home or Path(DEFAULT_FOLDER), epochs=arguments.epochs)
    say_next(("autoseg_convert_dataset", "-i", OWN_FOLDER), where=" with your own images and labels")


def demo(home: Path, *, epochs: int = EPOCHS) -> float | None:
    """Walk all the way in `home`; what is there already is kept. Returns the mean Dice of the held-out cases."""
    from autoseg.conversion.phantom import make_phantom_task
    from autoseg.evaluation.folders import Scoring, evaluate_folder
    from autoseg.evaluation.metrics import Counted
    from autoseg.planning.making import NO_PLANNER, PlannerChoice
    from autoseg.prediction import ModelChoice, PredictionSettings, predict
    from autoseg.reporting.scores import score_table
    from autoseg.training import TrainingSettings, build_trainer

    started = time.monotonic()
    workspace = Workspace.from_environment({}, home=home)
    raw = workspace.task(TASK).raw

    _step(1, "make a task: 20 labelled volumes of two organs, and 4 held out")
    if not (raw / DATASET_FILE).is_file():
        make_phantom_task(workspace.raw_data, TASK)
    dataset = read_dataset(raw)
    print(f"{raw}")

    _step(2, "plan and prepare  (autoseg_plan_and_preprocess)")
    recipe = home / "small_planner.py"
    write_bytes(recipe, RECIPE.encode())
    planners = PlannerChoice(planner_3d=f"{recipe}:SmallPlanner", planner_2d=NO_PLANNER)
    plan_and_preprocess(TASK, workspace, planners=planners, plans_name=PLANS)

    _step(3, f"train fold {FOLD} for {counted(epochs, 'short epoch')}, then validate  (autoseg_train)")
    limit_threads()
    key = ModelKey(task=TASK, configuration=CONFIGURATION, plans=PLANS)
    settings = TrainingSettings(epochs=epochs, iterations_per_epoch=ITERATIONS, seed=SEED)
    trainer = build_trainer(key, FOLD, workspace, settings=settings)
    try:
        train(trainer, resume=True)
    except (Interrupted, KeyboardInterrupt) as stop:
        raise type(stop)("stopped, and the state is saved; run autoseg_demo again to go on") from stop
    validate(trainer)

    _step(4, "predict the held-out cases  (autoseg_predict)")
    predictions = home / "predictions"
    predicted = predict(
        [raw / "imagesTs"],
        predictions,
        workspace,
        model=ModelChoice(task=TASK, configuration=CONFIGURATION, plans=PLANS),
        settings=PredictionSettings(overwrite=True),
    )
    if predicted.unlike:
        print(describe_unlike(predicted))
    print(f"written: {predictions}")

    _step(5, "score them against the truth  (autoseg_evaluate_folder)")
    summary = evaluate_folder(raw / "labelsTs", predictions, Scoring(counted=Counted.of_target(dataset.target)))
    print(score_table(summary, dataset.target.labels))

    _step(6, "draw them  (autoseg_plot_task)")
    pictures = _draw(dataset, predictions, home / "pictures")
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look at\n  {pictures}/*.png\n  {trainer.fold.progress}")
    return summary.foreground_mean.get("Dice")


def _step(number: int, what: str) -> None:
    print(f"\n[{number}/6] {what}")


def _draw(dataset: Dataset, predictions: Path, output: Path) -> Path:
    """The held-out cases, each with its true labels beside what was predicted."""
    from autoseg.machine.pool import fitting_workers
    from autoseg.reporting.overlays import Shown, plot_cases
    from autoseg.reporting.task_pictures import BYTES_PER_WORKER

    truth = dataset.folder / "labelsTs"
    cases = [replace(case, segmentation=truth / f"{case.identifier}.nii.gz") for case in dataset.test]
    workers = fitting_workers(None, BYTES_PER_WORKER)
    plot_cases(cases, output, Shown(labels=dataset.target.outputs, predictions=predictions), workers=workers)
    return output


COMMAND = Command(
    name="autoseg_demo",
    summary="see the whole walk in minutes, on a synthetic task made on the spot",
    reads="nothing",
    writes=f"./{DEFAULT_FOLDER} (or --home DIR): raw_data, preprocessed, results, predictions with summary.json, pictures.\n"
    "Running it again goes on where it was.",
    example="autoseg_demo",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
main = partial(run_command, COMMAND)
