"""Every change that the patcher makes to a disk goes through these few calls.

What a file system or a user namespace does not know (owners, folder syncs, locks) is left
out; what it refuses is an error.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

_UNKNOWN_HERE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY}
"""Errors of a call that this file system does not have."""


def write(path: Path, data: bytes, mode: int, like: Path | None = None) -> None:
    """Creates the file anew and waits until it is on the disk.

    `like` is a file, or the folder, whose owner it gets, as far as this user may give
    files away; of a file it gets the extended attributes too.
    """
    unlink(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        if like is not None:
            _own_like(handle, like)
            _attributes_like(handle, like)
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)


def _own_like(handle: int, like: Path) -> None:
    """The owner and the group of `like`; the group alone where only that may be."""
    want, have = os.lstat(like), os.fstat(handle)
    if (want.st_uid, want.st_gid) == (have.st_uid, have.st_gid):
        return
    for user in (want.st_uid, -1):
        try:
            os.fchown(handle, user, want.st_gid)
            return
        except OSError as error:
            if error.errno not in {*_UNKNOWN_HERE, errno.EPERM, errno.EACCES}:
                raise


def _attributes_like(handle: int, like: Path) -> None:
    if not like.is_file():
        return
    with contextlib.suppress(OSError):
        for name in os.listxattr(like):
            with contextlib.suppress(OSError):
                os.setxattr(handle, name, os.getxattr(like, name))


def shared(folder: Path, mode: int) -> int:
    """The mode of a new file in a folder: writable for the group where that is."""
    return mode | (folder.stat().st_mode & stat.S_IWGRP)


def special(path: Path) -> int:
    """The setuid, setgid and sticky bits of a file, which its successor keeps."""
    return path.stat().st_mode & 0o7000 if path.exists() else 0


def replace(source: Path, target: Path) -> None:
    """Puts `source` in the place of `target`, at once."""
    os.replace(source, target)


def unlink(path: Path) -> None:
    """Removes a file, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def drop_unchecked(source: Path) -> None:
    """Removes bytecode that Python would run without looking at its source."""
    for file in sorted(source.parent.glob(f"__pycache__/{source.stem}.*.pyc")):
        with contextlib.suppress(FileNotFoundError):
            with file.open("rb") as data:
                flags = int.from_bytes(data.read(8)[4:], "little")
            if flags == 0b01:  # by hash, and not to be checked
                unlink(file)


def mkdir(path: Path) -> None:
    """Makes a folder with the mode and the owner of the one that it is in, if none is."""
    if path.is_dir():
        return
    parent = path.parent.stat()
    umask = os.umask(0)
    try:
        os.mkdir(path, stat.S_IMODE(parent.st_mode))
    except (
        FileExistsError
    ):  # made, and perhaps removed again, by somebody else just now
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(path.stat().st_mode):
                raise
        return
    finally:
        os.umask(umask)
    if path.stat().st_uid != parent.st_uid or path.stat().st_gid != parent.st_gid:
        with contextlib.suppress(OSError):
            os.chown(path, parent.st_uid, parent.st_gid)


def rmdir(path: Path) -> None:
    """Removes a folder, if there is one; raises OSError when it is not empty."""
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)


def sync(folder: Path) -> None:
    """Waits until the folder's entries are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNKNOWN_HERE:
            raise
    finally:
        os.close(handle)


def claim(path: Path) -> int:
    """Opens the file for a lock, making it if there is none; returns its handle."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, shared(path.parent, 0o644))


def lock(handle: int, *, share: bool = False) -> bool:
    """Locks the open file; False where the file system has no locks.

    Raises `BlockingIOError` when another process holds it.
    """
    kind = fcntl.LOCK_SH if share else fcntl.LOCK_EX
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {*_UNKNOWN_HERE, errno.ENOLCK}:
            return False
        raise
    return True


def sign(handle: int, text: str) -> None:
    """Makes `text` all that stands in the open file."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)
