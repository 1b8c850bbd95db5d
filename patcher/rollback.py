"""Gives the original bytes back, proved by hash; or takes single patches out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from patcher.disk import journal, manifest
from patcher.disk.git import Repository, repository, rollback_message
from patcher.disk.lock import locked
from patcher.disk.manifest import Manifest
from patcher.disk.preconditions import (
    finish_cut_off,
    require_intact,
    require_unchanged,
    undisturbed,
)
from patcher.results import (
    Exit,
    NothingToDo,
    Reason,
    Refusal,
    Result,
    RolledBack,
)
from patcher.tree.find import Tree

if TYPE_CHECKING:
    from patcher.recipe import Patch


def rollback(
    tree: Tree,
    names: Sequence[str] = (),
    patches: Sequence[Patch] = (),
    *,
    revert: bool = False,
) -> Result:
    """Takes the named ones of `patches` (none named: all) out of the tree.

    With `revert` the rollback of a committed apply is committed too. Raises `Refusal`.
    """
    if names:
        from patcher.plan.select import require_known

        require_known(names, [patch.name for patch in patches])
    notes = finish_cut_off(tree)
    with undisturbed(tree):
        planned = _plan(tree, names, patches, revert=revert)
    if isinstance(planned, str):
        return NothingToDo(str(tree.home), planned, notes)
    old, new, repo, applied_in = planned
    changes = journal.between(old, new)
    sha = None
    with locked(tree):
        require_unchanged(tree, old, {})
        journal.execute(tree, changes)
        _prove(tree, old, new)
        if revert and repo is not None:
            try:
                paths = [file.path for file in old.files]
                sha = repo.commit(paths, rollback_message(old, new, applied_in))
            except Refusal:
                journal.execute(tree, changes.reversed())
                raise
    if applied_in and not revert:
        notes += (
            f"the patches are still in commit {applied_in}; --revert would have "
            "committed this rollback",
        )
    left = new.names if new else ()
    gone = tuple(name for name in old.names if name not in left)
    return RolledBack(
        str(tree.home), old.release, gone, left, changes.edits(), notes, sha
    )


class _Plan(NamedTuple):
    """From manifest `old` to `new` (None: no patches), and the commit of the apply."""

    old: Manifest
    new: Manifest | None
    repo: Repository | None
    applied_in: str


def _plan(
    tree: Tree, names: Sequence[str], patches: Sequence[Patch], *, revert: bool
) -> _Plan | str:
    """What to do, or why there is nothing to do. Reads only."""
    old = manifest.load(tree)
    if old is None:
        return "no patches of nsa-opt are in this tree"
    require_intact(tree, old)
    new = None
    if names:
        new = _without(tree, old, names, patches)
        if new is not None and new.patches == old.patches:
            return f"not in this tree: {', '.join(names)}"
    repo, applied_in = None, ""
    try:
        repo = repository(tree, [file.path for file in old.files])
        applied_in = repo.commit_of(old) if repo else ""
    except Refusal:
        if revert:
            raise  # else git has no say in a rollback
    if revert and not applied_in:
        what = "this apply was not committed: there is nothing to revert"
        hint = "without --revert the files are restored"
        raise Refusal(Reason("", "", what, hint), code=Exit.USAGE)
    return _Plan(old, new, repo, applied_in)


def _without(
    tree: Tree, old: Manifest, names: Sequence[str], patches: Sequence[Patch]
) -> Manifest | None:
    """The manifest of the tree that never had the named patches; None: had none."""
    from patcher.plan.prepare import prepare
    from patcher.plan.select import dependents

    needing = [n for n in dependents(names, patches) if n in old.names]
    if needing:
        what = f"{', '.join(needing)} cannot be without {', '.join(names)}"
        hint = "roll those back too: " + " ".join(f"--patch {name}" for name in needing)
        raise Refusal(Reason("", names[0], what, hint))
    left = tuple(p for p in patches if p.name in old.names and p.name not in names)
    if not left:
        return None
    return prepare(tree, patches, lambda pin, there: left, allow_drift=True).new


def _prove(tree: Tree, old: Manifest, new: Manifest | None) -> None:
    """Raises `Refusal` unless every file is, byte for byte, what it should be now."""
    kept = new.patched() if new else {}
    wrong = [
        file.path
        for file in old.files
        if tree.read(file.path)
        != (kept[file.path].patched if file.path in kept else file.original)
    ]
    if wrong:
        what = "is not what it should be after the rollback"
        raise Refusal(*(Reason(path, "", what) for path in wrong))
