"""All or nothing: a set of changes is written down whole, then done, then crossed out.

    publish    the journal, with every byte to write and every byte it replaces: from here
               on the change will happen, whoever has to finish it
    stage      every new file under a temporary name beside its target
    swap       rename them into place, remove what goes
    advance    move git's branch and index to the commit, where one is asked for
    close      remove the journal

A kill before `publish` leaves the tree as it was; after it, the next command goes on from
`stage`, which is the same however often it is done. An error undoes what was swapped.
Signals wait from `publish` to `close`.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from patcher import __version__
from patcher.disk import fs, packed
from patcher.disk.git import Blob, Commit, Repository, around
from patcher.disk.lock import unwritable
from patcher.disk.manifest import PATH as MANIFEST
from patcher.disk.manifest import Manifest
from patcher.disk.packed import Mode, Packed, SafePath, Stored
from patcher.disk.signals import held
from patcher.results import Exit, FileEdit, Reason, Refusal
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
    """A set of changes, the folders to make before and to remove after, and a commit."""

    schema_version: Literal[1] = 1
    tool: str = __version__
    changes: tuple[Change, ...]
    make: tuple[SafePath, ...] = ()
    remove: tuple[SafePath, ...] = ()
    commit: Commit | None = None

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
        """The journal that undoes this one, its commit aside."""
        back = [
            Change(path=c.path, old=c.new, new=c.old, mode=c.mode) for c in self.changes
        ]
        return Journal(
            changes=tuple(reversed(back)), make=self.remove, remove=self.make
        )


def between(
    old: Manifest | None,
    new: Manifest | None,
    now: Mapping[str, bytes | None] | None = None,
) -> Journal:
    """The changes that lead from one manifest's tree to the other's.

    `now` has the bytes of files that are not what `old` says.
    """
    before = old.patched() if old else {}
    after = new.patched() if new else {}
    changes = []
    for path in sorted(before.keys() | after.keys()):
        either = after.get(path) or before[path]
        here = before[path].patched if path in before else either.original
        there = after[path].patched if path in after else either.original
        here = now[path] if now and path in now else here
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


def execute(tree: Tree, journal: Journal, done: str = "it was done") -> None:
    """Makes the changes; call it with the lock held.

    Raises `Refusal` when the disk or git refuses, or a file was edited just now: with the
    tree as it was before. Raises `Interrupted(done)` when a signal waited until the end.
    """
    if not journal.changes and journal.commit is None:
        return
    for change in journal.changes:
        packed.guard(tree, change.path)
    with held(done), _undone_on_error(tree, journal):
        _publish(tree, journal)
        _forward(tree, journal)
        _advance(tree, journal)
        _close(tree, journal)


def recover(tree: Tree, journal: Journal) -> None:
    """Finishes what a cut-off command began; call it with the lock held.

    Raises `Refusal` when a file is neither what it was nor what it should become, or git
    will not have the commit.
    """
    strangers = [c.path for c in journal.changes if not _known(tree, c)]
    if strangers:
        what = "was edited after a command was cut off half way"
        hint = "undo that edit, or set the file aside, and run the command again"
        raise Refusal(*(Reason(path, "", what, hint) for path in strangers))
    done = "what an earlier command began was finished, nothing else was done"
    with held(done), _undone_on_error(tree, journal):
        now = _rebased(tree, journal)
        with _undone_on_error(tree, now):
            _forward(tree, now)
            _advance(tree, now)
            _close(tree, now)


@contextlib.contextmanager
def _undone_on_error(tree: Tree, journal: Journal) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        refusal = unwritable(error)
        _undo(tree, journal, refusal)
        raise refusal from error
    except Refusal as refusal:
        _undo(tree, journal, refusal)
        raise


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
            mode = change.mode | fs.special(target)
            if change.path == MANIFEST:
                mode = fs.shared(target.parent, mode)
            fs.write(_temporary(target), change.new, mode, like)
    for change in left:
        target = tree.path(change.path)
        if tree.read(change.path) != change.old:
            what = "was edited just now"
            raise Refusal(Reason(change.path, "", what, "try again"))
        if change.new is None:
            fs.unlink(target)
        else:
            fs.replace(_temporary(target), target)
    for change in journal.files:
        fs.drop_unchecked(tree.path(change.path))
    for parent in _folders(tree, journal):
        fs.sync(parent)


def _advance(tree: Tree, journal: Journal) -> None:
    if journal.commit is not None:
        _repository(tree).advance(journal.commit)


def _rebased(tree: Tree, journal: Journal) -> Journal:
    """The journal with its commit made anew, if the branch has moved meanwhile."""
    commit = journal.commit
    if commit is None or not (repo := _repository(tree)).moved(commit):
        return journal
    blobs = {path: Blob(tree.read(path), executable=False) for path in commit.paths}
    blobs |= {c.path: Blob(c.new, bool(c.mode & 0o100)) for c in journal.files}
    anew = repo.prepare(blobs, commit.message)
    journal = journal.model_copy(update={"commit": anew})
    _publish(tree, journal)
    return journal


def _publish(tree: Tree, journal: Journal) -> None:
    path = tree.state / NAME
    draft = path.with_name(f"{NAME}.tmp")
    fs.write(draft, packed.dump(journal), fs.shared(tree.state, 0o644), tree.state)
    fs.replace(draft, path)
    fs.sync(tree.state)


def _repository(tree: Tree) -> Repository:
    repo = around(tree)
    if repo is None:
        what = "git is not there any more, and a commit is not finished"
        raise Refusal(Reason("", "git", what), code=Exit.UNAVAILABLE)
    return repo


def _undo(tree: Tree, journal: Journal, first: Refusal) -> None:
    """Back to the old bytes; on a second error the journal stays for the next command."""
    try:
        back = journal.reversed()
        if (tree.state / NAME).exists():
            _backward(tree, back)
            if journal.commit is not None:
                _repository(tree).retreat(journal.commit)
        _close(tree, back)
    except (OSError, Refusal) as error:
        second = unwritable(error) if isinstance(error, OSError) else error
        why = [reason.what for reason in (*first.reasons, *second.reasons)]
        what = f"was left half way: {', then '.join(dict.fromkeys(why))}"
        hint = "once that works, run the command again: it finishes or undoes"
        lines = second.reasons[0].lines
        raise Refusal(
            Reason(STATE, "", what, hint, lines), code=Exit.UNAVAILABLE
        ) from error


def _backward(tree: Tree, back: Journal) -> None:
    """Undoes what was done; a file that somebody edited meanwhile stays theirs."""
    ours = [c for c in back.changes if tree.read(c.path) in (c.old, c.new)]
    _forward(tree, back.model_copy(update={"changes": tuple(ours)}))


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
