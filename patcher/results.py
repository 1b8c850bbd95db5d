"""What the tools answer: exit codes, and frozen values that a CLI only renders."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

SCHEMA_VERSION = 3
"""Of every JSON that a command writes: results, reports, records. Grows with any of them."""


class Exit(IntEnum):
    """The exit codes, the same for every command."""

    DONE = 0
    DIFFERS = 1
    USAGE = 2
    REFUSED = 3
    UNAVAILABLE = 4
    INTERRUPTED = 130


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


def suggest(name: str, known: Iterable[str]) -> str:
    """`did you mean X?`, or what there is."""
    options = list(known)
    close = difflib.get_close_matches(name, options, n=1)
    return f"did you mean {close[0]}?" if close else f"there is: {', '.join(options)}"


def require_known(
    names: Iterable[str], known: Iterable[str], kind: str, option: str = ""
) -> None:
    """Raises `Refusal` (usage), with a suggestion, for names that are not known."""
    options = list(known)
    reasons = [
        Reason(option, name, f"there is no {kind} {name!r}", suggest(name, options))
        for name in names
        if name not in options
    ]
    if reasons:
        raise Refusal(*reasons, code=Exit.USAGE)


def misused(option: str, what: str, hint: str = "see --help") -> Refusal:
    """The refusal of an option that makes no sense as it is given."""
    return Refusal(Reason(option, "", what, hint), code=Exit.USAGE)


class Interrupted(BaseException):
    """A signal ended the command; its text says what was done, and what was not."""


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
class Forgotten:
    """Somebody else took the patches out; what was left of them is gone now too."""

    tree: str
    what: str
    patches: tuple[str, ...]
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
class Fits:
    """What fits releases in a row: `yes` or `no` by patch, and why not."""

    releases: tuple[str, ...]
    family: str
    fits: Mapping[str, str]
    why: str

    @property
    def span(self) -> str:
        """The first and the last release."""
        first, last = self.releases[0], self.releases[-1]
        return first if first == last else f"{first} to {last}"


@dataclass(frozen=True)
class Listed:
    """The patches with their summaries, and what fits which release; or one tree's."""

    tree: str | None
    applied: tuple[str, ...]
    patches: Mapping[str, str]
    releases: tuple[Fits, ...]
    exit: Exit = Exit.DONE


@dataclass(frozen=True)
class FileStatus:
    """A file of a tree. `kind`: `own`, `marked`, or what became of it since an apply."""

    path: str
    kind: str
    sha256: str | None


@dataclass(frozen=True)
class Status:
    """What is in a tree.

    `patches` are names with versions; `gates` their switches, as the environment has
    them; `exact`: the tree, our patches aside, is the release. `unmet` says why the
    record of `required` does not speak for these bytes.
    """

    tree: str
    tool: str
    state: str
    release: str
    exact: bool
    patches: tuple[tuple[str, str], ...]
    gates: Mapping[str, str]
    files: tuple[FileStatus, ...]
    required: str | None = None
    unmet: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
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
    | Forgotten
    | NothingToDo
    | CheckedOut
    | Status
    | Listed
    | Refused
)
