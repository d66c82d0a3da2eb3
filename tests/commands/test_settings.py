"""Messages name settings as Python does; a command shows in their place what is typed."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import pytest

from autoseg.commands.running import build_parser
from autoseg.commands.settings import TYPED, typed, typed_log
from autoseg.commands.umbrella import GROUPS, find_command
from autoseg.errors import TrainingError
from autoseg.training.fold.display import training_log

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "benchmarks"))
import structure  # noqa: E402

DECLARED = {
    option
    for names in GROUPS.values()
    for name in names
    for action in build_parser(find_command(name), name)._actions
    for option in action.option_strings
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("replace it with `overwrite`", "replace it with --overwrite_existing"),
        ("`overwrite=True` replaces them", "--overwrite replaces them"),
        ("as `predict(save_npz=True)` wrote it", "as autoseg_predict --save_npz wrote it"),
        ("one of `configurations` and `plans`", "one of -m and -p"),
        ("name it: `plans=a`, or `step_size=0.25`", "name it: -p a, or --step_size 0.25"),
        ("one of\n  `configuration=2d, plans=a, b`, c", "one of\n  -m 2d -p a, b, c"),
        ("leave `configuration=2d, colour=1` out", "leave -m 2d, colour=1 out"),
        ("train fold `all` of `network.name` with `colour=1`", "train fold `all` of `network.name` with `colour=1`"),
        ("it`s `here: use `overwrite`", "it`s `here: use --overwrite_existing"),
    ],
)
def test_a_setting_is_shown_as_it_is_typed(text: str, shown: str) -> None:
    assert typed(text) == shown


def test_a_log_names_settings_so_as_long_as_a_command_runs(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("autoseg.tests")
    with typed_log():
        log.warning("%s: kept; see `%s`", "a.nii.gz", "overwrite")
    log.warning("see `overwrite`")
    assert caplog.messages == ["a.nii.gz: kept; see --overwrite_existing", "see `overwrite`"]


def test_a_commands_training_log_names_options_and_a_scripts_names_settings(tmp_path: Path) -> None:
    def end_badly(log: Path) -> str:
        with pytest.raises(TrainingError), training_log(log):
            raise TrainingError("the state is saved, continue with `resume=True`")
        return log.read_text().partition("continue with ")[2]

    with typed_log():
        assert end_badly(tmp_path / "command.log") == "-c\n"
    assert end_badly(tmp_path / "script.log") == "`resume=True`\n"


@pytest.mark.parametrize("name", TYPED)
def test_what_is_shown_can_be_typed(name: str) -> None:
    options = re.findall(r"(?<![\w-])--?[a-z]\w*", TYPED[name])
    assert options
    assert set(options) <= DECLARED


def test_the_search_knows_every_option() -> None:
    patterns = structure.options(structure.read_modules(PROJECT)) | {"--help", "-h"}
    assert not {option for option in DECLARED if not any(re.fullmatch(one, option) for one in patterns)}
