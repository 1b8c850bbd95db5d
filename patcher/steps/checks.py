"""Preconditions: what must hold in a tree for a patch to be right."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from patcher.steps.workspace import Conflict, Workspace


@dataclass(frozen=True)
class RequireNeverRead:
    """No code in the file reads `<expression>.attribute`; assigning it is fine."""

    file: str
    attribute: str

    def adds(self) -> frozenset[str]:
        """No symbols."""
        return frozenset()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` naming the definition that reads the attribute."""
        tree = ast.parse(work.module(self.file).code)
        readers = list(_readers(tree, self.attribute, ()))
        if readers:
            symbol, line = readers[0]
            raise Conflict(
                symbol,
                f"{symbol or 'the module'} reads .{self.attribute}, which the patch "
                "relies on nobody reading",
                lines=(f"+ {line}",),
            )


def _readers(
    node: ast.AST, attribute: str, scope: tuple[str, ...]
) -> list[tuple[str, str]]:
    found = []
    for child in ast.iter_child_nodes(node):
        inner = scope
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = (*scope, child.name)
        if _reads(child, attribute):
            found.append((".".join(inner), ast.unparse(child)))
        found += _readers(child, attribute, inner)
    return found


def _reads(node: ast.AST, attribute: str) -> bool:
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
