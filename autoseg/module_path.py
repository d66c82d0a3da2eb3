"""Where modules are looked for: never in the folder that a command is started in, which may hold anybody's files.

Nothing is imported here but what the interpreter itself has loaded before the first line of ours runs.
"""

import os
import sys

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib would be imported
"""The folder that autoseg itself is imported from."""


def drop_starting_folder() -> None:
    """Drop the working folder, which `python -m` puts first."""
    protected = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
    if not protected and sys.path and sys.path[0] in ("", _working_folder()):
        del sys.path[0]
        _stay_importable()


def drop_relative_entries() -> list[str]:
    """Drop what PYTHONPATH names relative to the working folder, for this process and all that it starts.

    Returns:
        What was dropped; an empty entry, as of `PYTHONPATH=:/some/folder`, is the working folder itself.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    relative = [entry for entry in entries if not os.path.isabs(entry)]  # noqa: PTH117
    if not os.environ.get("PYTHONPATH") or not relative:
        return []
    os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in entries if entry not in relative)
    if not sys.flags.ignore_environment and (working := _working_folder()):
        unwanted = {os.path.normpath(os.path.join(working, entry)) for entry in relative}  # noqa: PTH118
        sys.path[:] = [entry for entry in sys.path if entry not in unwanted]
        _stay_importable()
    return relative


def protect_children() -> None:
    """Have no interpreter that this process starts look into the working folder, the workers' own among them."""
    os.environ["PYTHONSAFEPATH"] = "1"
    if sys.version_info < (3, 11):  # it knows no such variable: workers are started isolated, and told the path later
        import subprocess

        flags = subprocess._args_from_interpreter_flags  # type: ignore[attr-defined]
        if "-I" not in flags():
            subprocess._args_from_interpreter_flags = lambda: ["-I", *flags()]  # type: ignore[attr-defined]


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:  # it was deleted
        return ""


def _stay_importable() -> None:
    """Where autoseg was found only through what is dropped, it is looked for last, behind everything installed."""
    specifications = (finder.find_spec("autoseg", None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    if not any(found is not None and found.origin for found in specifications):
        sys.path.append(HOME)
