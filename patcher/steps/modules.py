"""Creates a file, or joins what an earlier patch created."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import libcst as cst

from patcher.steps.adapt import Adapt
from patcher.steps.cst import layout, payload, scopes
from patcher.steps.cst.bindings import definitions, is_type_checking
from patcher.steps.cst.workspace import Conflict, RecipeError, Workspace


@dataclass(frozen=True)
class AddModule:
    """Creates `file` with the payload's text, or appends to what a patch created.

    Appending skips definitions that are already there and the same.
    """

    file: str
    payload: Path
    adapt: tuple[Adapt, ...] = ()

    def adds(self) -> frozenset[str]:
        """The payload's definitions."""
        return frozenset(definitions(payload.read(self.payload)))

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` when the tree has such a file, or a definition differs."""
        if not work.exists(self.file):
            source = payload.fitted(self.payload, self.adapt, cst.Module(body=[]))
            header = [layout.marker(patch), *source.header]
            work.put(self.file, source.with_changes(header=header))
            return
        if not work.created(self.file):
            raise Conflict("", "the tree already has this file")
        target = work.module(self.file)
        source = payload.fitted(self.payload, self.adapt, target)
        fresh = _fresh(source, target)
        if fresh:
            body = layout.insert(target.body, len(target.body), fresh, patch, gap=2)
            edited = target.with_changes(body=body)
            payload.settle(work, self.file, source, fresh, edited)


@dataclass(frozen=True)
class AddFile:
    """Creates `file`, which is no Python but takes `//` comments, as the payload is."""

    file: str
    payload: Path

    def adds(self) -> frozenset[str]:
        """No symbols."""
        return frozenset()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` when the tree has such a file."""
        if work.exists(self.file):
            raise Conflict("", "the tree already has this file")
        data = self.payload.read_bytes()
        work.put_plain(self.file, f"// nsa-opt: {patch}\n".encode() + data)


def _fresh(source: cst.Module, target: cst.Module) -> list[cst.BaseStatement]:
    """The payload's definitions that the target lacks."""
    known = definitions(target)
    names = {id(s): name for name, s in definitions(source).items()}
    fresh: list[cst.BaseStatement] = []
    for index, statement in enumerate(source.body):
        if id(statement) in names:
            name = names[id(statement)]
            if name not in known:
                fresh.append(statement)
            elif scopes.shape(known[name]) != scopes.shape(statement):
                raise Conflict(name, f"another patch defines {name} differently")
        elif not (_skipped(statement) or (index == 0 and _is_text(statement))):
            code = cst.Module(body=[statement]).code.strip().splitlines()[0]
            raise RecipeError(f"only definitions can be joined, not `{code}`")
    return fresh


def _skipped(statement: cst.BaseStatement) -> bool:
    """Imports, which are merged by need."""
    if is_type_checking(statement):
        return True
    return isinstance(statement, cst.SimpleStatementLine) and all(
        isinstance(small, (cst.Import, cst.ImportFrom)) for small in statement.body
    )


def _is_text(statement: cst.BaseStatement) -> bool:
    return scopes.docstring_length([statement]) == 1
