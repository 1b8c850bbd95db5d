"""Plans every edit of an apply in memory: pure, and complete before any write."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from patcher.recipe import Patch
from patcher.results import Reason
from patcher.steps.cst.known import unset
from patcher.steps.cst.workspace import Conflict, RecipeError, Workspace


@dataclass(frozen=True)
class Plan:
    """New bytes by file, or every reason why they must not be written.

    `originals` holds what the edited files were; a created file is not in it. `doubled`
    are files that a second apply would edit again instead of refusing; `stuck` the names of
    the patches that a conflict stands in the way of.
    """

    patches: tuple[Patch, ...]
    originals: Mapping[str, bytes]
    edits: Mapping[str, bytes]
    conflicts: tuple[Reason, ...] = ()
    doubled: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()

    @property
    def created(self) -> frozenset[str]:
        """The files that the plan creates."""
        return frozenset(self.edits) - frozenset(self.originals)


def files_of(patches: Iterable[Patch]) -> frozenset[str]:
    """Every file that a plan of these patches reads or writes."""
    return frozenset(file for patch in patches for file in patch.files)


def plan(originals: Mapping[str, bytes], patches: Sequence[Patch]) -> Plan:
    """The edits that take `originals` to the tree with all of `patches`.

    `originals` maps package-relative paths to the bytes before any patch; `patches` are in
    canonical order. All conflicts are collected, in the order of the steps; those that
    only follow from an earlier one are left out.
    """
    work = Workspace(originals)
    conflicts: list[Reason] = []
    missing: set[str] = set()
    stuck: set[str] = set()
    for patch in patches:
        for step in patch.steps:
            try:
                step.apply(work, patch.name)
            except Conflict as conflict:
                stuck.add(patch.name)
                if conflict.symbol not in missing:
                    conflicts.append(conflict.reason(step.file))
                missing |= step.adds()
            except RecipeError:
                if not conflicts:
                    raise  # else it lacks what an earlier step could not bring
                stuck.add(patch.name)
    if not conflicts:
        conflicts += [conflict.reason(file) for file, conflict in unset(work)]
    edits = {} if conflicts else work.edits()
    conflicts += _uncompilable(edits)
    if conflicts:
        names = tuple(patch.name for patch in patches if patch.name in stuck)
        return Plan(tuple(patches), {}, {}, tuple(_once(conflicts)), stuck=names)
    again = work.renewed(edits)
    return Plan(
        tuple(patches),
        {file: data for file, data in originals.items() if file in edits},
        edits,
        doubled=tuple(f for f in edits if not _refused(again, patches, f)),
    )


def _once(conflicts: Sequence[Reason]) -> Iterator[Reason]:
    """The conflicts, each symbol's lines shown once."""
    seen = set()
    for reason in conflicts:
        key = (reason.file, reason.symbol, reason.lines or reason.what)
        if key not in seen:
            seen.add(key)
            yield reason


def _refused(work: Workspace, patches: Sequence[Patch], file: str) -> bool:
    """Whether some step of the patches does not want to edit this file."""
    for patch in patches:
        for step in patch.steps:
            if step.file == file:
                try:
                    step.apply(work, patch.name)
                except Conflict:
                    return True
    return False


def _uncompilable(edits: Mapping[str, bytes]) -> list[Reason]:
    reasons = []
    for file, data in edits.items():
        if not file.endswith(".py"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile(data, file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            reasons.append(
                Reason(file, "", f"the patched file does not compile: {error}")
            )
    return reasons
