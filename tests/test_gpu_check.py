"""The check of a GPU runs small on a CPU, what it judges follows from the numbers, and no section stops the others."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autoseg.files.model_folder import FoldFolder
from autoseg.networks.precision import Precision

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu.checks")


@pytest.fixture
def right(checks: ModuleType) -> ModuleType:  # noqa: ARG001 - it makes the package known
    return importlib.import_module("gpu.right")


def setting(checks: ModuleType, folder: Path, **changes: Any) -> Any:
    return checks.Setting(**{"device": "cpu", "is_small": True, "folder": folder, "slower": None, **changes})


def run(*words: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(BENCHMARKS / "gpu_check.py"), *words]
    return subprocess.run(script, capture_output=True, text=True, check=False, env=os.environ | ONE_THREAD)


def test_every_section_runs_on_a_cpu_and_nothing_is_wrong(tmp_path: Path) -> None:
    environment = os.environ | ONE_THREAD | {"TMPDIR": str(tmp_path)}
    words = [sys.executable, str(BENCHMARKS / "gpu_check.py"), "--small", "--device", "cpu"]

    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = re.findall(r"^\[ *\d+ s\] (right|noted|left out) +(\w+), (.+)$", done.stdout, re.MULTILINE)
    assert list(dict.fromkeys(section for _, section, _ in lines)) == [
        *("machine", "right", "layers", "step", "augment", "loader", "epoch", "predict")
    ]
    assert "training in fp32: losses " in done.stdout
    assert "right     right, --deterministic twice, residual_unet: equal (expected: equal weights)\n" in done.stdout
    assert (
        "right     right, stopped and continued: the same (expected: the weights of one that was not)\n" in done.stdout
    )
    assert "left out  right, overflow in the first fp16 step: needs an NVIDIA GPU\n" in done.stdout
    assert "left out  augment, 4 channels, waiting for the device: needs an NVIDIA GPU\n" in done.stdout
    assert "step, nnU-Net v2's" in done.stdout
    assert re.findall(
        r"right     augment, (\d) channels?: \S+ of the range apart, \d+ of \d+ labels differ", done.stdout
    ) == [*("1", "4")]
    assert re.search(r"^\d+ right, \d+ noted, \d+ left out$", done.stdout, re.MULTILINE)
    assert list(tmp_path.glob("gpu_check_*")) == []


def test_an_unknown_section_is_a_wrong_command_line() -> None:
    done = run("--only", "step,everything")

    assert done.returncode == 2
    assert (
        "no section 'everything', known are machine, right, layers, step, augment, loader, epoch, predict"
        in done.stderr
    )


def test_a_device_that_is_not_there_is_said(checks: ModuleType) -> None:  # noqa: ARG001
    done = run("--device", "cuda:99")

    assert done.returncode == 1
    assert done.stderr.startswith("gpu_check.py: device cuda:99: torch ")


@pytest.mark.parametrize(
    ("milliseconds", "slower", "verdict"),
    [(64.0, 1.0, "right"), (10.0, 1.0, "right"), (84.0, 1.0, "slow"), (84.0, 1.1, "right"), (84.0, None, "noted")],
)
def test_times_are_judged_by_those_of_the_reference_scaled_to_this_gpu(
    checks: ModuleType, tmp_path: Path, milliseconds: float, slower: float | None, verdict: str
) -> None:
    bounds = setting(checks, tmp_path, slower=slower).expect((50.0, 80.0))

    found = checks.judge_time("step", "large", milliseconds / 1000, bounds, mend="compile it", beside=", 3 GB")

    assert found.verdict == verdict
    if verdict == "slow":
        assert found.line() == ("slow      step, large: 84 ms, 3 GB (expected: 50 to 80 ms)\n          -> compile it")
    if verdict == "noted":
        assert found.line() == "noted     step, large: 84 ms, 3 GB"


def test_a_section_that_fails_stops_no_other(checks: ModuleType, tmp_path: Path) -> None:
    def broken(_: Any) -> Iterator[Any]:
        yield checks.Check(section="broken", what="first", measured="here")
        raise RuntimeError("no kernel image is available")

    def sound(_: Any) -> Iterator[Any]:
        yield checks.attempt("sound", "sum", "4", lambda: ("4", True))
        yield checks.attempt("sound", "quotient", "1", lambda: (str(1 / 0), True), mend="divide by less")
        yield checks.tried("sound", "late", lambda: 1 / 0)

    found = list(checks.run_sections({"broken": broken, "sound": sound}, setting(checks, tmp_path), 60.0))

    assert [(one.section, one.verdict) for one in found] == [
        *(("broken", "noted"), ("broken", "wrong")),
        *(("sound", "right"), ("sound", "wrong"), ("sound", "wrong")),
    ]
    assert found[1].measured.endswith("RuntimeError: no kernel image is available\n")
    told = checks.summary(found).splitlines()
    assert told[0] == "1 right, 3 wrong, 1 noted"
    assert told[-3:] == [
        "wrong     sound, quotient: ZeroDivisionError: division by zero (expected: 1)",
        "          -> divide by less",
        "wrong     sound, late: ZeroDivisionError: division by zero (expected: no error)",
    ]


def test_when_the_time_is_over_the_rest_is_left_out(checks: ModuleType, tmp_path: Path) -> None:
    def endless(_: Any) -> Iterator[Any]:
        while True:
            yield checks.Check(section="endless", what="again", measured="here")

    found = list(checks.run_sections({"endless": endless, "late": endless}, setting(checks, tmp_path), 0.05))

    assert [(one.section, one.what, one.verdict) for one in found[-2:]] == [
        ("endless", "the rest", "left out"),
        ("late", "all of it", "left out"),
    ]


@pytest.mark.parametrize("is_prepared", [True, False])
def test_an_overflow_in_the_first_step_shows_in_the_momentum(
    right: ModuleType, checks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_prepared: bool
) -> None:
    """The fused optimiser begins with uninitialised memory where nothing was put there; so the check can fail."""
    if not is_prepared:
        monkeypatch.setattr("autoseg.training.start.start_momentum", lambda _: None)
    trainer = right._trainer(
        setting(checks, tmp_path), "overflow", kind=right.Overflowing, epochs=1, iterations_per_epoch=1
    )
    trainer.precision = Precision(name="fp16", device="cpu")  # in which a CPU trains only when it is made to

    trainer.run()

    assert (trainer.largest_momentum == 0) == is_prepared


@pytest.mark.parametrize(("losses", "is_right"), [("0.5", False), ("0.5, 0.25", True), ("0.5, null", False)])
def test_a_training_is_right_with_a_finite_loss_of_every_epoch(
    right: ModuleType, checks: ModuleType, tmp_path: Path, losses: str, is_right: bool
) -> None:
    class Ended:
        fold, epochs = FoldFolder(folder=tmp_path), 2

    records = ", ".join(f'{{"loss": {loss}}}' for loss in losses.split(", "))
    (tmp_path / "history.json").write_text(f'{{"epochs": [{records}]}}')

    found = checks.attempt("right", "training", "finite losses", lambda: right._losses(Ended()))
    assert found.verdict == ("right" if is_right else "wrong")
