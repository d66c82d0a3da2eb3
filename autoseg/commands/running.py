"""What all commands share: their parser, the workspace, what may come next, and the exit code of every way to end."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autoseg.command_words import Words
from autoseg.commands import LEFT_OUT
from autoseg.commands.settings import typed, typed_log
from autoseg.commands.spelling import hint
from autoseg.errors import AutosegError, Interrupted
from autoseg.extensions import find_fault
from autoseg.paths import DEFAULT_HOME, Workspace
from autoseg.remedies import describe_os_error, shortage
from autoseg.terminal.messages import configure_logging, tell
from autoseg.terminal.signals import Terminated, sigterm_as_interruption
from autoseg.terminal.starting import STEP_OF_RUN, settle_in
from autoseg.terminal.streams import reader_is_gone, say, with_streams
from autoseg.versions import versions

log = logging.getLogger(__name__)

DONE, USER_CAN_FIX, USAGE, BUG, RESUMABLE, CTRL_C = 0, 1, 2, 3, 75, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command line tool.

    Attributes:
        name: Of the console script, `autoseg_train`.
        summary: One line, for the list of commands.
        reads, writes: For the help, where the command's input lies and what it leaves where.
        example: Whole command lines, for the help.
        run: Does the work; it returns when everything is done and raises otherwise.
        uses_workspace: Whether the three folders matter to it.
    """

    name: str
    summary: str
    reads: str
    writes: str
    example: str
    add_arguments: Callable[[Parser], None]
    run: Callable[[argparse.Namespace, Workspace], None]
    uses_workspace: bool = True

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """What the console script does; see `run_command`."""
        return run_command(self, argv)


class Parser(argparse.ArgumentParser):
    """A parser to which a mistyped option is an error, never a short option with the rest as its value."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse, after looking at everything that is spelt like an option."""
        words = list(sys.argv[1:] if args is None else args)
        known = [option for action in self._actions for option in action.option_strings]
        for word in words[: words.index("--")] if "--" in words else words:
            option = word.partition("=")[0]
            if _looks_like_an_option(word) and option not in known:
                self.error(f"unknown option {option}" + hint(option, self._actions))
        return super().parse_args(words, namespace)


def run_command(command: Command, argv: Sequence[str] | None = None, *, program: str | None = None) -> int:
    """Parse `argv` (default: the command line), do the command's work, and return its exit code."""
    return with_streams(partial(_run, command, argv, program or command.name))


def _run(command: Command, argv: Sequence[str] | None, program: str) -> int:
    words = sys.argv[1:] if argv is None else argv
    try:
        arguments = build_parser(command, program).parse_args(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    arguments.command_line = (*program.split(), *words)
    configure_logging(verbose=arguments.verbose)
    try:
        settle_in(LEFT_OUT)
        with sigterm_as_interruption(), typed_log():
            command.run(arguments, _workspace(arguments.home, command))
    except (Interrupted, Terminated) as error:
        return _say(program, str(error), RESUMABLE)
    except AutosegError as error:
        log.debug("%s", traceback.format_exc())
        return _say(program, str(error), USER_CAN_FIX)
    except KeyboardInterrupt as stop:
        return _say(program, str(stop) or "stopped by Ctrl-C; run the same command again to go on", CTRL_C)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and reader_is_gone():
            raise
        log.debug("%s", traceback.format_exc())
        return _say(program, describe_os_error(error), USER_CAN_FIX)
    except Exception as error:
        if (what := shortage(error)) is not None:
            log.debug("%s", traceback.format_exc())
            return _say(program, what, USER_CAN_FIX)
        return _say_what_broke(program, arguments, error)
    return DONE


def build_parser(command: Command, program: str) -> Parser:
    """The command's parser, with the options that all commands have."""
    parser = Parser(
        prog=program,
        description=command.summary,
        epilog=f"reads:\n{_indented(command.reads)}\n\nwrites:\n{_indented(command.writes)}\n\n"
        f"example:\n{_indented(command.example)}",
    )
    command.add_arguments(parser)
    common = parser.add_argument_group("common options")
    common.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help="folder with raw_data, preprocessed and results; wins over AUTOSEG_HOME and the three AUTOSEG_* folders",
    )
    common.add_argument("-v", "--verbose", action="store_true", help="say more, and show where an error arose")
    common.add_argument("--version", action="version", version=versions())
    return parser


def say_next(*commands: Words, home: Path | None = None, where: str = "") -> None:
    """Print the commands that may follow, a line each; nothing where there is none, or where `autoseg_run` goes on itself.

    Args:
        home: As the user gave it, to be given again.
        where: Where they are to be run, if not here.
    """
    if STEP_OF_RUN in os.environ:
        return
    everywhere = () if home is None else ("--home", str(home))
    for number, command in enumerate(commands):
        tell(f"{'or' if number else 'next'}{where}: {shlex.join([*command, *everywhere])}")


def _workspace(home: Path | None, command: Command) -> Workspace:
    workspace = Workspace.from_environment(os.environ, home=home)
    if command.uses_workspace and workspace.unnamed:
        log.info("%s: in ./%s, as neither --home nor AUTOSEG_HOME is set", ", ".join(workspace.unnamed), DEFAULT_HOME)
    return workspace


def _looks_like_an_option(word: str) -> bool:
    return word.startswith("-") and word != "-" and not word[1:2].isdecimal() and word[1:2] != "."


def _say_what_broke(program: str, arguments: argparse.Namespace, error: Exception) -> int:
    """An error in the user's own file is theirs to put right; any other is a bug of ours, or what their class led to."""
    place = find_fault(error)
    if place is not None:
        say("".join(traceback.format_exception(error.with_traceback(place.traceback))).rstrip())
        return _say(program, f"{place.file}, line {place.line}: {_last_line(error)}; correct it there", USER_CAN_FIX)
    say(traceback.format_exc().rstrip())
    own = "".join(
        f", or of {value}" for value in vars(arguments).values() if isinstance(value, str) and ".py:" in value
    )
    return _say(program, f"this is a bug of autoseg{own}; please report it with the lines above\n{versions()}", BUG)


def _last_line(error: Exception) -> str:
    return traceback.format_exception_only(error)[-1].strip()


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def _say(program: str, message: str, code: int) -> int:
    say(f"{program}: {typed(message)}")
    return code
