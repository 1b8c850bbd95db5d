"""One writer at a time; the lock goes with its process, however that ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from patcher.disk import fs
from patcher.disk.packed import guard
from patcher.results import Exit, Reason, Refusal
from patcher.tree.find import STATE, Tree

_LOCK = "lock"
_IGNORE = ".gitignore"
_LEFTOVERS = {_LOCK, "journal.json.tmp", ".manifest.json.nsa-opt.tmp"}
_MEANINGFUL = {"manifest.json", "journal.json"}


@contextlib.contextmanager
def locked(tree: Tree) -> Iterator[None]:
    """Holds the tree. The state folder is made, and goes when nothing is left in it.

    Raises `Refusal` when another process holds it, or when it cannot be written.
    """
    guard(tree, f"{STATE}/{_LOCK}")
    try:
        handle = _acquire(tree)
    except OSError as error:
        with contextlib.suppress(OSError):
            fs.rmdir(tree.state)
        raise unwritable(error) from error
    try:
        try:
            fs.sign(handle, f"{os.getpid()}\n")
            if not (tree.state / _IGNORE).exists():
                mode = fs.shared(tree.state, 0o644)
                fs.write(tree.state / _IGNORE, b"*\n", mode, tree.state)
        except OSError as error:
            raise unwritable(error) from error
        yield
    finally:
        _dissolve(tree)
        os.close(handle)


def unwritable(error: OSError) -> Refusal:
    """The refusal for an error of the disk."""
    what = f"cannot be written: {error.strerror or error}"
    hint = "make the tree writable, or make room, and run the command again"
    return Refusal(
        Reason(str(error.filename or STATE), "", what, hint), code=Exit.UNAVAILABLE
    )


def _acquire(tree: Tree) -> int:
    """The handle of the locked file; the holder before may still be removing it."""
    path = tree.state / _LOCK
    while True:
        try:
            fs.mkdir(tree.state)
            handle = fs.claim(path)
        except FileNotFoundError:
            if not tree.state.parent.is_dir():
                raise
            continue
        try:
            _hold(handle)
        except BaseException:
            os.close(handle)
            raise
        if _still_there(path, handle):
            return handle
        os.close(handle)


def _hold(handle: int, *, share: bool = False) -> None:
    """Raises `Refusal` when another process holds the file.

    Where there are no locks, it is held while the process lives that signed it.
    """
    try:
        locked = fs.lock(handle, share=share)
    except BlockingIOError:
        locked = None
    if locked:
        return
    holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
    if locked is None or (holder != str(os.getpid()) and _lives(holder)):
        what = f"another nsa-opt command (process {holder or '?'}) holds the tree"
        raise Refusal(Reason(STATE, "", what, "wait for it to end"))


def _lives(holder: str) -> bool:
    try:
        os.kill(int(holder), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True


def require_free(tree: Tree) -> None:
    """Raises `Refusal` when another process holds the tree right now; writes nothing."""
    try:
        with (tree.state / _LOCK).open("rb") as file:
            _hold(file.fileno(), share=True)
    except OSError:
        return  # no lock, so no holder; or one that this user may not ask about


def _still_there(path: os.PathLike[str], handle: int) -> bool:
    """Whether the locked file is still the one of that name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def has_leftovers(tree: Tree) -> bool:
    """Whether a command that was cut off left something that means nothing any more."""
    try:
        names = {entry.name for entry in tree.state.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return False
    return bool(names & _LEFTOVERS) or not names & _MEANINGFUL


def _dissolve(tree: Tree) -> None:
    """Removes what means nothing any more, and the state folder if nothing is left.

    What an error leaves here is harmless, and goes with the next command.
    """
    with contextlib.suppress(OSError):
        for name in _LEFTOVERS - {_LOCK}:
            fs.unlink(tree.state / name)
        if {entry.name for entry in tree.state.iterdir()} <= {_LOCK, _IGNORE}:
            fs.unlink(tree.state / _IGNORE)
            fs.unlink(tree.state / _LOCK)
            fs.rmdir(tree.state)
            fs.sync(tree.state.parent)
        else:
            fs.unlink(tree.state / _LOCK)
