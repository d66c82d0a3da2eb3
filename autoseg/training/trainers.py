"""The trainer that a user names: `Trainer`, another that is shipped, or `my_file.py:MyTrainer`."""

from __future__ import annotations

from autoseg.extensions import find_class
from autoseg.training.trainer import Trainer


def find_trainer(reference: str) -> type[Trainer]:
    """The class that a reference names.

    Raises:
        ExtensionError: There is no such class; the known ones are listed.
    """
    from autoseg import training  # whose own package this is, complete by the time of a call

    return find_class(reference, base=training.Trainer, modules=[training])
