"""A small sample of benchmarks/faults.py: stages killed at random instants end as if nobody had touched them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "faults.py"
KILLS = 6


def test_stages_killed_at_random_instants_end_as_if_untouched(tmp_path: Path) -> None:
    words = ["--home", tmp_path, "--kills", KILLS, "--configurations", "2d", "--folds", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    stage, kills, *_, ends, equal = done.stdout.splitlines()[-1].split()
    assert (stage, kills, ends) == ("all", str(KILLS), equal)
    assert int(ends) >= KILLS - 1
