"""The whole walk on a synthetic task that is made on the spot, so that somebody sees in minutes what there is to see."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

from autoseg.conversion.phantom import make_phantom_task
from autoseg.dataset import Dataset, read_dataset
from autoseg.errors import Interrupted
from autoseg.evaluation.folders import ScoringSettings, evaluate_folder
from autoseg.evaluation.metrics import Counted
from autoseg.files.layout import DATASET_FILE
from autoseg.files.model_folder import ModelKey
from autoseg.files.storage import write_bytes
from autoseg.machine.pool import fitting_workers
from autoseg.networks import limit_threads
from autoseg.paths import Workspace
from autoseg.planning.making import NO_PLANNER, PlannerChoice
from autoseg.planning.workflow import plan_and_prepare
from autoseg.prediction import ModelChoice, PredictionSettings, predict
from autoseg.reporting.overlays import Shown, plot_cases
from autoseg.reporting.scores import score_table
from autoseg.reporting.task_pictures import BYTES_PER_WORKER
from autoseg.terminal.signals import stop_request
from autoseg.training import TrainingSettings, build_trainer
from autoseg.words import RESULT, counted

log = logging.getLogger(__name__)

TASK = "Task900_Phantom"
CONFIGURATION = "3d_fullres"
FOLD = "0"
PLANS = "small"

ITERATIONS, SEED = 20, 0

PLANNER = '''"""The demo's planner: a rule of your own takes no more than this.

Use it as `autoseg_plan_and_preprocess -t 900 -pl3d small_planner.py:SmallPlanner -pl2d None`.
"""

from autoseg.planning import Planner3D


class SmallPlanner(Planner3D):
    """A network with a quarter of the usual channels, so that two CPU cores train it in minutes."""

    features = 8
'''


def demo(home: Path, *, epochs: int) -> float | None:
    """Walk all the way in `home`: make, plan, prepare, train, predict, score and draw; what is there already is kept.

    What is done and what comes of it is logged.

    Returns:
        The mean Dice of the held-out cases.

    Raises:
        Interrupted, KeyboardInterrupt: It was stopped in training, whose state is saved.
    """
    started = time.monotonic()
    workspace = Workspace.from_environment({}, home=home)
    raw = workspace.task(TASK).raw

    _step(1, "make a task: 20 labelled volumes of two organs, and 4 held out")
    if not (raw / DATASET_FILE).is_file():
        make_phantom_task(workspace.raw_data, TASK)
    dataset = read_dataset(raw)
    _say(str(raw))

    _step(2, "plan and prepare  (autoseg_plan_and_preprocess)")
    own = home / "small_planner.py"
    write_bytes(own, PLANNER.encode())
    planners = PlannerChoice(planner_3d=f"{own}:SmallPlanner", planner_2d=NO_PLANNER, plans=PLANS)
    plan_and_prepare(TASK, workspace, planners)

    _step(3, f"train fold {FOLD} for {counted(epochs, 'short epoch')}, then validate  (autoseg_train)")
    limit_threads()
    key = ModelKey(task=TASK, configuration=CONFIGURATION, plans=PLANS)
    settings = TrainingSettings(epochs=epochs, iterations_per_epoch=ITERATIONS, seed=SEED)
    trainer = build_trainer(key, FOLD, workspace, settings=settings)
    try:
        with stop_request() as stop_requested:
            trainer.run(resume=True, should_stop=stop_requested)
    except (Interrupted, KeyboardInterrupt) as stop:
        raise type(stop)("stopped, and the state is saved; run autoseg_demo again to go on") from stop
    _say(score_table(trainer.validate(), trainer.target.labels))
    _say(f"written: {trainer.output}")

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
        _say(predicted.describe_unlike())
    _say(f"written: {predictions}")

    _step(5, "score them against the truth  (autoseg_evaluate_folder)")
    summary = evaluate_folder(raw / "labelsTs", predictions, ScoringSettings(counted=Counted.of_target(dataset.target)))
    _say(score_table(summary, dataset.target.labels))

    _step(6, "draw them  (autoseg_plot_task)")
    pictures = _draw(dataset, predictions, home / "pictures")
    _say(f"\nDone in {time.monotonic() - started:.0f} s. Look at\n  {pictures}/*.png\n  {trainer.fold.progress}")
    return summary.foreground_mean.get("Dice")


def _step(number: int, what: str) -> None:
    _say(f"\n[{number}/6] {what}")


def _say(text: str) -> None:
    log.info("%s", text, extra=RESULT)


def _draw(dataset: Dataset, predictions: Path, output: Path) -> Path:
    """The held-out cases, each with its true labels beside what was predicted."""
    truth = dataset.folder / "labelsTs"
    cases = [replace(case, segmentation=truth / f"{case.identifier}.nii.gz") for case in dataset.test]
    workers = fitting_workers(None, BYTES_PER_WORKER)
    plot_cases(cases, output, Shown(target=dataset.target, predictions=predictions), workers=workers)
    return output
