"""What is in a tree right now: cut off, intact, edited since, or patched by others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from patcher.disk import journal, manifest, packed
from patcher.disk.lock import has_leftovers, locked, require_free
from patcher.disk.manifest import Manifest
from patcher.results import Reason, Refusal
from patcher.tree import diff
from patcher.tree.find import STATE, Tree

_MARKER = b"# nsa-opt: "


def finish_cut_off(tree: Tree, *, dry: bool = False) -> tuple[str, ...]:
    """Finishes a command that was cut off half way, and says so in a note.

    Raises `Refusal` in a dry run, which must not write.
    """
    left = journal.pending(tree)
    if left is None:
        if has_leftovers(tree) and not dry:
            with locked(tree):
                pass  # letting go of the tree removes them
        return ()
    if dry:
        require_free(tree)
        if journal.pending(tree) != left:
            raise _changed()
        what = "a command was cut off half way: the tree is half patched"
        hint = "run apply-nsa-opt or rollback-nsa-opt: it finishes that command first"
        raise Refusal(Reason(STATE, "", what, hint))
    with locked(tree):
        left = journal.pending(tree)
        if left is None:
            return ()  # that command was at work still, and has ended by now
        journal.recover(tree, left)
    return ("finished a command that had been cut off half way",)


@contextlib.contextmanager
def undisturbed(tree: Tree) -> Iterator[None]:
    """Planning without the lock: what was read while another command wrote is no reason.

    Raises `Refusal` that says so in the place of one that the block raised meanwhile.
    """
    before = _stamp(tree)
    try:
        yield
    except Refusal:
        require_free(tree)
        if _stamp(tree) != before:
            raise _changed() from None
        raise


def _stamp(tree: Tree) -> list[tuple[int, int] | None]:
    """Every command that writes makes and removes its lock, so a folder's time tells."""
    return [_time(folder) for folder in (tree.state.parent, tree.state)]


def _time(folder: Path) -> tuple[int, int] | None:
    try:
        stat = folder.lstat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _changed() -> Refusal:
    return Refusal(Reason(STATE, "", "another command changed the tree", "try again"))


def require_unchanged(
    tree: Tree, applied: Manifest | None, before: Mapping[str, bytes | None]
) -> None:
    """Raises `Refusal` if the tree is no longer what was planned for.

    `before` holds the bytes that the plan started from, where no patch was applied.
    """
    if journal.pending(tree) is not None or manifest.load(tree) != applied:
        raise _changed()
    if applied is not None:
        require_intact(tree, applied)
    managed = applied.patched() if applied else {}
    for file, data in before.items():
        if file not in managed and tree.read(file) != data:
            raise Refusal(Reason(file, "", "was edited just now", "try again"))


def require_intact(tree: Tree, applied: Manifest) -> None:
    """Raises `Refusal` for every patched file that was edited since, with the lines."""
    reasons = []
    for file in applied.files:
        packed.guard(tree, file.path)
        data = tree.read(file.path)
        if data == file.patched:
            continue
        symbol, shown = "", tuple[str, ...]()
        if data is None:
            what = "was removed since it was patched"
        else:
            lines = diff.changed_lines(file.path, file.patched, data)
            what = f"was edited since it was patched ({len(lines)} lines)"
            symbol, shown = diff.first_symbol(file.patched, data), tuple(lines[:4])
        hint = "undo that, or carry it over by hand, and run the command again"
        reasons.append(Reason(file.path, symbol, what, hint, shown))
    if reasons:
        raise Refusal(*reasons)


def require_unmarked(originals: Mapping[str, bytes]) -> None:
    """Raises `Refusal` when a file carries a marker but no manifest tells of it."""
    marked = [file for file, data in originals.items() if _MARKER in data]
    if marked:
        what = "carries patches of nsa-opt, but the tree has no manifest of them"
        hint = "restore the file (git checkout, or reinstall the release), then apply"
        raise Refusal(*(Reason(file, "", what, hint) for file in marked))
