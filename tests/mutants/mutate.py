"""Plants one bug in a module: an expression swapped, or a statement dropped.

Targets are found by their structure inside a named function, not by line, so a mutant
stays valid as code moves; one that no longer finds its target says so.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache

import libcst as cst


class NoLongerApplies(Exception):
    """The code that a mutant changes is not there (or there too often)."""


@dataclass(frozen=True)
class Swap:
    """In `where` ("Class.method", nested functions too) replace `old` by `new`.

    Both are expressions, else `old` is a simple statement; `nth` (0-based) of `of` matches.
    """

    where: str
    old: str
    new: str
    nth: int = 0
    of: int = 1


@dataclass(frozen=True)
class Drop:
    """In `where` remove the one statement whose text contains `containing`."""

    where: str
    containing: str


@dataclass(frozen=True)
class Set:
    """In `where` the one assignment to the plain name `name` gets another value."""

    where: str
    name: str
    value: str


@dataclass(frozen=True)
class Head:
    """In front of everything that the function `where` does, `code`."""

    where: str
    code: str


@dataclass(frozen=True)
class Tail:
    """Behind everything that the module does, `code`."""

    code: str


@dataclass(frozen=True)
class Text:
    """`old`, which stands once in the file, becomes `new`: for what is no Python."""

    old: str
    new: str


Edit = Swap | Drop | Set | Head | Tail | Text


_parsed = cache(cst.parse_module)


def mutate(source: str, edit: Edit) -> str:
    """The module's text with the bug in it. Raises NoLongerApplies."""
    if isinstance(edit, Text):
        if (found := source.count(edit.old)) != 1:
            raise NoLongerApplies(f"{edit.old!r} found {found} times, expected 1")
        return source.replace(edit.old, edit.new)
    if isinstance(edit, Tail):
        code = f"{source}\n\n{edit.code}\n"
        compile(code, "mutant", "exec")
        return code
    planter = _Planter(edit)
    planted = _parsed(source).visit(planter)
    wanted = edit.of if isinstance(edit, Swap) else 1
    if planter.found != wanted:
        what = next(v for k, v in vars(edit).items() if k != "where")
        raise NoLongerApplies(
            f"{edit.where}: {what!r} found {planter.found} times, expected {wanted}"
        )
    compile(planted.code, "mutant", "exec")
    return planted.code


class _Planter(cst.CSTTransformer):
    def __init__(self, edit: Swap | Drop | Set | Head) -> None:
        self.edit = edit
        self.path: list[str] = []
        self.found = 0
        self.old = _shape(edit.old) if isinstance(edit, Swap) else ""
        self.statements = isinstance(edit, Swap) and not (
            _is_expression(edit.old) and _is_expression(edit.new)
        )

    @property
    def inside(self) -> bool:
        path, where = ".".join(self.path), self.edit.where
        return path == where or path.startswith(where + ".")

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:
        self.path.append(node.name.value)
        return self.inside or self._leads_there()

    def leave_ClassDef(
        self, original_node: cst.ClassDef, updated_node: cst.ClassDef
    ) -> cst.ClassDef:
        self.path.pop()
        return updated_node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        self.path.append(node.name.value)
        return self.inside or self._leads_there()

    def _leads_there(self) -> bool:
        return self.edit.where.startswith(".".join(self.path) + ".")

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        if isinstance(self.edit, Head) and ".".join(self.path) == self.edit.where:
            self.found += 1
            body = cst.parse_module(self.edit.code + "\n").body
            block = cst.ensure_type(updated_node.body, cst.IndentedBlock)
            updated_node = updated_node.with_changes(
                body=block.with_changes(body=[*body, *block.body])
            )
        self.path.pop()
        return updated_node

    def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> object:
        updated = super().on_leave(original_node, updated_node)
        if not self.inside or not isinstance(original_node, _TARGETS):
            return updated
        if isinstance(self.edit, Drop):
            return self._dropped(original_node, updated)
        if isinstance(self.edit, Set):
            return self._set(original_node, updated)
        if isinstance(self.edit, Swap):
            return self._swapped(original_node, updated)
        return updated

    def _set(self, node: cst.CSTNode, updated: object) -> object:
        assert isinstance(self.edit, Set)
        if not isinstance(node, cst.SimpleStatementLine):
            return updated
        if not _text(node).startswith(f"{self.edit.name} ="):
            return updated
        self.found += 1
        return cst.parse_statement(f"{self.edit.name} = {self.edit.value}")

    def _dropped(self, node: cst.CSTNode, updated: object) -> object:
        assert isinstance(self.edit, Drop)
        simple = isinstance(node, cst.SimpleStatementLine)
        if not simple or self.edit.containing not in _text(node):
            return updated
        self.found += 1
        return cst.parse_statement("pass")

    def _swapped(self, node: cst.CSTNode, updated: object) -> object:
        assert isinstance(self.edit, Swap)
        if isinstance(node, cst.SimpleStatementLine) != self.statements:
            return updated
        if _shape(_text(node)) != self.old:
            return updated
        self.found += 1
        if self.found - 1 != self.edit.nth:
            return updated
        if isinstance(node, cst.SimpleStatementLine):
            body = cst.parse_module(self.edit.new + "\n").body
            return cst.FlattenSentinel(body)
        return cst.parse_expression(f"({self.edit.new})")


_TARGETS = (cst.BaseExpression, cst.SimpleStatementLine)
_EMPTY = cst.Module(body=[])


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def _text(node: cst.CSTNode) -> str:
    if isinstance(node, cst.SimpleStatementLine):
        node = node.with_changes(leading_lines=())
    return _EMPTY.code_for_node(node).strip()


def _shape(text: str) -> str:
    """The syntax without layout and comments; empty where it does not stand alone."""
    try:
        tree = ast.parse(f"({text})" if "\n" in text and "=" not in text else text)
    except SyntaxError:
        return f"? {text}"
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
        return ast.dump(tree.body[0].value)
    return ast.dump(tree)
