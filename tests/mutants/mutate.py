"""Plants one bug in a module: an expression swapped, or a statement dropped.

Targets are found by their structure inside a named function, not by line, so a mutant
stays valid as code moves; one that no longer finds its target says so.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache


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


def mutate(source: str, edit: Edit) -> str:
    """The module's text with the bug in it. Raises NoLongerApplies."""
    if isinstance(edit, Text):
        if (found := source.count(edit.old)) != 1:
            raise NoLongerApplies(f"{edit.old!r} found {found} times, expected 1")
        return source.replace(edit.old, edit.new)
    if isinstance(edit, Tail):
        planted = f"{source}\n\n{edit.code}\n"
    else:
        planted = _parsed(source).planted(edit)
    compile(planted, "mutant", "exec")
    return planted


_Target = ast.expr | ast.stmt
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_COMPOUND = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.AsyncFor,
    ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match,
)  # fmt: skip


@dataclass(frozen=True)
class _Module:
    """A module's tree, and its lines as bytes, since `ast` counts columns in those."""

    tree: ast.Module
    lines: list[bytes]

    def planted(self, edit: Swap | Drop | Set | Head) -> str:
        found = sorted(self.targets(edit), key=lambda n: (n.lineno, n.col_offset))
        wanted, nth = (edit.of, edit.nth) if isinstance(edit, Swap) else (1, 0)
        if len(found) != wanted:
            what = next(v for k, v in vars(edit).items() if k != "where")
            raise NoLongerApplies(
                f"{edit.where}: {what!r} found {len(found)} times, expected {wanted}"
            )
        node = found[nth]
        if isinstance(edit, Head):
            return self.instead(node, f"{edit.code}\n", before=True)
        if isinstance(edit, Drop):
            return self.instead(node, "pass")
        if isinstance(edit, Set):
            return self.instead(node, f"{edit.name} = {edit.value}")
        new = f"({edit.new})" if isinstance(node, ast.expr) else edit.new
        return self.instead(node, new)

    def targets(self, edit: Swap | Drop | Set | Head) -> Iterator[_Target]:
        """What the edit is about, wherever that stands."""
        for scope in _scopes(self.tree, edit.where):
            if isinstance(edit, Head):
                yield scope.body[0]
                continue
            for node in ast.walk(scope):
                if isinstance(node, ast.expr | ast.stmt) and self.is_target(node, edit):
                    yield node

    def is_target(self, node: _Target, edit: Swap | Drop | Set) -> bool:
        if isinstance(edit, Swap):
            wanted = _wanted(edit.old, edit.new)
            return wanted.startswith(type(node).__name__) and _shape(node) == wanted
        if isinstance(node, (ast.expr, *_COMPOUND)):
            return False
        if isinstance(edit, Drop):
            return edit.containing in self.text(node)
        return self.text(node).startswith(f"{edit.name} =")

    def text(self, node: _Target) -> str:
        first, last = node.lineno - 1, (node.end_lineno or 0) - 1
        lines = self.lines[first : last + 1]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return b"".join(lines).decode()

    def instead(self, node: _Target, text: str, before: bool = False) -> str:
        """The module's text with this in the node's place, or in front of it."""
        first, last = node.lineno - 1, (node.end_lineno or 0) - 1
        margin = "\n" + " " * node.col_offset
        head = [*self.lines[:first], self.lines[first][: node.col_offset]]
        tail = [self.lines[last][node.end_col_offset :], *self.lines[last + 1 :]]
        if before:
            tail = [self.lines[first][node.col_offset :], *self.lines[first + 1 :]]
        return b"".join([*head, text.replace("\n", margin).encode(), *tail]).decode()


@cache
def _parsed(source: str) -> _Module:
    lines = source.encode().splitlines(keepends=True)
    return _Module(ast.parse(source), lines)


def _scopes(node: ast.AST, where: str) -> Iterator[_Scope]:
    """The functions or classes that are called so, as seen from the node."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _Scope):
            if not isinstance(child, ast.expr):
                yield from _scopes(child, where)
        elif child.name == where:
            yield child
        elif where.startswith(f"{child.name}."):
            yield from _scopes(child, where.removeprefix(f"{child.name}."))


@cache
def _wanted(old: str, new: str) -> str:
    """What a Swap looks for: an expression if both are, else a statement."""
    if _is_expression(old) and _is_expression(new):
        return _shape(ast.parse(f"({old})", mode="eval").body)
    return _shape(ast.parse(old).body[0])


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def _shape(node: _Target) -> str:
    """The syntax without layout and comments; of a name not what is done with it."""
    return ast.dump(node).replace("ctx=Store()", "ctx=Load()")
