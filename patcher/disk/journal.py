"""All or nothing: a set of changes is written down whole, then done, then crossed out.

    publish    the journal, with every byte to write and every byte it replaces: from here
               on the change will happen, whoever has to finish it
    stage      every new file under a temporary name beside its target
    swap       rename them into place, remove what goes
    close      remove the journal

A kill before `publish` leaves the tree as it was; after it, the next command goes on from
`stage`, which is the same however often it is done. An error undoes what was swapped.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from patcher.disk import fs, packed
from patcher.disk.lock import unwritable
from patcher.disk.manifest import PATH as MANIFEST
from patcher.disk.manifest import Manifest
from patcher.disk.packed import Mode, Packed, SafePath, Stored
from patcher.results import FileEdit, Reason, Refusal
from patcher.tree.diff import edit, unified
from patcher.tree.find import STATE, Tree

NAME = "journal.json"


class Change(Stored):
    """One file from `old` to `new` bytes; None: it is not there."""

    path: SafePath
    old: Packed | None
    new: Packed | None
    mode: Mode


class Journal(Stored):
    """A set of changes, and the folders to make before and to remove after them."""

    schema_version: Literal[1] = 1
    changes: tuple[Change, ...]
    make: tuple[SafePath, ...] = ()
    remove: tuple[SafePath, ...] = ()

    @property
    def files(self) -> tuple[Change, ...]:
        """The changes of the package's files, the manifest aside."""
        return tuple(c for c in self.changes if c.path != MANIFEST)

    def edits(self) -> tuple[FileEdit, ...]:
        """The files that change, and by how many lines."""
        return tuple(edit(c.path, c.old, c.new) for c in self.files)

    def diff(self) -> str:
        """The whole change as a unified diff."""
        return "".join(unified(c.path, c.old, c.new) for c in self.files)

    def reversed(self) -> Journal:
        """The journal that undoes this one."""
        back = [
            Change(path=c.path, old=c.new, new=c.old, mode=c.mode) for c in self.changes
        ]
        return Journal(
            changes=tuple(reversed(back)), make=self.remove, remove=self.make
        )


def between(old: Manifest | None, new: Manifest | None) -> Journal:
    """The changes that lead from one manifest's tree to the other's."""
    before = old.patched() if old else {}
    after = new.patched() if new else {}
    changes = []
    for path in sorted(before.keys() | after.keys()):
        either = after.get(path) or before[path]
        here = before[path].patched if path in before else either.original
        there = after[path].patched if path in after else either.original
        if here != there:
            changes.append(Change(path=path, old=here, new=there, mode=either.mode))
    if old != new:
        changes.append(
            Change(
                path=MANIFEST,
                old=packed.dump(old) if old else None,
                new=packed.dump(new) if new else None,
                mode=0o644,
            )
        )
    had, has = (set(m.folders) if m else set() for m in (old, new))
    return Journal(
        changes=tuple(changes),
        make=tuple(sorted(has - had)),
        remove=tuple(sorted(had - has)),
    )


def pending(tree: Tree) -> Journal | None:
    """The journal of a command that was cut off; None when there is none."""
    return packed.load(tree, NAME, Journal)


def execute(tree: Tree, journal: Journal) -> None:
    """Makes the changes; call it with the lock held.

    Raises `Refusal` when the disk refuses, with the tree as it was before.
    """
    if not journal.changes:
        return
    for change in journal.changes:
        packed.guard(tree, change.path)
    path = tree.state / NAME
    draft = path.with_name(f"{NAME}.tmp")
    with _undone_on_error(tree, journal):
        fs.write(draft, packed.dump(journal), 0o644)
        fs.replace(draft, path)
        fs.sync(tree.state)
        _forward(tree, journal)
        _close(tree, journal)


def recover(tree: Tree, journal: Journal) -> None:
    """Finishes what a cut-off command began; call it with the lock held.

    Raises `Refusal` when a file is neither what it was nor what it should become.
    """
    strangers = [c.path for c in journal.changes if not _known(tree, c)]
    if strangers:
        what = "was edited after a command was cut off half way"
        hint = "undo that edit, or set the file aside, and run the command again"
        raise Refusal(*(Reason(path, "", what, hint) for path in strangers))
    with _undone_on_error(tree, journal):
        _forward(tree, journal)
        _close(tree, journal)


@contextlib.contextmanager
def _undone_on_error(tree: Tree, journal: Journal) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _undo(tree, journal, error)
        raise unwritable(error) from error


def _known(tree: Tree, change: Change) -> bool:
    packed.guard(tree, change.path)
    return tree.read(change.path) in (change.old, change.new)


def _forward(tree: Tree, journal: Journal) -> None:
    for folder in journal.make:
        fs.mkdir(tree.path(folder))
    left = [c for c in journal.changes if tree.read(c.path) != c.new]
    for change in left:
        if change.new is not None:
            target = tree.path(change.path)
            like = target if target.exists() else target.parent
            fs.write(_temporary(target), change.new, change.mode, like)
    for change in left:
        target = tree.path(change.path)
        if change.new is None:
            fs.unlink(target)
        else:
            fs.replace(_temporary(target), target)
    for parent in _folders(tree, journal):
        fs.sync(parent)


def _undo(tree: Tree, journal: Journal, error: OSError) -> None:
    """Back to the old bytes; on a second error the journal stays for the next command."""
    try:
        back = journal.reversed()
        if (tree.state / NAME).exists():
            _forward(tree, back)
        _close(tree, back)
    except OSError as second:
        what = f"was left half way: {error.strerror}, then {second.strerror}"
        hint = "once it can be written, run the command again: it finishes or undoes"
        raise Refusal(
            Reason(STATE, "", what, hint), code=unwritable(error).code
        ) from second


def _close(tree: Tree, journal: Journal) -> None:
    for change in journal.changes:
        fs.unlink(_temporary(tree.path(change.path)))
    for folder in reversed(journal.remove):
        _remove(tree.path(folder))
    for name in (NAME, f"{NAME}.tmp"):
        fs.unlink(tree.state / name)
    fs.sync(tree.state)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.nsa-opt.tmp")


def _folders(tree: Tree, journal: Journal) -> Iterable[Path]:
    parents = {tree.path(change.path).parent for change in journal.changes}
    return sorted(parents - {tree.path(folder) for folder in journal.remove})


def _remove(folder: Path) -> None:
    """Removes a folder that an apply made, unless somebody else put files there."""
    try:
        fs.rmdir(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
