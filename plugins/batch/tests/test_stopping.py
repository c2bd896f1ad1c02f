"""Ctrl-C: once it asks to stop, twice it stops."""

from __future__ import annotations

import os
import signal

import pytest

from autopipe_batch.stopping import Stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_asks_and_the_second_raises(number: signal.Signals) -> None:
    told: list[str] = []
    before = signal.getsignal(number)
    with Stopping(told.append) as stopping:
        assert not stopping()
        os.kill(os.getpid(), number)
        assert stopping.asked
        assert told == []
        assert stopping()
        assert stopping()
        assert len(told) == 1
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
