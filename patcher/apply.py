"""Puts patches into a tree: identify, plan, check the plan, commit, manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from patcher.disk import journal
from patcher.disk.git import Blob, Commit, Repository, apply_message, repository
from patcher.disk.lock import locked
from patcher.disk.manifest import Manifest
from patcher.disk.preconditions import (
    finish_cut_off,
    require_unchanged,
    telling,
    undisturbed,
)
from patcher.plan.prepare import Prepared, prepare
from patcher.plan.ready import ready
from patcher.plan.select import choose, left_out
from patcher.recipe import Patch
from patcher.results import (
    AlreadyApplied,
    Applied,
    Exit,
    Reason,
    Refusal,
    Result,
    WouldApply,
)
from patcher.tree.find import Tree
from patcher.tree.pins import Pin, pins


def apply(
    tree: Tree,
    names: Sequence[str],
    patches: Sequence[Patch],
    *,
    dry: bool = False,
    allow_drift: bool = False,
    allow_dirty: bool = False,
    commit: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Result:
    """Applies the named ones of `patches` (none named: all that fit) to the tree.

    Patches that are there stay. With `dry` nothing is written. Raises `Refusal`, and
    `Interrupted` saying what was done.
    """

    def pick(pin: Pin, there: tuple[str, ...]) -> tuple[Patch, ...]:
        chosen = {patch.name for patch in choose(names, patches, pin)} | set(there)
        return tuple(patch for patch in patches if patch.name in chosen)

    notes = list(finish_cut_off(tree, dry=dry))
    where, usual = str(tree.home), not names
    with telling(notes):
        state = ready(tree, lambda: tuple(patches), notes, progress, dry=dry)
    with telling(notes), undisturbed(tree):
        prepared = prepare(state, patches, pick, allow_drift=allow_drift)
        release, names = prepared.new.release, prepared.new.names
        notes += prepared.notes
        done = AlreadyApplied(where, release, names, tuple(notes))
        if prepared.changes_nothing and (dry or not commit):
            return done
        if usual and (why := left_out(patches, pins()[release])):
            notes.append(f"left out: {why}")
        changes = journal.between(prepared.old, prepared.new)
        files = changes.edits()
        repo = _repository(tree, prepared, commit=commit, allow_dirty=allow_dirty)
    if dry:
        return WouldApply(where, release, names, files, changes.diff(), tuple(notes))
    paths = [file.path for file in prepared.new.files]
    if prepared.changes_nothing and repo is not None and repo.commit_of(paths):
        return done
    with telling(notes), locked(tree):
        require_unchanged(tree, prepared.old, prepared.before)
        made = None
        if commit and repo is not None:
            made = _commit(repo, prepared.old, prepared.new)
            changes = changes.model_copy(update={"commit": made})
        said = f"all was done: {', '.join(names)} applied to sglang {release}"
        journal.execute(tree, changes, f"{said} and committed" if made else said)
    sha = made.sha if made else None
    return Applied(where, release, names, files, tuple(notes), sha)


def _commit(repo: Repository, old: Manifest | None, new: Manifest) -> Commit:
    """The commit of the patched files, and of those that are as before by now."""
    blobs = (
        {f.path: Blob(f.original, bool(f.mode & 0o100)) for f in old.files}
        if old
        else {}
    )
    blobs |= {f.path: Blob(f.patched, bool(f.mode & 0o100)) for f in new.files}
    return repo.prepare(blobs, apply_message(new))


def _repository(
    tree: Tree, prepared: Prepared, *, commit: bool, allow_dirty: bool
) -> Repository | None:
    """The repository, checked: clean where it must be, ready to commit if asked."""
    if allow_dirty and not commit:
        return None
    files = [file.path for file in prepared.new.files]
    repo = repository(tree, files)
    if repo is None:
        if commit:
            what = "no git repository tracks this tree: --commit cannot be done"
            raise Refusal(Reason("", "", what), code=Exit.USAGE)
        return None
    own = prepared.old.patched() if prepared.old else {}
    dirty = repo.dirty(file for file in files if file not in own)
    advice = "commit or stash them first"
    if commit:
        dirty += [
            path
            for path, file in own.items()
            if repo.committed(path) not in (file.original, file.patched)
        ]
        repo.require_identity()
    else:
        advice += ", or --allow-dirty to patch on top of them"
    if dirty:
        what = "has edits that are not committed"
        raise Refusal(*(Reason(file, "", what, advice) for file in dirty))
    return repo
