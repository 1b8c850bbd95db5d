"""An interrupt that is sent twice at once is one; a second one, later, is another."""

from __future__ import annotations

import signal
import time

import pytest

from patcher.disk.signals import TWICE, as_interrupts


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_comes_twice_at_once_interrupts_once(sent: signal.Signals) -> None:
    usual = signal.default_int_handler if sent == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(sent, usual)  # a background job ignores Ctrl-C
    with as_interrupts():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(sent)
        signal.raise_signal(sent)
        time.sleep(TWICE)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(sent)
    assert signal.signal(sent, before) == usual
