"""Kill every stage at random instants, run it again as documented, and compare with a walk that was never touched.

    python benchmarks/faults.py --home FOLDER --kills 50 --seed 0

A small synthetic task walks twice through all stages. In the second walk each stage's process is killed (SIGKILL; its
whole group, every fourth time it alone, when its workers must end by themselves within ten seconds), started again by
the same words (`autoseg_train` with -c), and so on until it had its share of kills; then it runs to its end. A stage that
ends before its kill is compared, its products are removed, and it begins anew. What every end leaves must equal what
the untouched walk left: prepared arrays, weights by value, history but for the seconds, segmentations, probabilities,
scores, selection. Prints a table; exit code 1 where anything differs, fails, or leaves a process behind.

Commands run in forks of this process, so that kills fall into their work and not into the imports before it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from forks import log_of, preload, start, wait_for
from lasting import digests
from single_faults import FAULTS, told

from autoseg.conversion.phantom import make_phantom_task

TASK = "Task900_Phantom"
CASES, TEST_CASES = 6, 2
TRAINING = (
    "--epochs 3 --iterations_per_epoch 3 --batch_size 2 --seed 1 --num_workers 1 --checkpoint_minutes 0.0001 "
    "--precision fp32 -device cpu --npz -c -p small"
).split()
PREDICTING = "--disable_tta --precision fp32 -device cpu".split()
PLANNERS = """
from autoseg.planning import Planner2D, Planner3D


class Small2D(Planner2D):
    features = 4


class Small3D(Planner3D):
    features = 4
"""
SHARES = {
    "conversion": 3,
    "preprocessing": 7,
    "training": 16,
    "validation": 8,
    "prediction": 6,
    "ensembling": 3,
    "selection": 4,
    "prediction by selection": 3,
}
"""Of fifty kills."""

ALONE_EVERY = 4
GIVEN_UP = 20
"""Ends in a row before the kill, after which a stage is too short to be hit."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A command line whose products are compared.

    Attributes:
        kind: The row of the table that it counts for.
        products: Files and folders, relative to the home.
        reset: What is removed before it begins anew.
        after: Kills fall after this file is there; None for any moment.
    """

    kind: str
    words: tuple[str, ...]
    products: tuple[str, ...]
    reset: tuple[str, ...]
    after: str | None = None


@dataclass(frozen=True, kw_only=True)
class Untouched:
    """A stage that was left alone: the seconds in which it can be hit, and what it left."""

    seconds: float
    digests: dict[str, str]


@dataclass(kw_only=True)
class Row:
    """What happened to the stages of a kind."""

    kills: int = 0
    alone: int = 0
    after_checkpoint: int = 0
    ends: int = 0
    equal: int = 0
    faults: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="an empty folder for both walks")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--configurations", nargs="+", default=["2d", "3d_fullres"])
    parser.add_argument("--folds", nargs="+", default=["0", "1"])
    parser.add_argument(
        "--others", action="store_true", help="afterwards also each other fault, with what is said of it"
    )
    arguments = parser.parse_args()
    preload()
    home, generator = arguments.home.resolve(), random.Random(arguments.seed)
    make_phantom_task(home / "source", TASK, cases=CASES, test_cases=TEST_CASES)
    stages = all_stages(home / "source" / TASK, arguments.configurations, arguments.folds)
    alone, killed = home / "alone", home / "killed"
    for folder in (alone, killed):
        folder.mkdir(parents=True)
        (folder / "planners.py").write_text(PLANNERS)

    walked = [walk_untouched(stage, alone) for stage in stages]
    kills = share_out(arguments.kills, stages)
    rows = {stage.kind: Row() for stage in stages}
    for stage, untouched, number in zip(stages, walked, kills, strict=True):
        interrupt(stage, untouched, number, killed, rows[stage.kind], generator)
    print(table(rows), flush=True)
    missed = 0
    if arguments.others:
        for fault in FAULTS:
            lines, as_expected = told(fault, alone, home / "other")
            print(f"\n{fault.name}{'' if as_expected else '  (NOT AS EXPECTED)'}", *lines, sep="\n  ", flush=True)
            missed += not as_expected
    return 1 if missed or any(row.faults or row.equal < row.ends for row in rows.values()) else 0


def all_stages(source: Path, configurations: Sequence[str], folds: Sequence[str]) -> list[Stage]:
    """Every stage in its order; HOME in its words stands for the walk's folder."""
    prepared, images = f"preprocessed/{TASK}", f"HOME/raw_data/{TASK}/imagesTs"
    planners = ("-pl3d", "HOME/planners.py:Small3D" if "3d_fullres" in configurations else "None")
    planners += ("-pl2d", "HOME/planners.py:Small2D" if "2d" in configurations else "None")
    stages = [
        _stage("conversion", ("convert_dataset", "-i", str(source)), f"raw_data/{TASK}"),
        _stage("preprocessing", ("plan_and_preprocess", "-t", "900", "-p", "small", "-tf", "2", *planners), prepared),
    ]
    for configuration in configurations:
        model = f"results/{configuration}/{TASK}/Trainer__small"
        for fold in folds:
            stages += _trainings(("train", configuration, "Trainer", "900", fold, *TRAINING), f"{model}/fold_{fold}")
    for name in configurations:
        words = (
            "predict",
            "-t",
            "900",
            "-m",
            name,
            "-p",
            "small",
            "-i",
            images,
            "-o",
            f"HOME/by_{name}",
            "--save_npz",
            *PREDICTING,
        )
        stages.append(_stage("prediction", words, f"by_{name}"))
    folders = [f"HOME/by_{name}" for name in configurations]
    stages.append(
        _stage("ensembling", ("ensemble", "-f", *folders, "-o", "HOME/averaged", "--workers", "1", "--npz"), "averaged")
    )
    choosing = (
        "find_best_configuration",
        "-t",
        "900",
        "-m",
        *configurations,
        "-p",
        "small",
        "-f",
        *folds,
        "--workers",
        "1",
    )
    stages.append(_stage("selection", choosing, f"results/selections/{TASK}"))
    best = ("predict", "--best", "-t", "900", "-i", images, "-o", "HOME/best", *PREDICTING)
    stages.append(_stage("prediction by selection", best, "best"))
    return stages


