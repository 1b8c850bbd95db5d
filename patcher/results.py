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
    hint: str = ""
    lines: tuple[str, ...] = ()


class Refusal(Exception):
    """Raised where a command must stop; carries every reason and the exit code."""

    def __init__(self, *reasons: Reason, code: Exit = Exit.REFUSED) -> None:
        super().__init__("; ".join(reason.what for reason in reasons))
        self.reasons = reasons
        self.code = code


@dataclass(frozen=True)
class FileEdit:
    """One file of an apply or a rollback, and how many lines it gains and loses."""

    path: str
    added: int
    removed: int
    created: bool = False
    deleted: bool = False


@dataclass(frozen=True)
class Applied:
    """The patches are in the tree; `patches` are all of them, `notes` worth reading."""

    tree: str
    release: str
    patches: tuple[str, ...]
    files: tuple[FileEdit, ...]
    notes: tuple[str, ...] = ()
    commit: str | None = None
    exit: Exit = Exit.DONE


@dataclass(frozen=True)
class WouldApply:
    """What an apply would do; nothing was written."""

    tree: str
    release: str
    patches: tuple[str, ...]
    files: tuple[FileEdit, ...]
    diff: str
    notes: tuple[str, ...] = ()
    exit: Exit = Exit.DIFFERS


@dataclass(frozen=True)
class AlreadyApplied:
    """The tree has the patches already; nothing was written."""

    tree: str
    release: str
    patches: tuple[str, ...]
    notes: tuple[str, ...] = ()
    exit: Exit = Exit.DONE


@dataclass(frozen=True)
class RolledBack:
    """The patches are gone from the tree; `left` are those that stay."""

    tree: str
    release: str
    patches: tuple[str, ...]
    left: tuple[str, ...]
    files: tuple[FileEdit, ...]
    notes: tuple[str, ...] = ()
    commit: str | None = None
    exit: Exit = Exit.DONE


@dataclass(frozen=True)
class NothingToDo:
    """The tree is already as asked; nothing was written."""

    tree: str
    what: str
    notes: tuple[str, ...] = ()
    exit: Exit = Exit.DONE


@dataclass(frozen=True)
class CheckedOut:
    """A pinned tree now stands at `dest`, as one git commit."""

    release: str
    dest: str
    commit: str
    exit: Exit = Exit.DONE


@dataclass(frozen=True)
class Refused:
    """Nothing was done, for these reasons."""

    reasons: tuple[Reason, ...]
    exit: Exit = Exit.REFUSED


Result = (
    Applied
    | WouldApply
    | AlreadyApplied
    | RolledBack
    | NothingToDo
    | CheckedOut
    | Refused
)
