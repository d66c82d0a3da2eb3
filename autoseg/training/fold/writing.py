"""What is written beside the training: a copy of it is taken at once, and a thread of its own brings it to the disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)


class Writer:
    """Writes one thing at a time, in order; as a context it leaves nothing half-written behind.

    Where something else ends the context, what could not be written is only logged.

    Args:
        device: Where the tensors are that it is given.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._pending: Future[None] | None = None

    def write(self, content: Any, how: Callable[[Any], None]) -> None:
        """Copy `content`, tensors and plain values, and return while `how` writes the copy.

        Raises:
            AutosegError: What was given before could not be written; it is waited for.
        """
        self.wait()
        copy = copied(content)
        copying = _copying(self._device)

        def bring_to_disk() -> None:
            copying()
            how(copy)

        self._pending = self._thread.submit(bring_to_disk)

    def wait(self) -> None:
        """Until everything is on the disk.

        Raises:
            AutosegError: It could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except Exception as failure:
            if error is None:
                raise
            log.warning("%s", failure)
        finally:
            self._thread.shutdown()


def copied(content: Any) -> Any:
    """Mappings and lists of the same keys and values, with tensors of their own in main memory.

    Those of a CUDA device are still on their way, in order before everything that it is asked for later.
    """
    if isinstance(content, Tensor):
        return _copied(content.detach())
    if isinstance(content, Mapping):
        return {key: copied(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(copied(value) for value in content)
    return content


def _copied(tensor: Tensor) -> Tensor:
    if tensor.device.type == "cuda":
        return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)
    return tensor.clone() if tensor.device.type == "cpu" else tensor.cpu()


def _copying(device: torch.device) -> Callable[[], None]:
    """What waits until the copies that a device was asked for are there."""
    if device.type != "cuda":
        return lambda: None
    copying = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copying.record(torch.cuda.current_stream(device))
    return copying.synchronize
