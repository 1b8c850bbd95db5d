"""Every change that the patcher makes to a disk goes through these few calls."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def write(path: Path, data: bytes, mode: int, like: Path | None = None) -> None:
    """Creates the file anew and waits until it is on the disk.

    `like` is a file whose owner it gets, as far as this user may give files away.
    """
    unlink(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        if like is not None:
            _chown_like(handle, like)
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)


def _chown_like(handle: int, like: Path) -> None:
    want, have = os.lstat(like), os.fstat(handle)
    if (want.st_uid, want.st_gid) != (have.st_uid, have.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(handle, want.st_uid, want.st_gid)


def replace(source: Path, target: Path) -> None:
    """Puts `source` in the place of `target`, at once."""
    os.replace(source, target)


def unlink(path: Path) -> None:
    """Removes a file, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def mkdir(path: Path) -> None:
    """Makes a folder, if there is none."""
    if path.is_dir():
        return
    try:
        os.mkdir(path)
    except (
        FileExistsError
    ):  # made, and perhaps removed again, by somebody else just now
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(path.stat().st_mode):
                raise


def rmdir(path: Path) -> None:
    """Removes a folder, if there is one; raises OSError when it is not empty."""
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)


def sync(folder: Path) -> None:
    """Waits until the folder's entries are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def claim(path: Path) -> int:
    """Opens the file for a lock, making it if there is none; returns its handle."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def sign(handle: int, text: str) -> None:
    """Makes `text` all that stands in the open file."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)
