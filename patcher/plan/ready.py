"""Brings a tree into a state that can be planned on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from patcher.disk import journal
from patcher.disk.lock import locked
from patcher.disk.manifest import Manifest
from patcher.disk.preconditions import (
    current,
    half,
    require_intact,
    require_same,
    undisturbed,
)
from patcher.disk.state import State, patched
from patcher.recipe import Discover
from patcher.results import Reason, Refusal
from patcher.tree.find import Tree


def ready(
    tree: Tree,
    patches: Discover,
    notes: list[str],
    progress: Callable[[str], None],
    *,
    dry: bool,
) -> State:
    """The tree's state, once it is wholly patched or not patched at all.

    What had to be done for that is added to `notes`; with `dry` it is only planned.
    Raises `Refusal` where the files were edited since they were patched.
    """
    state = current(tree)
    with undisturbed(tree):
        if state.kind == "half" and dry:
            raise half(cut_off=state.cut_off)
        if state.kind == "edited" and state.applied is not None:
            require_intact(tree, state.applied)
        if state.uninstalled:
            what = "the package was uninstalled, and only our files are left"
            hint = "rollback-nsa-opt removes them"
            raise Refusal(Reason(str(tree.state.parent), "", what, hint))
        found = None
        if state.kind == "orphaned":
            from patcher.plan.adopt import adopt  # takes libcst along

            found = adopt(state, patches, progress)
    if found is not None:
        if not dry:
            there = {file.path: file.patched for file in found.files}
            _write(state, None, found, there)
        notes.append(
            "no manifest told of the patches in this tree; their originals are proved"
        )
        return patched(tree, found)
    if state.kind == "half":
        _write(state, state.applied, state.applied, state.settled)
        notes.append("patched the files again that had their originals back")
    elif state.kind == "restored":
        notes.append(forgotten(state, dry=dry))
        if not dry:
            _write(state, state.applied, None, state.settled)
    else:
        return state
    return state if dry else current(tree)


def forgotten(state: State, *, dry: bool = False) -> str:
    """What became of the patches of a tree that has its originals back, or was edited."""
    assert state.applied is not None
    was, now = state.applied.release, state.release
    if state.kind == "edited":
        went = "left the files as they are"
    elif state.uninstalled:
        went = f"sglang {was} was uninstalled"
    elif now == was:
        went = f"sglang {was} has its originals back"
    else:
        went = f"sglang went from {was} to {now or 'another release'}"
    count = len(state.leftovers)
    files = "1 file" if count == 1 else f"{count} files"
    removed = "would remove" if dry else "removed"
    return f"{went}; {removed} our {files}" if count else went


def _write(
    state: State,
    old: Manifest | None,
    new: Manifest | None,
    now: Mapping[str, bytes | None],
) -> None:
    with locked(state.tree):
        require_same(state.tree, state)
        done = "the tree was made ready, nothing else was done"
        journal.execute(state.tree, journal.between(old, new, now), done)
