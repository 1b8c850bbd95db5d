"""Interrupts wait while the tree is between two states, which takes milliseconds."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from patcher.results import Interrupted

TWICE = 0.25
"""Seconds. timeout(1) signals its child, and a moment later the group that it is in."""

_WAITING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def held(done: str) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP wait until the block has ended.

    Raises `Interrupted`, saying what is `done`, if one came and the block succeeded. An
    error of the block goes first: a terminal's Ctrl-C ends git too, and that undoes all.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in _WAITING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise Interrupted(done)


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt the block as Ctrl-C does; what comes twice, once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    last = -TWICE

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        since, last = time.monotonic() - last, time.monotonic()
        if since >= TWICE:
            raise KeyboardInterrupt

    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {
        number: signal.signal(number, interrupt)
        for number in _WAITING
        if signal.getsignal(number) in usual
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
