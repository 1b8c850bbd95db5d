"""The ways in which a worker can die, each as a value that says what there is to say."""

from __future__ import annotations

import signal
from typing import Any

from verify.outcome import Broken


def ended(side: str, code: int, said: str) -> Broken:
    """The process is gone. said: what it printed to stderr, a stack with it perhaps."""
    tail = frames(said) if code < 0 else ()
    tail = tail or tuple(said.splitlines()[-6:])
    if code == -signal.SIGKILL:
        message = "the worker was killed (SIGKILL: out of memory, or by hand)"
        return Broken("killed", side, message, tail)
    name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return Broken("crash", side, f"the worker ended with {name}", tail)


def raised(side: str, reply: dict[str, Any]) -> Broken:
    """A request failed inside it: what was raised, and where."""
    name = str(reply.get("kind"))
    message = f"{name}: {reply.get('message')}"
    # CUDA and Triton raise errors of other names for it, which say so.
    full = name in ("OutOfMemoryError", "MemoryError") or "out of memory" in message
    kind = "memory" if full else "raised"
    return Broken(kind, side, message, tuple(reply.get("where", ())))


def frames(stack: str) -> tuple[str, ...]:
    """Of what faulthandler printed, the innermost lines and those of the tree."""
    lines = [line.strip() for line in stack.splitlines()]
    found = [line for line in lines if line.startswith("File ")]
    of_tree = [line for line in found if "/sglang/" in line]
    return tuple(dict.fromkeys([*found[:2], *of_tree[:4]]))
