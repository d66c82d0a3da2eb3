"""The first signal asks the work to stop, a later one insists."""

from __future__ import annotations

import os
import signal

import pytest

from autoseg.errors import Interrupted
from autoseg.terminal import signals
from autoseg.terminal.signals import Terminated, stop_request


@pytest.mark.parametrize(("sent", "raised"), [(signal.SIGTERM, Interrupted), (signal.SIGINT, KeyboardInterrupt)])
def test_signals_close_together_are_one_request_to_stop(sent: signal.Signals, raised: type[BaseException]) -> None:
    """`timeout` sends its signal to the process and to its group."""
    before = signal.getsignal(sent)
    with pytest.raises(raised, match="saved, continue with -c"), stop_request() as stop_requested:
        assert not stop_requested()
        os.kill(os.getpid(), sent)
        os.kill(os.getpid(), sent)
        assert stop_requested()
        raise Interrupted("saved, continue with -c")
    assert signal.getsignal(sent) is before


@pytest.mark.parametrize(("sent", "raised"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_later_signal_insists(
    monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, raised: type[BaseException]
) -> None:
    monkeypatch.setattr(signals, "SECONDS_OF_ONE_REQUEST", 0.0)
    with pytest.raises(raised), stop_request():
        os.kill(os.getpid(), sent)
        os.kill(os.getpid(), sent)
        signal.pause()
