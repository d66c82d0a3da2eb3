"""Planning and preparing the whole task, for all its configurations, from raw files to files that training reads."""

from __future__ import annotations

import argparse
import gzip
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness import Ceiling, Contest, report
from setting import NUMBER, Setting, fresh

CONFIGURATIONS = 2
"""2d and 3d_fullres; the images are too small for a lower resolution."""


def contests(setting: Setting) -> Iterator[Contest]:
    """Against the peer's default number of processes, and against one process for each core."""
    cores = os.cpu_count() or 1
    raw = setting.raw["autoseg"]
    cases = len(setting.cases)
    contest = Contest(
        stage="plan and preprocess",
        work=f"{cases} hippocampus cases, 2d and 3d_fullres",
        autoseg=setting.command(
            "autoseg",
            "autoseg_plan_and_preprocess",
            "-t",
            NUMBER,
            environment={"AUTOSEG_RAW_DATA": str(raw.parent), "AUTOSEG_HOME": fresh("home")},
            produces=("home/preprocessed/**/*_foreground.npy", CONFIGURATIONS * cases),
        ),
        peer=setting.command(
            "peer",
            "nnUNetv2_plan_and_preprocess",
            "-d",
            NUMBER,
            environment={"nnUNet_preprocessed": fresh("preprocessed")},
            produces=("preprocessed/*/nnUNetPlans_*/*.pkl", CONFIGURATIONS * cases),
        ),
        ceiling=_ceiling(setting),
    )
    yield contest
    assert contest.peer is not None
    one_each = ("-np", str(cores), "-npfp", str(cores))
    yield replace(
        contest,
        stage="plan and preprocess, peer with a process a core",
        peer=replace(contest.peer, words=contest.peer.words + one_each),
    )


def _ceiling(setting: Setting) -> Ceiling:
    """Unpack every file once, on all cores, and write as many bytes as autoseg keeps."""
    kept = sum(path.stat().st_size for path in setting.prepared["autoseg"].rglob("*.npy"))
    unpacking = setting.ask(setting.script("autoseg", "planning", setting.raw["autoseg"]))["seconds"]
    seconds = unpacking / setting.rates["cores"] + setting.ceiling(moved=2 * kept).seconds
    return Ceiling(seconds=seconds, bound="unpacking")


def main() -> None:
    """Time the unpacking of all files on one core."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("side", choices=["autoseg"])
    parser.add_argument("raw", type=Path)
    files = [path.read_bytes() for path in parser.parse_args().raw.glob("*Tr/*.nii.gz")]
    started = time.perf_counter()
    for content in files:
        gzip.decompress(content)
    report(seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
