"""One file a command: a parser, and a function with plain arguments that does the work."""

from autoseg.module_path import drop_relative_entries

LEFT_OUT = drop_relative_entries()
"""Of PYTHONPATH, before anything is imported by way of it."""

from autoseg.remedies import tell_shortage_of_imports  # noqa: E402

tell_shortage_of_imports()
