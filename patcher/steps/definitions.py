"""Steps that add whole definitions: to a module, or to a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patcher.steps.adapt import Adapt
from patcher.steps.cst import layout, payload, scopes
from patcher.steps.cst.bindings import bindings, defined
from patcher.steps.cst.workspace import Conflict, Workspace


@dataclass(frozen=True)
class AddDefinitions:
    """Inserts top-level definitions of the payload after top-level symbol `after`."""

    file: str
    after: str
    payload: Path
    names: tuple[str, ...]
    adapt: tuple[Adapt, ...] = ()

    def adds(self) -> frozenset[str]:
        """The inserted names."""
        return frozenset(self.names)

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` when `after` is missing or a name is taken."""
        target = work.module(self.file)
        source = payload.fitted(self.payload, self.adapt, target)
        statements = payload.pick(source, self.names)
        for name in self.names:
            if name in bindings(target):
                raise Conflict(name, f"{name} is already defined")
        index = _after(target.body, self.after)
        body = layout.insert(target.body, index, statements, patch, gap=2)
        edited = target.with_changes(body=body)
        payload.settle(work, self.file, source, statements, edited)


@dataclass(frozen=True)
class AddMethods:
    """Inserts the members of the payload's class `source` in `cls` after `after`."""

    file: str
    cls: str
    after: str
    payload: Path
    source: str
    adapt: tuple[Adapt, ...] = ()

    def adds(self) -> frozenset[str]:
        """The inserted members."""
        members = payload.body_of(payload.read(self.payload), self.source)
        return frozenset(f"{self.cls}.{n}" for m in members for n in defined(m))

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` when `cls` or `after` is missing or a name is taken."""
        target = work.module(self.file)
        source = payload.fitted(self.payload, self.adapt, target)
        members = payload.body_of(source, self.source)

        def edit(node: scopes.Definition) -> scopes.Definition:
            suite = scopes.block(node, self.cls)
            taken = {name for statement in suite.body for name in defined(statement)}
            for name in (name for member in members for name in defined(member)):
                if name in taken:
                    symbol = f"{self.cls}.{name}"
                    raise Conflict(symbol, f"{symbol} is already defined")
            index = _after(suite.body, self.after, f"{self.cls}.")
            body = layout.insert(suite.body, index, members, patch, gap=1)
            return node.with_changes(body=suite.with_changes(body=body))

        edited = scopes.edit_definition(target, self.cls, edit)
        payload.settle(work, self.file, source, members, edited, self.cls)


def _after(body: payload.Statements, name: str, prefix: str = "") -> int:
    """The index after the last statement that defines `name`."""
    places = [i for i, statement in enumerate(body) if name in defined(statement)]
    if not places:
        symbol = prefix + name
        names = [n for s in body for n in defined(s)]
        raise Conflict(
            symbol, f"{symbol} is not defined{scopes.did_you_mean(name, names)}"
        )
    return places[-1] + 1
