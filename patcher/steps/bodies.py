"""Steps that insert statements into a function, at an edge or at an anchor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import libcst as cst

from patcher.steps.adapt import Adapt
from patcher.steps.cst import layout, payload, scopes
from patcher.steps.cst.known import require_known, returns_early
from patcher.steps.cst.workspace import Conflict, Workspace
from patcher.tree.outline import symbols

Block = Sequence[cst.BaseStatement]


@dataclass(frozen=True)
class _InFunction:
    """What the steps here share: a place, and a payload function's body to put there."""

    file: str
    function: str

    def adds(self) -> frozenset[str]:
        """No symbols."""
        return frozenset()

    def _require_known(
        self, work: Workspace, region: Sequence[cst.BaseStatement]
    ) -> None:
        """Raises `Conflict` where the region returns early out of what no release has."""
        if returns_early(region) and not work.created(self.file):
            known = symbols(work.original(self.file))
            around = self.function
            while around and around not in known:
                around = around.rpartition(".")[0]
            # In a class that is there, the function itself is another patch's.
            if around and not isinstance(
                scopes.find_definition(work.module(self.file), around), cst.ClassDef
            ):
                require_known(work, self.file, around, "the patch returns from early")

    @property
    def _owner(self) -> str:
        """The class whose `self` the function uses."""
        return self.function.partition(".")[0]


@dataclass(frozen=True)
class _AtEdge(_InFunction):
    """Inserts at an end of a function that takes the parameters the payload's takes."""

    payload: Path
    source: str
    adapt: tuple[Adapt, ...] = ()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` when the parameters differ from the payload function's."""
        target = work.module(self.file)
        source = payload.fitted(self.payload, self.adapt, target)
        region = payload.body_of(source, self.source)
        expected = payload.parameters_of(source, self.source)

        def edit(node: scopes.Definition) -> scopes.Definition:
            found = scopes.parameters(node)
            if found != expected:
                raise Conflict(
                    self.function,
                    f"{self.function} takes other parameters",
                    lines=(f"- ({', '.join(expected)})", f"+ ({', '.join(found)})"),
                )
            _refuse_twice(node, region, self.function)
            suite = scopes.block(node, self.function)
            body = layout.insert(
                suite.body, self._index(suite.body), region, patch, gap=1
            )
            return node.with_changes(body=suite.with_changes(body=body))

        edited = scopes.edit_definition(target, self.function, edit)
        self._require_known(work, region)
        payload.settle(work, self.file, source, region, edited, self._owner)

    def _index(self, body: Sequence[cst.BaseStatement]) -> int:
        raise NotImplementedError


class PrependToBody(_AtEdge):
    """Inserts at the head of the function, after its docstring."""

    def _index(self, body: Sequence[cst.BaseStatement]) -> int:
        return scopes.docstring_length(body)


class AppendToBody(_AtEdge):
    """Inserts at the end of the function."""

    def _index(self, body: Sequence[cst.BaseStatement]) -> int:
        return len(body)


@dataclass(frozen=True)
class _AtAnchor(_InFunction, ABC):
    """Inserts at the one statement of the function that `anchor` is the source of."""

    anchor: str
    payload: Path
    source: str
    adapt: tuple[Adapt, ...] = ()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` unless the function has the anchor exactly once."""
        target = work.module(self.file)
        source = payload.fitted(self.payload, self.adapt, target)
        region = payload.body_of(source, self.source)
        function = scopes.find_definition(target, self.function)
        _refuse_twice(function, region, self.function)

        def edit(body: Block, index: int) -> list[cst.BaseStatement]:
            return self._edit(body, index, region, patch)

        edited = scopes.edit_at(target, self.function, self.anchor, edit)
        self._require_known(work, region)
        payload.settle(work, self.file, source, region, edited, self._owner)

    @abstractmethod
    def _edit(
        self, body: Block, index: int, region: Block, patch: str
    ) -> list[cst.BaseStatement]:
        """The block with the region in it; the anchor is `body[index]`."""


class InsertBefore(_AtAnchor):
    """Inserts before the anchor and the comments above it."""

    def _edit(
        self, body: Block, index: int, region: Block, patch: str
    ) -> list[cst.BaseStatement]:
        return layout.insert(body, index, region, patch, gap=1)


class InsertAfter(_AtAnchor):
    """Inserts after the anchor."""

    def _edit(
        self, body: Block, index: int, region: Block, patch: str
    ) -> list[cst.BaseStatement]:
        return layout.insert(body, index + 1, region, patch, gap=1)


def _refuse_twice(function: scopes.Definition, region: Block, dotted: str) -> None:
    if scopes.contains(function, region):
        raise Conflict(dotted, f"{dotted} already has these statements")
