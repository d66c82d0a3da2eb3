"""How the process was started: by whom, in which folder, with which limits, and where its modules come from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from autoseg.errors import WorkspaceError
from autoseg.module_path import protect_children
from autoseg.remedies import address_space, allow_open_files
from autoseg.words import in_bytes, readable

log = logging.getLogger(__name__)

STEP_OF_RUN = "AUTOSEG_STEP_OF_RUN"
"""Tells a command that whoever started it knows what comes next."""

USUAL_ADDRESS_SPACE = 4 * 10**9
"""Bytes; a small training takes half of it on a CPU. With CUDA it is far more."""


def settle_in(left_out: Sequence[str]) -> None:
    """Make the best of it, and say what is wrong with it.

    Args:
        left_out: Of PYTHONPATH, what is not looked into for modules.

    Raises:
        WorkspaceError: The working folder is gone, where neither relative paths nor some libraries work.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise WorkspaceError("the folder that this is started in was deleted; change to another (cd)") from error
    protect_children()
    allow_open_files()
    if named := [entry for entry in left_out if entry]:
        log.warning(
            "PYTHONPATH: %s left out, which lies in whatever folder a command is started in; name the whole path",
            ", ".join(map(readable, named)),
        )
    space = address_space()
    if space is not None and space < USUAL_ADDRESS_SPACE:
        log.warning(
            "this process may have %s of address space (ulimit -v), which the libraries may not do with; where it ends "
            "without a word, or starts no thread, raise the limit (ulimit -v unlimited)",
            in_bytes(space),
        )
