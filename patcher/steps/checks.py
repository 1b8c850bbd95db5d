"""Preconditions: what must hold in a tree for a patch to be right."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from patcher.steps.cst.known import require_known
from patcher.steps.cst.workspace import Conflict, Workspace
from patcher.tree.outline import symbol_at, symbols


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
        if self.symbol not in symbols(work.original(self.file)):
            if self.may_lack:
                return
            raise Conflict(self.symbol, f"{self.symbol} is not defined")
        require_known(work, self.file, self.symbol, "the patch repeats")


@dataclass(frozen=True)
class RequireReaders:
    """Nobody in sglang/srt reads `<expression>.attribute` but who is named.

    `readers` has, by file and symbol, how often that one reads it in any release. What it
    does with what it reads is for a `RequireKnown` to hold, where an outline is kept.
    """

    file: str
    attribute: str
    readers: Mapping[tuple[str, str], int]

    @property
    def words(self) -> frozenset[str]:
        """Files with such a word in them are read, whatever else the patch reads."""
        return frozenset({self.attribute})

    def adds(self) -> frozenset[str]:
        """No symbols."""
        return frozenset()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` naming the file and the definition that reads it."""
        for file in work.mentioning(self.attribute):
            data = work.original(file)
            try:
                tree = ast.parse(data)
            except (SyntaxError, ValueError):
                continue  # which nobody can import
            left = dict(self.readers)
            for node in filter(lambda n: _reads(n, self.attribute), ast.walk(tree)):
                symbol = symbol_at(symbols(data), getattr(node, "lineno", 0))
                left[file, symbol] = left.get((file, symbol), 0) - 1
                if left[file, symbol] < 0:
                    raise Conflict(
                        symbol,
                        f"{symbol or 'the module'} reads .{self.attribute} as in no "
                        "release; the patch relies on knowing who does",
                        lines=(f"+ {ast.unparse(node)}",),
                        file=file,
                    )


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
