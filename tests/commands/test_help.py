"""What a user reads first: the list of commands and each command's help, at once and without the training stack."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import autoseg
from autoseg.commands.running import build_parser
from autoseg.commands.umbrella import GROUPS, find_command, main

NAMES = [name for names in GROUPS.values() for name in names]
PROJECT = Path(__file__).resolve().parents[2]

HEAVY = ("torch", "matplotlib", "pandas", "SimpleITK", "nibabel", "scipy", "skimage", "sklearn", "batchgenerators")


@pytest.mark.parametrize("name", NAMES)
def test_help_tells_what_is_read_what_is_written_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0

    told = capsys.readouterr().out
    command = find_command(name)
    assert told.startswith(f"usage: autoseg {name} ")
    for part in (command.summary, command.reads, command.writes, command.example):
        assert part.splitlines()[0] in told
    assert re.search(r"\nreads:\n  \S.*\n(.*\n)*writes:\n  \S.*\n(.*\n)*example:\n  autoseg_" + name, told)
    assert "--home DIR" in told
    assert command.name == f"autoseg_{name}"


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(name: str) -> None:
    parser = build_parser(find_command(name), name)

    unexplained = [action.dest for action in parser._actions if not action.help or action.help.startswith("(")]
    assert unexplained == []


def test_help_is_fast_because_it_imports_little() -> None:
    code = (
        "import sys\n"
        "from autoseg.commands.umbrella import main, GROUPS\n"
        "for names in GROUPS.values():\n"
        "    for name in names: main([name, '--help'])\n"
        f"print([package for package in {HEAVY} if package in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


def test_the_umbrella_lists_every_command_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for name in NAMES:
        assert re.search(rf"\n  {name} +{re.escape(find_command(name).summary)}(\n|$)", told)
    assert main([]) == 2
    assert capsys.readouterr().out == told


def test_an_unknown_command_is_code_2_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("usage: autoseg COMMAND")
    assert told.endswith("autoseg: there is no command 'trian'; did you mean train?\n")
    assert main(["qqqq"]) == 2
    assert capsys.readouterr().err.endswith("autoseg: there is no command 'qqqq'\n")


@pytest.mark.parametrize("spelling", ["plan_from_json", "plan-from-json", "autoseg_plan_from_json"])
def test_the_umbrella_runs_the_command_itself(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([spelling, "absent.json"]) == 1
    assert capsys.readouterr().err == (
        "autoseg plan_from_json: absent.json: no plans here; run autoseg_plan_and_preprocess first\n"
    )


def test_versions_are_told_without_importing_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"autoseg {autoseg.__version__}, Python 3.")
    assert main(["plan_from_json", "--version"]) == 0
    assert f"autoseg {autoseg.__version__}, Python 3." in capsys.readouterr().out


def test_every_command_is_installed_under_its_name() -> None:
    section = (PROJECT / "pyproject.toml").read_text().partition("[project.scripts]\n")[2].partition("\n\n")[0]

    assert dict(re.findall(r'^(\w+) = "(.+)"$', section, re.MULTILINE)) == {
        "autoseg": "autoseg.commands.umbrella:main",
        **{f"autoseg_{name}": f"autoseg.commands.{name}:main" for name in NAMES},
    }
