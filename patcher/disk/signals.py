"""Interrupts wait while the tree is between two states, which takes milliseconds."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from patcher.results import Interrupted

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
    """SIGTERM and SIGHUP interrupt the block as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    others = [number for number in _WAITING if number != signal.SIGINT]
    before = {
        number: signal.signal(number, interrupt)
        for number in others
        if signal.getsignal(number) == signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
