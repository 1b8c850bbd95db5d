"""Preconditions: what must hold in a tree for a patch to be right."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from patcher.steps.cst.workspace import Conflict, Workspace
from patcher.tree.outline import (
    Difference,
    Outline,
    differences,
    lines,
    symbol_at,
    symbols,
)
from patcher.tree.pins import outline, pins


@dataclass(frozen=True)
class RequireNeverRead:
    """No code of the tree's own file reads `<expression>.attribute`; assigning it is fine."""

    file: str
    attribute: str

    def adds(self) -> frozenset[str]:
        """No symbols."""
        return frozenset()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` naming the definition that reads the attribute."""
        data = work.original(self.file)
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            raise Conflict("", f"not valid Python at line {line}") from error
        read = next((n for n in ast.walk(tree) if _reads(n, self.attribute)), None)
        if read is not None:
            symbol = symbol_at(symbols(data), read.lineno)
            raise Conflict(
                symbol,
                f"{symbol or 'the module'} reads .{self.attribute}, which the patch "
                "relies on nobody reading",
                lines=(f"+ {ast.unparse(read)}",),
            )


@dataclass(frozen=True)
class RequireKnown:
    """A definition is, line for line, as in some release that is patched.

    For what a patch repeats in its own words, and so cannot anchor on.
    """

    file: str
    symbol: str
    # There is nothing to know where it is not defined.
    may_lack: bool = False

    def adds(self) -> frozenset[str]:
        """No symbols."""
        return frozenset()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` with the lines that no release has."""
        data = work.original(self.file)
        spans = symbols(data)
        if self.symbol not in spans:
            if self.may_lack:
                return
            raise Conflict(self.symbol, f"{self.symbol} is not defined")
        start, end = spans[self.symbol]
        found = b"\n".join(lines(data)[start - 1 : end])
        changes = {
            release: differences(variant, found)
            for release, variant in _variants(self.file, self.symbol)
        }
        if not changes or not all(changes.values()):
            return
        release = min(reversed(changes), key=lambda release: _size(changes[release]))
        shown = [line for one in changes[release] for line in one.shown(release)]
        raise Conflict(
            self.symbol,
            f"{self.symbol}, which the patch repeats, is not as in sglang {release}",
            lines=tuple(shown[:4]),
        )


def _variants(file: str, symbol: str) -> Iterator[tuple[str, Outline]]:
    """The definition in every release that has it, oldest first."""
    for pin in pins().values():
        known = outline(pin.files.get(file, ""))
        if known is not None and symbol in known.symbols:
            start, end = known.symbols[symbol]
            yield pin.release, Outline({}, known.lines[start - 1 : end])


def _size(changed: Sequence[Difference]) -> int:
    return sum(one.removed + len(one.added) for one in changed)


def _reads(node: ast.AST, attribute: str) -> TypeGuard[ast.stmt | ast.expr]:
    if isinstance(node, ast.AugAssign):
        target = node.target
        return isinstance(target, ast.Attribute) and target.attr == attribute
    if isinstance(node, ast.Attribute):
        return node.attr == attribute and isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Call):
        names = [a.value for a in node.args if isinstance(a, ast.Constant)]
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        return called in ("getattr", "attrgetter") and attribute in names
    return False
