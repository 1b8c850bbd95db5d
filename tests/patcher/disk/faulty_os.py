"""Fault injection: an `os`, a `flock` and a git of which the n-th call fails or kills."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import git

from patcher.disk import fs
from patcher.disk.git import Repository, git_refusal

CALLS = [
    "open",
    "write",
    "fsync",
    "fchmod",
    "fchown",
    "replace",
    "unlink",
    "mkdir",
    "rmdir",
    "ftruncate",
    "pwrite",
]
ERRORS = ("ENOSPC", "EACCES", "EIO")
KINDS = (
    *ERRORS,
    "disk full from here on",
    "read-only from here on",
    "no permission for this file",
    "kill before",
    "kill after",
    "kill midway",
)
NEEDS_ROOM = {"write", "mkdir", "pwrite"}
UNKNOWN = {
    "no owners here (fchown EINVAL)": ("fchown", errno.EINVAL),
    "no folder syncs (fsync EINVAL)": ("fsync", errno.EINVAL),
    "no locks (flock ENOSYS)": ("flock", errno.ENOSYS),
}
"""What some file systems do not have: every such call fails, and the command succeeds."""

REAL_CHANGE = Repository.change
REAL_FLOCK = fcntl.flock


class FaultyOs:
    """Stands in for `os` in `patcher.disk.fs`, and breaks the n-th call that changes disk.

    `git` does the same for commands that change a repository.
    """

    def __init__(self, at: int, kind: str) -> None:
        self.at = at
        self.kind = kind
        self.called: list[str] = []
        self.struck: object = None
        self.failing = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name == "lstat" and "fchown" in self.kind:
            return _of_another
        return self._watched(name, real) if name in CALLS else real

    def take_over(self) -> None:
        """From now on this process writes through it."""
        fs.os = self  # type: ignore[assignment]
        fs.fcntl.flock = self.flock

        def change(repo: Repository, *words: str, feed: bytes = b"") -> None:
            self.git(repo, *words, feed=feed)

        Repository.change = change  # type: ignore[method-assign]

    def flock(self, handle: int, how: int) -> None:
        """Stands in for `fcntl.flock`."""
        self._watched("flock", REAL_FLOCK)(handle, how)

    def git(self, repo: Repository, *command: str, feed: bytes = b"") -> None:
        """Stands in for `Repository.change`."""

        def run(place: str) -> None:
            if self.failing:
                error = git.GitCommandError(["git", *command], 128, b"fatal: no room")
                raise git_refusal(error)
            REAL_CHANGE(repo, *command, feed=feed)

        self.failing = False
        self._watched("git", run)(command[0])

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.called.append(name)
            here = len(self.called)
            if self.kind in UNKNOWN:
                self._refuse(name, arguments)
            elif here == self.at:
                self._strike(name, arguments)
            elif here > self.at > 0:
                self._linger(name, arguments)
            result = real(*arguments, **more)
            if here == self.at and self.kind == "kill after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    def _refuse(self, name: str, arguments: Sequence[Any]) -> None:
        lacking, code = UNKNOWN[self.kind]
        file = name == "fsync" and not stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
        if name == lacking and not file:
            self.struck = name
            raise OSError(code, os.strerror(code))

    def _strike(self, name: str, arguments: Sequence[Any]) -> None:
        self.struck = arguments[0]
        if self.kind in ERRORS:
            if name == "git":
                self.failing = True
                return
            self._fail(getattr(errno, self.kind), arguments)
        self._linger(name, arguments)
        if self.kind == "kill midway" and name in ("write", "pwrite"):
            handle, data, *_ = arguments
            os.write(handle, bytes(data)[: len(data) // 2])
        if self.kind in ("kill before", "kill midway"):
            os.kill(os.getpid(), signal.SIGKILL)

    def _linger(self, name: str, arguments: Sequence[Any]) -> None:
        if name == "git":
            self.failing = self.kind.endswith("from here on")
            return
        makes = name == "open" and arguments[1] & os.O_CREAT
        if self.kind == "disk full from here on" and (makes or name in NEEDS_ROOM):
            self._fail(errno.ENOSPC, arguments)
        if self.kind == "read-only from here on":
            self._fail(errno.EROFS, arguments)
        if self.kind == "no permission for this file" and arguments[0] == self.struck:
            self._fail(errno.EACCES, arguments)

    def _fail(self, code: int, arguments: Sequence[Any]) -> None:
        place = arguments[0] if isinstance(arguments[0], Path) else None
        raise OSError(code, os.strerror(code), place and str(place))


def _of_another(path: Path) -> os.stat_result:
    """What `lstat` says, but for the owner."""
    values = list(os.lstat(path))
    values[4:6] = [12345, 54321]
    return os.stat_result(values)