def _stage(kind: str, words: tuple[str, ...], product: str) -> Stage:
    return Stage(kind=kind, words=words, products=(product,), reset=(product,))


def _trainings(words: tuple[str, ...], fold: str) -> list[Stage]:
    """A fold killed at any time, then after its first checkpoint, then in its validation."""
    results = tuple(f"{fold}/{name}" for name in ("weights_final.pt", "weights_best.pt", "history.json"))
    whole = (*results, f"{fold}/validation_raw")
    return [
        Stage(kind="training", words=words, products=whole, reset=(fold,)),
        Stage(kind="training", words=words, products=whole, reset=(fold,), after=f"{fold}/checkpoint.pt"),
        Stage(
            kind="validation",
            words=words,
            products=whole,
            reset=(f"{fold}/validation_raw",),
            after=f"{fold}/weights_final.pt",
        ),
    ]


def share_out(kills: int, stages: Sequence[Stage]) -> list[int]:
    """Kills for each stage: by the shares of their kinds, at least one a kind where there are enough.

    Within the trainings three of four fall after a first checkpoint.
    """
    weights = []
    for stage in stages:
        alike = [other for other in stages if other.kind == stage.kind and bool(other.after) == bool(stage.after)]
        of_kind: float = SHARES[stage.kind]
        if stage.kind == "training":
            of_kind *= 0.75 if stage.after else 0.25
        weights.append(of_kind / len(alike))
    exact = [kills * weight / sum(weights) for weight in weights]
    counts = [int(number) for number in exact]
    by_rest = sorted(
        range(len(stages)), key=lambda place: (_kind_has(stages, counts, place), counts[place] - exact[place])
    )
    for place in by_rest[: kills - sum(counts)]:
        counts[place] += 1
    return counts


