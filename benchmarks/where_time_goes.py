"""Where autoseg's time goes: seconds of each part of planning and preparing, of training, and of prediction.

    python benchmarks/where_time_goes.py --home benchmark_work/autoseg

`--home` is the folder that `compare.py` has filled. Everything runs in one process, one thing after the other, so the
shares are those of the work, without what several processes hide behind each other.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from models import CONFIGURATION
from setting import TASK
from training import autoseg_trainer

REST = "everything else"


class Stopwatch:
    """Seconds of each part, without the parts inside of it; what is in none is the rest."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._parts = [REST]
        self._since = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside for a part."""
        self._switch()
        self._parts.append(name)
        try:
            yield
        finally:
            self._switch()
            self._parts.pop()

    def _switch(self) -> None:
        now = time.perf_counter()
        self.seconds[self._parts[-1]] += now - self._since
        self._since = now

    def look(self) -> dict[str, float]:
        """Seconds of every part so far, the rest included."""
        self._switch()
        return dict(self.seconds)


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--home", type=Path, required=True)
    made.add_argument("--cases", type=int, default=20, help="cases to prepare and to predict (default: 20)")
    made.add_argument("--iterations", type=int, default=5, help="of training (default: 5)")
    made.add_argument("--output", type=Path, help="file for the numbers (default: profile.json beside the home)")
    arguments = made.parse_args()
    home = arguments.home.absolute()
    profile = {
        "plan and preprocess": planning_parts(home, arguments.cases),
        "training": training_parts(home, arguments.iterations),
        "prediction": prediction_parts(home, arguments.cases),
    }
    for stage, parts in profile.items():
        print(f"{stage}: {sum(parts.values()):.2f} s")
        for part, seconds in sorted(parts.items(), key=lambda entry: -entry[1]):
            print(f"  {100 * seconds / sum(parts.values()):5.1f} %  {part}")
    output = arguments.output or home.parent / "profile.json"
    output.write_text(json.dumps(profile, indent=1))
    print(f"written: {output}")
    return 0


# ----------------------------------------------------------------------------------------- stages


def planning_parts(home: Path, cases: int) -> dict[str, float]:
    """Measuring, planning and preparing some cases of the task, as the command does."""
    from dataclasses import replace

    from autoseg import planning
    from autoseg.dataset import raw_cases, read_dataset
    from autoseg.files import storage
    from autoseg.planning import fingerprint as fingerprints
    from autoseg.preprocessing import dataset as datasets
    from autoseg.preprocessing import normalisation, prepare, resampling
    from autoseg.preprocessing.store import PreparedCases

    watched = (
        (raw_cases, "read_images", "reading files"),
        (storage, "file_hash", "hashing files"),
        (prepare, "crop_case", "checking and cropping"),
        (resampling, "resample_image", "resampling"),
        (resampling, "resample_segmentation", "resampling"),
        (normalisation, "normalise", "normalising"),
        (prepare, "sample_foreground", "choosing foreground voxels"),
        (PreparedCases, "save", "writing"),
        (fingerprints, "extract_fingerprint", "measuring the dataset"),
    )
    dataset = read_dataset(home / "raw_data" / TASK)
    dataset = replace(dataset, training=dataset.training[:cases])
    with TemporaryDirectory() as folder, watching(watched) as watch:
        fingerprint = fingerprints.extract_fingerprint(dataset, workers=1)
        plans = {}
        with watch.part("planning"):
            for planner, name in ((planning.Planner3D, CONFIGURATION), (planning.Planner2D, "2d")):
                plans[name] = planner(fingerprint=fingerprint, dataset=TASK).plan()
        folders = {name: Path(folder) / name for name in plans}
        datasets.prepare_dataset(dataset, plans, folders, Path(folder) / "references", workers=1)
    return watch.look()


def training_parts(home: Path, iterations: int) -> dict[str, float]:
    """Some iterations of the planned batch after a first one, each batch made in the same process."""
    import torch

    from autoseg.errors import Interrupted
    from autoseg.networks.encoder_decoder import EncoderDecoder
    from autoseg.plans import load_plans
    from autoseg.training import Trainer
    from autoseg.training.losses import DeepSupervision
    from autoseg.training.sampling.batches import Batches

    watched = (
        (Batches, "make", "making batches"),
        (EncoderDecoder, "forward", "network, forward"),
        (DeepSupervision, "forward", "loss"),
        (torch.autograd, "backward", "network and loss, backward"),
        (torch.nn.utils, "clip_grad_norm_", "clipping gradients"),
        (torch.amp.GradScaler, "step", "optimiser"),
    )
    looks: list[dict[str, float]] = []

    class Watched(Trainer):
        def training_step(self, *step: Any) -> Any:
            loss = super().training_step(*step)
            looks.append(watch.look())
            return loss

    prepared = home / "preprocessed" / TASK
    plans = load_plans(prepared / "autoseg_plans_3D.pkl")
    words = {"epochs": 1, "iterations_per_epoch": iterations + 2, "workers": 0}
    with TemporaryDirectory() as folder, watching(watched) as watch, suppress(Interrupted):
        trainer = autoseg_trainer(plans, prepared, Path(folder) / "model" / "fold_0", Watched, **words)
        trainer.run(should_stop=lambda: len(looks) > iterations)
    return {part: seconds - looks[0].get(part, 0) for part, seconds in looks[iterations].items()}


def prediction_parts(home: Path, cases: int) -> dict[str, float]:
    """Some cases with one fold and eight mirrors, files in to files out, one after the other."""
    from autoseg.dataset.raw_cases import read_case
    from autoseg.images import write_image
    from autoseg.inference import Predictor, export, find_cases, members

    model = Predictor.from_folder(
        home / "results" / CONFIGURATION / TASK / "Trainer__autoseg", CONFIGURATION, folds=["0"], device="cpu"
    )
    found = find_cases([home / "raw_data" / TASK / "imagesTr"], 1)[:cases]
    watched = (
        (Predictor, "prepare", "preparing"),
        (Predictor, "scores", "window, mirrors and averages"),
        (members.Members, "_sum_over_folds", "network"),
        (export, "export_segmentation", "export"),
    )
    with TemporaryDirectory() as folder, watching(watched) as watch:
        for case in found:
            with watch.part("reading files"):
                raw = read_case(case)
            predicted = model.predict_prepared(model.prepare(raw))
            with watch.part("writing files"):
                write_image(Path(folder) / f"{case.identifier}.nii.gz", predicted.segmentation, predicted.geometry)
        return watch.look()


# --------------------------------------------------------------------------------------- watching


@contextmanager
def watching(watched: Any) -> Iterator[Stopwatch]:
    """Time functions of modules and methods of classes, wherever autoseg has imported them."""
    watch = Stopwatch()
    undo: list[Callable[[], None]] = []
    for owner, name, part in watched:
        original = getattr(owner, name)
        timed = _timed_generator(watch, part, original) if inspect.isgeneratorfunction(original) else None
        timed = timed or _timed(watch, part, original)
        places = [owner] if inspect.isclass(owner) else _importers(original, name, owner)
        for place in places:
            setattr(place, name, timed)
            undo.append(lambda place=place, name=name, original=original: setattr(place, name, original))
    try:
        yield watch
    finally:
        for step in undo:
            step()


def _importers(function: Any, name: str, owner: Any) -> list[Any]:
    """The modules of autoseg that know a function by its name, and its own."""
    modules = [module for key, module in list(sys.modules.items()) if key.startswith("autoseg")]
    return [module for module in {*modules, owner} if getattr(module, name, None) is function]


def _timed(watch: Stopwatch, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **words: Any) -> Any:
        with watch.part(part):
            return function(*arguments, **words)

    return timed


def _timed_generator(watch: Stopwatch, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **words: Any) -> Iterator[Any]:
        made = function(*arguments, **words)
        while True:
            with watch.part(part):
                try:
                    value = next(made)
                except StopIteration:
                    return
            yield value

    return timed


if __name__ == "__main__":
    sys.exit(main())
