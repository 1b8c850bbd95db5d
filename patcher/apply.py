"""Puts patches into a tree: identify, plan, check the plan, commit, manifest."""

from __future__ import annotations

from collections.abc import Sequence

from patcher import journal
from patcher.lock import locked
from patcher.pins import Pin
from patcher.prepare import prepare
from patcher.recipe import Patch
from patcher.results import AlreadyApplied, Applied, Result, WouldApply
from patcher.selection import choose
from patcher.state import finish_cut_off, require_unchanged
from patcher.texts import diff, edits
from patcher.tree import Tree


def apply(
    tree: Tree,
    names: Sequence[str],
    patches: Sequence[Patch],
    *,
    dry: bool = False,
    allow_drift: bool = False,
) -> Result:
    """Applies the named ones of `patches` (none named: all that fit) to the tree.

    Patches that are there stay. With `dry` nothing is written. Raises `Refusal`.
    """

    def pick(pin: Pin, there: tuple[str, ...]) -> tuple[Patch, ...]:
        chosen = {patch.name for patch in choose(names, patches, pin)} | set(there)
        return tuple(patch for patch in patches if patch.name in chosen)

    notes = finish_cut_off(tree, dry=dry)
    prepared = prepare(tree, patches, pick, allow_drift=allow_drift)
    where, release = str(tree.home), prepared.new.release
    notes += prepared.notes
    if prepared.changes_nothing:
        return AlreadyApplied(where, release, prepared.new.names, notes)
    changes = journal.between(prepared.old, prepared.new)
    files = edits(changes)
    if dry:
        return WouldApply(
            where, release, prepared.new.names, files, diff(changes), notes
        )
    with locked(tree):
        require_unchanged(tree, prepared.old, prepared.before)
        journal.execute(tree, changes)
    return Applied(where, release, prepared.new.names, files, notes)
