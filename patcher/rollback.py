"""Gives the original bytes back, proved by hash; or takes single patches out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from patcher.disk import journal
from patcher.disk.git import Blob, Commit, Repository, repository, rollback_message
from patcher.disk.journal import Journal
from patcher.disk.lock import locked
from patcher.disk.manifest import Manifest
from patcher.disk.preconditions import (
    current,
    finish_cut_off,
    require_forgettable,
    require_same,
    telling,
    undisturbed,
)
from patcher.disk.state import State, sweep
from patcher.plan.ready import forgotten, ready
from patcher.plan.select import dependents
from patcher.recipe import Discover, Patch
from patcher.results import (
    Exit,
    Forgotten,
    NothingToDo,
    Reason,
    Refusal,
    Result,
    RolledBack,
    require_known,
)
from patcher.tree.find import Tree


def rollback(
    tree: Tree,
    names: Sequence[str] = (),
    patches: Discover = tuple,
    *,
    revert: bool = False,
    forget: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Result:
    """Takes the named ones of `patches` (none named: all) out of the tree.

    With `revert` the rollback of a committed apply is committed too. With `forget` only
    what we left behind goes, where somebody else restored the files. Raises `Refusal`, and
    `Interrupted` saying what was done.
    """
    if names:
        require_known(names, [patch.name for patch in patches()], "patch")
    notes = list(finish_cut_off(tree))
    with telling(notes):
        state = current(tree)
        if forget:
            require_forgettable(state)
        if not forget and state.kind != "restored" and (names or state.kind != "half"):
            state = ready(tree, patches, notes, progress, dry=False)
        forget = forget or state.kind == "restored"
        with undisturbed(tree):
            planned = _plan(state, () if forget else names, patches, revert=revert)
        if isinstance(planned, str):
            return NothingToDo(str(tree.home), planned, tuple(notes))
        changes, sha = _carry_out(state, planned, forget=forget)
    old, new = planned.old, planned.new
    if planned.applied_in and not revert:
        notes.append(
            f"the patches are still in commit {planned.applied_in}; --revert would have "
            "committed this rollback"
        )
    if forget:
        if state.uninstalled:
            sweep(state)
        what = forgotten(state)
        gone = old.names
        return Forgotten(str(tree.home), what, gone, changes.edits(), tuple(notes), sha)
    left = new.names if new else ()
    gone = tuple(name for name in old.names if name not in left)
    return RolledBack(
        str(tree.home), old.release, gone, left, changes.edits(), tuple(notes), sha
    )


class _Plan(NamedTuple):
    """From manifest `old` to `new` (None: no patches), and the commit of the apply."""

    old: Manifest
    new: Manifest | None
    repo: Repository | None
    applied_in: str


def _plan(
    state: State, names: Sequence[str], patches: Discover, *, revert: bool
) -> _Plan | str:
    """What to do, or why there is nothing to do. Reads only."""
    old = state.applied
    if old is None:
        return "no patches of nsa-opt are in this tree"
    new = None
    if names:
        new = _without(state, old, names, patches())
        if new is not None and new.patches == old.patches:
            return f"not in this tree: {', '.join(names)}"
    repo, applied_in = None, ""
    try:
        paths = [file.path for file in old.files]
        repo = repository(state.tree, paths)
        if repo is not None and state.kind == "patched":
            applied_in = repo.commit_of(paths)
        elif repo is not None:
            applied_in = repo.commit_with({f.path: f.patched for f in old.files})
    except Refusal:
        if revert:
            raise  # else git has no say in a rollback
    if revert and not applied_in:
        what = "this apply is not in the last commit: there is nothing to revert"
        hint = "without --revert the files are restored"
        raise Refusal(Reason("", "", what, hint), code=Exit.USAGE)
    return _Plan(old, new, repo if revert else None, applied_in)


def _carry_out(
    state: State, planned: _Plan, *, forget: bool
) -> tuple[Journal, str | None]:
    """Does it; the changes come back, and the commit of them."""
    old, new, repo, applied_in = planned
    tree = state.tree
    changes = journal.between(old, new, state.settled)
    with locked(tree):
        require_same(tree, state)
        made = None
        if repo is not None:
            made = _commit(repo, old, new, applied_in)
            changes = changes.model_copy(update={"commit": made})
        said = f"all was done: {', '.join(old.names)} rolled back"
        if new:
            said += f", but {', '.join(new.names)}"
        journal.execute(tree, changes, f"{said}, and committed" if made else said)
        if not forget:
            _prove(tree, old, new)
    return changes, made.sha if made else None


def _commit(
    repo: Repository, old: Manifest, new: Manifest | None, applied_in: str
) -> Commit:
    blobs = {f.path: Blob(f.original, bool(f.mode & 0o100)) for f in old.files}
    kept = new.files if new else ()
    blobs |= {f.path: Blob(f.patched, bool(f.mode & 0o100)) for f in kept}
    return repo.prepare(blobs, rollback_message(old, new, applied_in))


def _without(
    state: State, old: Manifest, names: Sequence[str], patches: Sequence[Patch]
) -> Manifest | None:
    """The manifest of the tree that never had the named patches; None: had none."""
    from patcher.plan.prepare import prepare, require_known_patches

    needing = [n for n in dependents(names, patches) if n in old.names]
    if needing:
        what = f"{', '.join(needing)} cannot be without {', '.join(names)}"
        hint = "roll those back too: " + " ".join(f"--patch {name}" for name in needing)
        raise Refusal(Reason("", names[0], what, hint))
    left = tuple(p for p in patches if p.name in old.names and p.name not in names)
    if not left:
        return None
    require_known_patches(old, patches)
    _require_same_patches(state, old, patches)
    return prepare(state, patches, lambda pin, there: left, allow_drift=True).new


def _require_same_patches(
    state: State, old: Manifest, patches: Sequence[Patch]
) -> None:
    """Raises `Refusal` when this version writes the patches of the tree differently."""
    from patcher.plan.edits import files_of, plan

    there = tuple(patch for patch in patches if patch.name in old.names)
    reads = {path: state.read(path) for path in files_of(there)}
    originals = {path: data for path, data in reads.items() if data is not None}
    again = plan(originals, there).edits
    if again != {file.path: file.patched for file in old.files}:
        what = f"nsa-opt {old.tool} wrote the patches that stay, this one writes others"
        hint = "roll all of them back, and apply those that you want"
        raise Refusal(Reason("", "", what, hint))


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
