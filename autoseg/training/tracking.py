"""Trackers: whatever gets the numbers of a training while it runs, TensorBoard or one of a user's choice.

Whatever goes wrong in a tracker is said once, and never ends a training.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from autoseg.catalogue import Catalogue
from autoseg.errors import ExtensionError

log = logging.getLogger(__name__)

About: TypeAlias = Mapping[str, str | int | float]

_ELSEWHERE = Catalogue(kind="tracker", entries={}, given=())


class Tracker(Protocol):
    """What a tracker of your own has; it is made without arguments, in the process that trains."""

    def start(self, about: About) -> None:
        """Before the first epoch of this process.

        Args:
            about: Which training it is, and the numbers that decide it.
        """

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """After each epoch, from 1, the values that it has, by name."""

    def end(self) -> None:
        """When the training ends, or is stopped, or fails."""


class Guarded:
    """A tracker whose first error is said, and which is not asked any more after it.

    Args:
        name: As messages call it.
        make: Returns the tracker.
    """

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self.name = name
        self._make = make
        self._tracker: Any = None
        self._failed = False

    def start(self, about: About) -> None:
        """Make it, and begin."""
        self._carefully(self._begin, about)

    def call(self, method: str, *words: Any) -> None:
        """One of its methods, where it has begun and has such a one."""
        if self._tracker is not None and hasattr(self._tracker, method):
            self._carefully(getattr(self._tracker, method), *words)

    def _begin(self, about: About) -> None:
        self._tracker = self._make()
        self._tracker.start(about)

    def _carefully(self, do: Callable[..., Any], *words: Any) -> None:
        if self._failed:
            return
        try:
            do(*words)
        except Exception as error:
            self._failed = True
            log.warning("%s: %s: %s; the training goes on without it", self.name, type(error).__name__, error)


class TensorBoard:
    """TensorBoard's own files.

    Args:
        folder: Is made with the first value.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def start(self, about: About) -> None:
        """Nothing is written yet."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """The values, as scalars."""
        for name, value in values.items():
            self._opened().add_scalar(name, value, number)

    def picture(self, number: int, picture: NDArray[np.uint8]) -> None:
        """A picture `(H, W, 3)` after an epoch."""
        self._opened().add_image("validation_patch", picture, number, dataformats="HWC")

    def histograms(self, number: int, network: nn.Module) -> None:
        """Of the weights, and of the gradients of the last training batch."""
        for name, parameter in network.named_parameters():
            self._opened().add_histogram(f"weights/{name}", parameter.detach().float().cpu(), number)
            if parameter.grad is not None:
                self._opened().add_histogram(f"gradients/{name}", parameter.grad.detach().float().cpu(), number)

    def end(self) -> None:
        """Close the files."""
        if self._writer is not None:
            self._writer.close()

    def _opened(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self._folder)
        return self._writer


def find_trackers(names: Sequence[str], tensorboard: Path) -> tuple[Guarded, ...]:
    """Those that are named, `my_file.py:MyTracker` or `package.module:Tracker`, and TensorBoard where it is installed.

    Args:
        tensorboard: The folder of its files.

    Raises:
        ExtensionError: There is no such class.
    """
    found = []
    for name in names:
        if ":" not in name:
            raise ExtensionError(
                f"no tracker is called {name!r}; name one as path/to/file.py:ClassName, or package.module:ClassName"
            )
        found.append(Guarded(name, _ELSEWHERE.find(name)))
    if _has_tensorboard():
        found.append(Guarded("TensorBoard", lambda: TensorBoard(tensorboard)))
    return tuple(found)


def _has_tensorboard() -> bool:
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        return False
    return True
