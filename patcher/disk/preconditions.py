"""What must hold in a tree before a command goes on, and what makes it hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from patcher.disk import journal, manifest, packed
from patcher.disk.lock import has_leftovers, locked, require_free
from patcher.disk.manifest import Manifest, PatchedFile
from patcher.disk.state import State, marked, state_of
from patcher.results import Interrupted, Reason, Refusal
from patcher.tree import diff
from patcher.tree.find import STATE, Tree


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
        raise half(cut_off=True)
    with locked(tree):
        left = journal.pending(tree)
        if left is None:
            return ()  # that command was at work still, and has ended by now
        journal.recover(tree, left)
    return ("finished a command that had been cut off half way",)


@contextlib.contextmanager
def telling(notes: Sequence[str]) -> Iterator[None]:
    """An interrupt says what was done before it: the `notes`, and nothing else.

    Raises `Interrupted` in the place of `KeyboardInterrupt`.
    """
    try:
        yield
    except KeyboardInterrupt:
        said = "; ".join([*notes, "nothing else was done"])
        raise Interrupted(said if notes else "nothing was changed") from None


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


def current(tree: Tree) -> State:
    """What is in the tree, when nobody was writing meanwhile. Raises `Refusal`."""
    before = _stamp(tree)
    with undisturbed(tree):
        state = state_of(tree)
    if state.kind not in ("original", "patched", "unknown"):
        require_free(tree)
        if _stamp(tree) != before:
            raise _changed()
    return state


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
    other = {}
    for file in applied.files:
        packed.guard(tree, file.path)
        if (data := tree.read(file.path)) != file.patched:
            other[file] = data
    edited = {file: data for file, data in other.items() if data != file.original}
    if other:
        raise Refusal(*(_edited(*one) for one in (edited or other).items()))


def _edited(file: PatchedFile, data: bytes | None) -> Reason:
    hint = "undo that, or carry it over by hand, and run the command again"
    if data is None:
        return Reason(file.path, "", "was removed since it was patched", hint)
    if data == file.original:
        return Reason(file.path, "", "was edited just now", "try again")
    lines = diff.changed_lines(file.path, file.patched, data)
    what = f"was edited since it was patched ({len(lines)} lines)"
    symbol = diff.first_symbol(file.patched, data)
    if not marked(data):
        hint = "if it is as you want it, rollback-nsa-opt --forget leaves it so"
    return Reason(file.path, symbol, what, hint, tuple(lines[:4]))


def half(*, cut_off: bool) -> Refusal:
    """The refusal of a half patched tree, for a command that must not write."""
    what = "the tree is half patched"
    if cut_off:
        what = f"a command was cut off half way: {what}"
    hint = "run apply-nsa-opt or rollback-nsa-opt: it finishes that first"
    return Refusal(Reason(STATE, "", what, hint))


def require_forgettable(state: State) -> None:
    """Raises `Refusal` when our patches are in the files still."""
    ours = set(state.marked)
    for path, kind in state.files.items():
        added = state.applied is not None and state.applied.originals()[path] is None
        if not added and (kind == "patched" or marked(state.tree.read(path))):
            ours.add(path)
    if ours:
        what = "has our patches in it still: they cannot be forgotten"
        hint = "without --forget they are rolled back"
        raise Refusal(*(Reason(path, "", what, hint) for path in sorted(ours)))


def require_same(tree: Tree, state: State) -> None:
    """Raises `Refusal` if the tree is in another state by now; call with the lock held."""
    if state_of(tree) != state:
        raise _changed()
