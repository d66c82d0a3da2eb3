"""Nothing that lies where a command is started is imported, by it or by what it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.jobs.asked import LAUNCHER

NAMES = "logging random numpy torch socket pickle threading multiprocessing tqdm scipy sitecustomize argparse".split()
SAFE_PATH = sys.version_info >= (3, 11)
SCRIPT = str(Path(sys.executable).with_name("autoseg"))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of modules each of which leaves a word where it is imported."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')\n")
    return folder


def start(words: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHONSAFEPATH", "PYTHONPATH")}
    environment = {**inherited, "AUTOSEG_HOME": str(folder.parent / "home"), **variables}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)


def executed(folder: Path) -> str:
    path = folder.parent / "executed"
    return path.read_text() if path.exists() else ""


def test_a_step_of_a_run_imports_nothing_from_where_it_is_started(hostile: Path) -> None:
    (hostile / "autoseg").mkdir()
    (hostile / "autoseg" / "README.md").write_text("a clone")

    ended = start([*LAUNCHER, "list_models"], hostile)

    assert (ended.returncode, executed(hostile)) == (0, "")
    assert "no model yet" in ended.stdout


def test_python_m_autoseg_imports_nothing_of_its_own_from_there(hostile: Path) -> None:
    """The interpreter itself looks there before the first line of ours: only for what runs a module by its name."""
    ended = start([sys.executable, "-m", "autoseg", "list_models"], hostile)

    assert (ended.returncode, executed(hostile).replace("sitecustomize ", "")) == (0, "")


@pytest.mark.parametrize("path", [":", ".", ":/nowhere", "../downloads"])
def test_what_pythonpath_names_relative_to_it_is_left_out(hostile: Path, path: str) -> None:
    ended = start([SCRIPT, "list_models"], hostile, PYTHONPATH=path)

    assert ended.returncode == 0
    assert executed(hostile) in ("", "sitecustomize ")  # which the interpreter imports before anything of ours
    named = "." in path
    assert (f"PYTHONPATH: {path} left out, which lies in whatever folder" in ended.stderr) == named


SPAWNED = """
import sys
import autoseg.commands
from autoseg.module_path import protect_children
if __name__ == "__main__":
    protect_children()
    import multiprocessing
    from multiprocessing import shared_memory
    shared_memory.SharedMemory(create=True, size=8).unlink()  # starts the resource tracker
    context = multiprocessing.get_context({method!r})
    worker = context.Process(target=print, args=("worked",))
    worker.start()
    worker.join()
    sys.exit(worker.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_neither_do_workers_and_what_watches_over_them(hostile: Path, tmp_path: Path, method: str) -> None:
    script = tmp_path / "scripts" / "command.py"
    script.parent.mkdir()
    script.write_text(SPAWNED.format(method=method))

    ended = start([sys.executable, str(script)], hostile)

    assert (ended.returncode, ended.stdout, executed(hostile)) == (0, "worked\n", ""), ended.stderr


@pytest.mark.skipif(not SAFE_PATH, reason="this version is told by a variable")
def test_the_way_of_python_3_10_does_so_in_any_version(hostile: Path, tmp_path: Path) -> None:
    script = tmp_path / "scripts" / "command.py"
    script.parent.mkdir()
    pretence = "import sys\nsys.version_info = (3, 10)\nimport os\n"
    script.write_text(
        pretence
        + SPAWNED.format(method="spawn").replace(
            "import multiprocessing\n", "os.environ.pop('PYTHONSAFEPATH')\n    import multiprocessing\n", 1
        )
    )

    ended = start([sys.executable, str(script)], hostile)

    assert (ended.returncode, ended.stdout, executed(hostile)) == (0, "worked\n", ""), ended.stderr


def test_a_users_own_file_imports_its_neighbours_but_they_take_no_librarys_place(hostile: Path) -> None:
    (hostile / "neighbour.py").write_text("EPOCHS = 7\n")
    (hostile / "mine.py").write_text("import random, socket\nfrom neighbour import EPOCHS\n")
    code = "from pathlib import Path\nfrom autoseg.extensions import import_file\nprint(import_file(Path('mine.py')).EPOCHS)"

    ended = start([sys.executable, *(["-P"] if SAFE_PATH else ["-I"]), "-c", code], hostile)

    assert (ended.returncode, ended.stdout, executed(hostile)) == (0, "7\n", ""), ended.stderr
