"""What the tools answer: exit codes, and frozen values that a CLI only renders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, the same for every command."""

    DONE = 0
    DIFFERS = 1
    USAGE = 2
    REFUSED = 3
    UNAVAILABLE = 4


@dataclass(frozen=True)
class Reason:
    """Why something was refused: where, what, and what to do about it.

    `lines` are the few lines that show it, in diff notation (`- ` expected, `+ ` found).
    """

    file: str
    symbol: str
    what: str
    todo: str = ""
    lines: tuple[str, ...] = ()


class Refusal(Exception):
    """Raised where a command must stop; carries every reason and the exit code."""

    def __init__(self, *reasons: Reason, code: Exit = Exit.REFUSED) -> None:
        super().__init__("; ".join(reason.what for reason in reasons))
        self.reasons = reasons
        self.code = code
