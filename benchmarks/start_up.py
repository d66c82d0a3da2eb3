"""Start-up: how long `--help` of the commands takes, beside an interpreter that does nothing."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Ceiling, Contest, Side, measure, median, words_of
from setting import Setting

COMMANDS = (
    ("train", "autoseg_train", "nnUNetv2_train"),
    ("predict", "autoseg_predict", "nnUNetv2_predict"),
    ("plan", "autoseg_plan_and_preprocess", "nnUNetv2_plan_and_preprocess"),
)
TRIES = 5


def contests(setting: Setting) -> Iterator[Contest]:
    """One for each of three commands."""
    nothing = Side(words=words_of(setting.autoseg_python, "-c", "pass"))
    bare = median([measure(nothing, setting.work / "fresh_bare").seconds for _ in range(TRIES)])
    for name, ours, theirs in COMMANDS:
        yield Contest(
            stage=f"start-up, {name}",
            work=f"`{ours} --help`",
            autoseg=setting.command("autoseg", ours, "--help"),
            peer=setting.command("peer", theirs, "--help"),
            ceiling=Ceiling(seconds=bare, bound="bare python"),
            warm_up=True,
        )
