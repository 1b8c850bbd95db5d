"""Says what is in a tree, and whether it is what a record proved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patcher import __version__
from patcher.about import About
from patcher.disk.preconditions import current
from patcher.disk.state import State
from patcher.results import Exit, FileStatus, Status
from patcher.tree.find import Tree
from patcher.tree.outline import sha256
from patcher.tree.pins import PINNED

if TYPE_CHECKING:
    from patcher.record import Record


def status(tree: Tree, abouts: Sequence[About], required: Path | None = None) -> Status:
    """What is in the tree; with `required` also why that record does not speak for it.

    Reads only. Raises `Refusal` when it cannot be told.
    """
    from patcher.record import load, unmet

    record = load(required) if required else None
    state = current(tree)
    reasons: tuple[str, ...] = ()
    if record is not None:
        applied = state.in_force
        changed = set(applied.patched() if applied else state.marked)
        reasons = unmet(record, tree.read, changed)
        if state.kind in ("half", "edited", "unknown"):
            reasons = (f"the tree is {state.kind}", *reasons)
    return Status(
        tree=str(tree.home),
        tool=__version__,
        state=state.kind,
        release=state.release,
        exact=state.identity.exact,
        patches=tuple(_patches(state)),
        gates=_gates(state, abouts),
        files=tuple(_files(state)),
        required=str(required) if required else None,
        unmet=reasons,
        notes=(*_notes(state), *((_proof(record),) if record else ())),
        exit=Exit.DIFFERS if reasons else Exit.DONE,
    )


def _proof(record: Record) -> str:
    """How much was proved, and where: the bytes alone do not say."""
    machine = record.machine
    where = "a CPU, the logic only" if machine.logic_only else machine.name
    return f"the record: {record.scenarios.cases} cases on {where}, {record.command}"


def _patches(state: State) -> list[tuple[str, str]]:
    applied = state.in_force
    return [(p.name, p.version) for p in applied.patches] if applied else []


def _gates(state: State, abouts: Sequence[About]) -> dict[str, str]:
    """The switches of the patches that are in the tree, as this environment has them."""
    applied = state.in_force
    names = set(applied.names) if applied else set()
    gates = dict.fromkeys(about.gate for about in abouts if about.name in names)
    return {gate: os.environ.get(gate, "not set") for gate in gates}


def _files(state: State) -> list[FileStatus]:
    """Every file that is pinned, patched or marked, with its hash."""
    paths = {*PINNED, *state.files, *state.marked}
    found = []
    for path in sorted(paths):
        data = state.tree.read(path)
        if data is not None or path in state.files:
            kind = state.files.get(path, "marked" if path in state.marked else "own")
            found.append(FileStatus(path, kind, None if data is None else sha256(data)))
    return found


def _notes(state: State) -> list[str]:
    """What to do about it, where there is something."""
    pin = state.identity.pin
    match state.kind:
        case "original" if pin is not None and not pin.patchable:
            return [pin.why]
        case "half":
            return ["apply-nsa-opt or rollback-nsa-opt finishes what was begun"]
        case "restored":
            return ["rollback-nsa-opt removes what an apply left behind"]
        case "orphaned":
            return ["apply-nsa-opt or rollback-nsa-opt proves the originals again"]
        case "edited" if state.applied is not None:
            changed = [p for p, kind in state.files.items() if kind != "patched"]
            return [f"edited since it was patched: {', '.join(changed)}"]
        case "edited":
            changed = [change.file for change in state.identity.changes]
            return [f"not as in sglang {state.release}: {', '.join(changed)}"]
    return []
