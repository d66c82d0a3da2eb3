"""A script of commands, run for every fold: a line after the other, fold after fold, up to the first that fails."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from autoseg.errors import WorkspaceError
from autoseg.files.layout import LOCK_FILE
from autoseg.files.locking import hold_lock
from autoseg.files.storage import read_bytes
from autoseg.jobs.asked import LAUNCHER
from autoseg.jobs.carrying_out import finish
from autoseg.jobs.runner import Runner
from autoseg.jobs.steps import Step
from autoseg.words import first_few

FOLD = "{fold}"
"""What stands for the fold in a line."""

COMMENT = "#"
OURS = "autoseg_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLine:
    """A command of a script.

    Attributes:
        number: In the file, from 1.
        words: The program and its arguments, in which `{fold}` may stand.
    """

    number: int
    words: tuple[str, ...]


def run_for_folds(
    script: Path, folds: Sequence[str], folder: Path, output: TextIO, everywhere: Sequence[str] = ()
) -> None:
    """Run all lines of a script for each fold; what is done is left alone, and after a failure nothing more is started.

    A line is done when it ended well, and neither it nor a line before it has changed since.

    Args:
        folder: Of the journal and the logs.
        output: Is told about every step, and gets the steps' own output.
        everywhere: Options that each command of ours gets.

    Raises:
        WorkspaceError: The script cannot be read, or names a program that is not there.
        AutosegError: A step failed.
        Interrupted: Stopped by a signal or time limit.
        KeyboardInterrupt: Stopped by Ctrl-C.
    """
    lines = read_script(script)
    steps = tuple(step for fold in folds for step in _steps(lines, fold, tuple(everywhere)))
    chained = [
        Step(
            name=step.name,
            argv=step.argv,
            settings=step.settings,
            kind=step.kind,
            needs=() if before is None else (before.name,),
        )
        for before, step in zip((None, *steps), steps, strict=False)
    ]
    with hold_lock(folder / LOCK_FILE, f"autoseg_run_folds of {script.name}"):
        runner = Runner(folder, output)
        runner.run(chained, total=len(chained))
        finish(script.name, runner, chained)


def read_script(path: Path) -> tuple[ScriptLine, ...]:
    """The commands of a file, one a line; empty lines and those that begin with `#` are none.

    Raises:
        WorkspaceError: It holds no command, or one of a program that is not there, or quotes that do not end.
    """
    if not path.is_file():
        raise WorkspaceError(f"{path}: no such file; name a text file with a command in each line")
    lines = []
    for number, text in enumerate(read_bytes(path).decode(errors="replace").splitlines(), start=1):
        if text.strip() and not text.lstrip().startswith(COMMENT):
            try:
                lines.append(ScriptLine(number=number, words=tuple(shlex.split(text))))
            except ValueError as error:
                raise WorkspaceError(f"{path}: line {number}: {error}; close the quotation") from error
    if not lines:
        raise WorkspaceError(f"{path}: holds no command; write one a line, with {FOLD} where the fold is meant")
    if absent := [line for line in lines if not line.words[0].startswith(OURS) and shutil.which(line.words[0]) is None]:
        named = first_few([f"{line.words[0]} in line {line.number}" for line in absent])
        raise WorkspaceError(f"{path}: no such program: {named}; correct it, or install what is meant")
    return tuple(lines)


def _steps(lines: Sequence[ScriptLine], fold: str, everywhere: tuple[str, ...]) -> Iterator[Step]:
    before: tuple[str, ...] = ()
    for line in lines:
        words = tuple(word.replace(FOLD, fold) for word in line.words)
        before = (*before, "\n", *words)
        yield Step(
            name=f"fold {fold} line {line.number} {words[0]}",
            argv=_line(words, everywhere),
            settings=before,
            kind=str(line.number),
        )


def _line(words: tuple[str, ...], everywhere: tuple[str, ...]) -> tuple[str, ...]:
    """Our own commands by this very installation, whatever else is on the path."""
    program, *arguments = words
    if not program.startswith(OURS):
        return words
    return (*LAUNCHER, program.removeprefix(OURS), *arguments, *everywhere)
