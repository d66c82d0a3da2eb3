"""What is said: results on stdout, all else on stderr, between progress bars rather than through them."""

from __future__ import annotations

import logging
import sys
from functools import partial

from autoseg.terminal.streams import write_message
from autoseg.words import RESULT

log = logging.getLogger(__name__)


def configure_logging(*, verbose: bool) -> None:
    """Send results to stdout, all else that autoseg logs to stderr."""
    logger = logging.getLogger("autoseg")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    for handler in [handler for handler in logger.handlers if isinstance(handler, _TerminalHandler)]:
        logger.removeHandler(handler)
    logger.addHandler(_TerminalHandler())


def tell(text: str) -> None:
    """Print a result, and hand it to whatever keeps what is said, as the log of a training."""
    log.info("%s", text, extra=RESULT)


class _TerminalHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if any(hasattr(record, mark) for mark in RESULT):
            print(self.format(record))
            return
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        message = prefix + self.format(record)
        write = sys.modules["tqdm"].tqdm.write if "tqdm" in sys.modules else print
        write_message(partial(write, message, file=sys.stderr))
