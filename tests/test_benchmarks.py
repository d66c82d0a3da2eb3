"""The benchmark's own arithmetic: what is a result, what is none, and what the tables say. No timing is asserted."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
STARTED_BY_HAND = (
    "compare",
    "gpu_check",
    "tables",
    "where_time_goes",
    "kill_autoseg_run",
    "transforms",
    "delivery",
    "prepared",
    "structure",
    "networks",
    "folders",
    "leaks",
)
SIDES_OF_STAGES = ("agreement", "augmentation", "export", "folds", "large", "machine", "models", "training")
MEGABYTE = 2**20


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("harness")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("tables")


def side(harness: ModuleType, code: str, **words: Any) -> Any:
    return harness.Side(words=(sys.executable, "-c", code), **words)


def says(seconds: float) -> str:
    return f"print('RESULT {json.dumps({'seconds': seconds})}')"


def contest(harness: ModuleType, ours: str, theirs: str, **words: Any) -> Any:
    return harness.Contest(stage="stage", work="work", autoseg=side(harness, ours), peer=side(harness, theirs), **words)


def run_rounds(harness: ModuleType, folder: Path, ours: str, theirs: str, **words: Any) -> Any:
    return harness.alternate(
        contest(harness, ours, theirs, **words), alternations=3, folder=folder, tell=lambda _: None
    )


def test_the_ratio_is_of_what_both_sides_reported_in_one_round(
    harness: ModuleType, tables: ModuleType, tmp_path: Path
) -> None:
    outcome = run_rounds(harness, tmp_path, says(0.5), says(4.0))

    assert tables.ratios(outcome) == [8.0, 8.0, 8.0]
    assert not outcome["failures"]


def test_sides_take_turns_at_going_first(harness: ModuleType, tmp_path: Path) -> None:
    order = tmp_path / "order.txt"
    code = "open({path!r}, 'a').write({name!r})"

    run_rounds(harness, tmp_path, *(code.format(path=str(order), name=name) for name in "ap"))

    assert order.read_text() == "appaap"


def test_a_round_in_which_a_side_failed_is_no_result(harness: ModuleType, tables: ModuleType, tmp_path: Path) -> None:
    outcome = run_rounds(harness, tmp_path, says(1.0), "raise ValueError('no more memory')")

    assert outcome["rounds"] == []
    assert outcome["failures"] == ["peer: exit code 1: ValueError: no more memory"] * 3
    assert "| stage | work | no result | no result | no result |" in tables.comparison_table({"contests": [outcome]})


def test_a_peer_that_may_fail_leaves_our_result_and_no_ratio(
    harness: ModuleType, tables: ModuleType, tmp_path: Path
) -> None:
    outcome = run_rounds(harness, tmp_path, says(12.0), "raise MemoryError()", peer_may_fail=True, alternations=1)

    assert len(outcome["rounds"]) == 1
    assert tables.ratios(outcome) == []
    assert "| work | fails | 12 s |  |" in tables.comparison_table({"contests": [outcome]})


def test_missing_results_are_a_failure(harness: ModuleType, tmp_path: Path) -> None:
    code = "from pathlib import Path; import sys; (Path(sys.argv[1]) / 'a.nii.gz').touch()"
    words = (sys.executable, "-c", code, harness.FRESH)

    harness.measure(harness.Side(words=words, produces=("*.nii.gz", 1)), tmp_path / "fresh")
    with pytest.raises(harness.RunError, match=r"made 1 of 2 files \*\.nii\.gz"):
        harness.measure(harness.Side(words=words, produces=("*.nii.gz", 2)), tmp_path / "fresh")


def test_a_run_that_takes_too_long_is_ended_with_all_it_started(harness: ModuleType, tmp_path: Path) -> None:
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"

    with pytest.raises(harness.RunError, match="not done after 1 s: nothing was said"):
        harness.measure(side(harness, code, longest=1.0), tmp_path / "fresh")


def test_the_peak_is_that_of_the_whole_tree(harness: ModuleType, tmp_path: Path) -> None:
    held = "import sys, time; held = bytearray(b'1') * (60 * 2**20); time.sleep(1)"
    code = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {held!r}]); {held}; child.wait()"

    peak = harness.measure(side(harness, code), tmp_path / "fresh").peak_bytes

    assert 120 * MEGABYTE < peak < 160 * MEGABYTE


def test_memory_of_the_work_is_what_goes_beyond_that_held_before(harness: ModuleType, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "from harness import report, timed_work\n"
        "earlier = bytearray(b'1') * (90 * 2**20)\n"
        "del earlier\n"
        "given = bytearray(b'1') * (50 * 2**20)\n"
        "with timed_work() as work:\n"
        "    made = bytearray(b'1') * (40 * 2**20)\n"
        "report(**work)\n"
    )

    said = harness.measure(side(harness, code), tmp_path / "fresh").said

    assert said["beyond_bytes"] / MEGABYTE == pytest.approx(40, abs=1.5)


@pytest.mark.parametrize(("values", "middle"), [([3.0], 3.0), ([4.0, 1.0, 2.0], 2.0), ([4.0, 1.0], 2.5)])
def test_the_middle_value(harness: ModuleType, values: list[float], middle: float) -> None:
    assert harness.median(values) == middle


def test_a_row_of_the_table(tables: ModuleType) -> None:
    def measured(seconds: float, peak: int) -> dict[str, Any]:
        return {"seconds": seconds, "peak_bytes": peak, "said": {}}

    contest = {
        "stage": "export",
        "work": "scores to labels",
        "unit": "s",
        "alone": False,
        "ceiling": {"seconds": 0.5, "bound": "memory bandwidth"},
        "rounds": [
            {"autoseg": measured(2.0, 500 * MEGABYTE), "peer": measured(40.0, 6 * 2**30)},
            {"autoseg": measured(4.0, 700 * MEGABYTE), "peer": measured(44.0, 8 * 2**30)},
            {"autoseg": measured(2.5, 600 * MEGABYTE), "peer": measured(45.0, 7 * 2**30)},
        ],
        "failures": [],
    }

    assert tables.comparison_table({"contests": [contest]}).splitlines()[2] == (
        "| export | scores to labels | 44 s | 2.5 s | 18.0 (11.0 to 20.0) | 7.0 GB | 600 MB | 20 % (memory bandwidth) |"
    )


def test_more_folds_are_set_against_one(tables: ModuleType) -> None:
    def run(folds: int, network: float, other: float) -> dict[str, Any]:
        said = {"network_seconds": network, "other_seconds": other}
        return {"stage": f"folds, {folds}", "rounds": [{"autoseg": {"seconds": network + other, "said": said}}]}

    rows = tables.folds_table({"contests": [run(1, 10.0, 2.0), run(5, 44.0, 2.0)]}).splitlines()

    assert rows[2:] == [
        "| in the networks | 10 s | 44 s | 4.40 |",
        "| everything else | 2 s | 2 s | 1.00 |",
        "| in all | 12 s | 46 s | 3.83 |",
    ]


def test_where_the_time_went_before_stands_beside_where_it_goes(tables: ModuleType) -> None:
    now, before = {"training": {"loss": 1.0, "network": 3.0}}, {"training": {"network": 6.0, "optimiser": 0.5}}

    assert tables.profile_table(now, before).splitlines() == [
        "| stage | part | seconds | share | seconds before |",
        "|---|---|---|---|---|",
        "| training | network | 3.00 | 75.0 % | 6.00 |",
        "| training | loss | 1.00 | 25.0 % |  |",
        "| training | all of it | 4.00 | 100 % | 6.50 |",
    ]
    assert tables.profile_table(now).splitlines()[-1] == "| training | all of it | 4.00 | 100 % |"


def test_small_parts_are_counted_with_everything_else(tables: ModuleType) -> None:
    now = {"training": {"network": 97.5, "loss": 1.0, "optimiser": 0.5, "everything else": 1.0}}
    before = {"training": {"network": 50.0, "loss": 3.0, "clipping": 7.0}}

    assert tables.profile_table(now, before).splitlines()[2:] == [
        "| training | network | 97.50 | 97.5 % | 50.00 |",
        "| training | everything else | 2.50 | 2.5 % | 10.00 |",
        "| training | all of it | 100.00 | 100 % | 60.00 |",
    ]


def test_only_what_is_between_the_marks_of_a_page_changes(tables: ModuleType) -> None:
    page = "before\n<!-- measured: folds -->\nold\nrows\n<!-- end of folds -->\nafter"

    filled = tables.fill(page, {"folds": r"new \1", "not there": "x"})

    assert filled == "before\n<!-- measured: folds -->\nnew \\1\n<!-- end of folds -->\nafter"


def test_every_form_of_a_prepared_case_is_measured() -> None:
    words = [sys.executable, str(BENCHMARKS / "prepared.py"), "--shape", "12", "20", "24", "--tries", "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    rows = [line.split(" | ") for line in done.stdout.splitlines()]
    assert rows[2][:3] == ["| a made CT, 12x20x24", "float32, memory map", "0.0232 MB"]
    assert rows[3][:3] == ["| a made CT, 12x20x24", "float16, memory map", "0.0116 MB"]


def test_one_page_and_no_other_has_the_measured_tables(tables: ModuleType) -> None:
    project = BENCHMARKS.parent
    pages = [project / "README.md", *sorted((project / "documentation").glob("*.md"))]
    measured = {page: re.findall(r"^<!-- measured: (\w+) -->$", page.read_text(), re.MULTILINE) for page in pages}

    assert {page: names for page, names in measured.items() if names} == {
        tables.PAGE: ["comparison", "notes", "folds", "profile", "prepared"]
    }


@pytest.mark.parametrize("name", [*STARTED_BY_HAND, *SIDES_OF_STAGES])
def test_every_script_tells_its_use_without_importing_a_side(name: str) -> None:
    words = [sys.executable, "-X", "importtime", str(BENCHMARKS / f"{name}.py"), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {name}.py")
    assert "nnunetv2" not in done.stderr
    assert "| torch" not in done.stderr


def test_delivery_is_simulated_as_workers_deliver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, of four batches one takes seven seconds: where each has its turn, it falls to the same one always."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    delivery = importlib.import_module("delivery")
    any_free, in_turn = delivery.any_free, delivery.in_turn

    even = [1.0] * 100
    assert in_turn(even, 4, 2) == any_free(even, 4, 2) == pytest.approx(4.0)
    uneven = [7.0, 1.0, 1.0, 1.0] * 250
    assert any_free(uneven, 2, 1000) == pytest.approx(2 / 2.5, rel=0.01)
    assert in_turn(uneven, 2, 1000) == pytest.approx(2 / 4, rel=0.01)
    assert any_free(uneven, 2, 1) < any_free(uneven, 2, 4) <= 0.8


def test_the_layout_of_the_source_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    structure = importlib.import_module("structure")
    one = '"""A module."""\n\n\ndef same(a, b, c, d, e, f, g):\n    """Words."""\n    return "ends with --npz, not ulimit -c 4"\n'
    other = 'class Other:\n    def same(self, *, a):\n        add.add_argument("--npz", "-c")\n        return x\n\n\ndef same():\n    return "fold_0"\n'
    for place, text in (("one.py", one), ("commands/other.py", other)):
        path = tmp_path / "autoseg" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    modules = structure.read_modules(tmp_path)

    assert structure.measure(modules) == {
        "files, lines": "2, 14",
        "a file's lines: median, 90 %, longest": "8, 8, 8",
        "a function's lines: median, 90 %, longest": "1, 2, 2",
        "functions of more than 6 parameters": "1",
        "public names defined in two modules": "1",
        "pairs of 6 repeated lines": "0",
        "modules that spell a fold's folder": "1",
        "lines of commands": "8",
        "texts outside commands that name an option": "1",
        "lines of image formats": "0",
    }
    assert structure.rooms(modules) == {"commands": "1, 8", "ground floor": "1, 6"}
