"""Work in miniature: five steps that count (toy_step.py). `python toy_work.py FOLDER SECONDS` runs all of it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from autoseg.jobs.digests import file_digest
from autoseg.jobs.runner import Runner
from autoseg.jobs.steps import Step

STEP = str(Path(__file__).with_name("toy_step.py"))
NAMES = ("verify", "plan", "train a", "train b", "choose")


def toy_steps(folder: Path, *, settings: str = "1", fail: str = "", seconds: float = 0.0) -> tuple[Step, ...]:
    """Verify, plan, two trainings that need the plan, and a choice that needs both."""

    def toy(name: str, *needs: str, kind: str = "", value: str = "") -> Step:
        own = folder / name
        return Step(
            name=name,
            argv=(
                *(sys.executable, STEP, str(own), value, str(seconds), "fail" if name == fail else "ok"),
                *(str(folder / need / "product") for need in needs),
            ),
            settings=(name, value),
            needs=needs,
            inputs={need: partial(file_digest, folder / need / "product") for need in needs},
            products=(own / "product",),
            replaces=own if kind else None,
            kind=kind,
        )

    return (
        toy("verify"),
        toy("plan", "verify"),
        toy("train a", "plan", kind="a", value=settings),
        toy("train b", "plan", kind="b"),
        toy("choose", "train a", "train b"),
    )


def main(words: list[str]) -> int:
    runner = Runner(Path(words[0]) / "run", sys.stdout)
    steps = toy_steps(Path(words[0]), seconds=float(words[1]))
    runner.run(steps, total=len(steps))
    return runner.stopped or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