def _kind_has(stages: Sequence[Stage], counts: Sequence[int], place: int) -> bool:
    first = next(number for number, stage in enumerate(stages) if stage.kind == stages[place].kind)
    total = sum(count for count, stage in zip(counts, stages, strict=True) if stage.kind == stages[place].kind)
    return total > 0 or place != first


def walk_untouched(stage: Stage, home: Path) -> Untouched:
    """Run a stage to its end."""
    remove(stage, home)
    process, began = start(stage.words, home), time.monotonic()
    hit_from = wait_for(process, home, stage.after) if stage.after else began
    code = process.wait()
    if code:
        raise SystemExit(f"{stage.kind}: exit code {code} though nobody touched it\n{log_of(home)[-2000:]}")
    return Untouched(seconds=time.monotonic() - hit_from, digests=digests(home, stage.products))


def interrupt(stage: Stage, untouched: Untouched, kills: int, home: Path, row: Row, generator: random.Random) -> None:
    """Kill a stage so many times, each time going on where it was, then let it end; every end is compared."""
    if not kills and all((home / name).exists() for name in stage.products):
        return
    remove(stage, home)
    missed, seconds = 0, untouched.seconds
    while kills and missed < GIVEN_UP:
        process = start(stage.words, home)
        if stage.after:
            wait_for(process, home, stage.after)
        time.sleep(generator.uniform(0, seconds))
        if process.ended():
            compare(stage, untouched, process.wait(), home, row)
            remove(stage, home)
            missed, seconds = missed + 1, seconds * 0.8
            continue
        kills, missed = kills - 1, 0
        by_itself = row.kills % ALONE_EVERY == ALONE_EVERY - 1
        process.kill(by_itself=by_itself)
        row.kills, row.alone = row.kills + 1, row.alone + by_itself
        row.after_checkpoint += any((home / "results").glob("**/checkpoint.pt"))
        if left := process.left_behind():
            row.faults.append(f"{len(left)} processes outlived their parent")
    if kills:
        row.faults.append(f"{kills} kills came too late")
    if stage.kind != "conversion" or not (home / stage.products[0]).exists():
        compare(stage, untouched, start(stage.words, home).wait(), home, row)


def compare(stage: Stage, untouched: Untouched, code: int, home: Path, row: Row) -> None:
    row.ends += 1
    expected, found = untouched.digests, digests(home, stage.products)
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if code:
        row.faults.append(f"exit code {code}: {log_of(home).strip().splitlines()[-1]}")
    if differing:
        row.faults.append(f"differs: {', '.join(differing[:5])}")
    row.equal += not code and not differing


def remove(stage: Stage, home: Path) -> None:
    for name in stage.reset:
        shutil.rmtree(home / name, ignore_errors=True)


def table(rows: dict[str, Row]) -> str:
    titles = ("stage", "kills", "of the parent alone", "after a checkpoint", "ends", "equal")
    lines = [titles, *(_cells(kind, row) for kind, row in rows.items())]
    totals = Row(
        kills=sum(row.kills for row in rows.values()),
        alone=sum(row.alone for row in rows.values()),
        after_checkpoint=sum(row.after_checkpoint for row in rows.values()),
        ends=sum(row.ends for row in rows.values()),
        equal=sum(row.equal for row in rows.values()),
    )
    lines.append(_cells("all", totals))
    widths = [max(len(line[place]) for line in lines) for place in range(len(titles))]
    text = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([*text, *(f"{kind}: {fault}" for kind, row in rows.items() for fault in row.faults)])


def _cells(kind: str, row: Row) -> tuple[str, ...]:
    return kind, *map(str, (row.kills, row.alone, row.after_checkpoint, row.ends, row.equal))


if __name__ == "__main__":
    sys.exit(main())
