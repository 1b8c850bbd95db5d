"""Finds and edits definitions by dotted name, and statements by their structure."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Sequence
from typing import TypeVar

import libcst as cst

from patcher.steps.cst.workspace import Conflict, RecipeError

Definition = cst.ClassDef | cst.FunctionDef
_D = TypeVar("_D", bound=Definition)


class _Scopes(cst.CSTTransformer):
    """Walks definitions only; statements and expressions are never entered."""

    def __init__(
        self, path: list[str], edit: Callable[[Definition], Definition]
    ) -> None:
        super().__init__()
        self._path = path
        self._edit = edit
        self._stack: list[str] = []
        self.siblings: list[str] = []
        self.hits = 0

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> bool:
        return False

    def _visit(self, node: Definition) -> bool:
        self._stack.append(node.name.value)
        if len(self._stack) == len(self._path) and self._stack[:-1] == self._path[:-1]:
            self.siblings.append(node.name.value)
        inside = self._stack == self._path[: len(self._stack)]
        return inside and len(self._stack) < len(self._path)

    def _leave(self, updated: _D) -> _D:
        found = self._stack == self._path
        self._stack.pop()
        if not found:
            return updated
        self.hits += 1
        edited = self._edit(updated)
        assert isinstance(edited, type(updated))
        return edited

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:
        return self._visit(node)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        return self._visit(node)

    def leave_ClassDef(
        self, original_node: cst.ClassDef, updated_node: cst.ClassDef
    ) -> cst.ClassDef:
        return self._leave(updated_node)

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        return self._leave(updated_node)


def edit_definition(
    module: cst.Module, dotted: str, edit: Callable[[Definition], Definition]
) -> cst.Module:
    """`module` with `edit` applied to the one definition called `dotted`.

    `dotted` may reach into functions: `Runner.capture.run_once`. Raises `Conflict` when
    there is none or more than one.
    """
    scopes = _Scopes(dotted.split("."), edit)
    edited = module.visit(scopes)
    if scopes.hits == 1:
        return edited
    if scopes.hits > 1:
        raise Conflict(dotted, f"{dotted} is defined {scopes.hits} times")
    name = dotted.rpartition(".")[2]
    raise Conflict(
        dotted, f"{dotted} is not defined{did_you_mean(name, scopes.siblings)}"
    )


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """` (there is NAME)` for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" (there is {close[0]})" if close else ""


def find_definition(module: cst.Module, dotted: str) -> Definition:
    """The one definition called `dotted`. Raises `Conflict`."""
    found: list[Definition] = []

    def keep(node: Definition) -> Definition:
        found.append(node)
        return node

    edit_definition(module, dotted, keep)
    return found[0]


def block(node: Definition, dotted: str) -> cst.IndentedBlock:
    """The definition's body. Raises `Conflict` when it is on the header's line."""
    if not isinstance(node.body, cst.IndentedBlock):
        raise Conflict(dotted, f"{dotted} has its body on the line of its header")
    return node.body


def docstring_length(statements: Sequence[cst.BaseStatement]) -> int:
    """1 if the block starts with a docstring, else 0."""
    if not statements or not isinstance(statements[0], cst.SimpleStatementLine):
        return 0
    first = statements[0].body[0]
    is_text = isinstance(first, cst.Expr) and isinstance(
        first.value, (cst.SimpleString, cst.ConcatenatedString)
    )
    return 1 if is_text else 0


def parameters(node: Definition) -> tuple[str, ...]:
    """Parameter names in order; `*args` and `**kwargs` keep their stars."""
    assert isinstance(node, cst.FunctionDef)
    params = node.params
    names = [p.name.value for p in (*params.posonly_params, *params.params)]
    if isinstance(params.star_arg, cst.Param):
        names.append(f"*{params.star_arg.name.value}")
    elif isinstance(params.star_arg, cst.ParamStar):
        names.append("*")
    names += [p.name.value for p in params.kwonly_params]
    if params.star_kwarg is not None:
        names.append(f"**{params.star_kwarg.name.value}")
    return tuple(names)


_EMPTY = cst.Module(body=[])


def shape(source: str | cst.CSTNode) -> str:
    """What makes two statements the same: their syntax tree, layout aside."""
    code = source if isinstance(source, str) else _EMPTY.code_for_node(source)
    return ast.dump(ast.parse(code))


class _Anchor(cst.CSTTransformer):
    """Edits the block that holds the anchor, in one function and not in nested ones."""

    def __init__(
        self,
        anchor: str,
        edit: Callable[[Sequence[cst.BaseStatement], int], list[cst.BaseStatement]],
    ) -> None:
        super().__init__()
        self._anchor = anchor
        self._edit = edit
        self._depth = 0
        self.hits = 0
        self.inline = False
        self.seen: list[str] = []

    def _enter(self) -> bool:
        self._depth += 1
        return self._depth == 1

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        return self._enter()

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:
        return self._enter()

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        self._depth -= 1
        return updated_node

    def leave_ClassDef(
        self, original_node: cst.ClassDef, updated_node: cst.ClassDef
    ) -> cst.ClassDef:
        self._depth -= 1
        return updated_node

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> bool:
        return False

    def visit_SimpleStatementSuite(self, node: cst.SimpleStatementSuite) -> bool:
        if shape(_EMPTY.code_for_node(node).strip()) == self._anchor:
            self.hits += 1
            self.inline = True
        return False

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        body: Sequence[cst.BaseStatement] = updated_node.body
        hits = []
        for index, statement in enumerate(original_node.body):
            bare = statement.with_changes(leading_lines=())
            self.seen.append(_EMPTY.code_for_node(bare).strip())
            if shape(statement) == self._anchor:
                hits.append(index)
        self.hits += len(hits)
        if len(hits) == 1:
            body = self._edit(body, hits[0])
        return updated_node.with_changes(body=body)


def edit_at(
    module: cst.Module,
    function: str,
    anchor: str,
    edit: Callable[[Sequence[cst.BaseStatement], int], list[cst.BaseStatement]],
) -> cst.Module:
    """`module` with the block that holds statement `anchor` of `function` edited.

    `edit` gets the block's statements and the anchor's index. Raises `Conflict` unless
    exactly one statement of the function's own body is the anchor.
    """
    walker = _Anchor(_anchor_shape(anchor), edit)

    def walk(node: Definition) -> Definition:
        edited = node.visit(walker)
        assert isinstance(edited, (cst.ClassDef, cst.FunctionDef))
        return edited

    edited = edit_definition(module, function, walk)
    if walker.hits == 1 and not walker.inline:
        return edited
    if walker.hits:
        if walker.hits == 1:
            what = f"the statement to anchor on shares a line in {function}"
        else:
            what = (
                f"the statement to anchor on stands {walker.hits} times in {function}"
            )
        raise Conflict(function, what, lines=_quote("- ", anchor))
    close = difflib.get_close_matches(anchor.strip(), walker.seen, n=1, cutoff=0.5)
    found = _quote("+ ", close[0]) if close else ()
    what = f"the statement to anchor on is not in {function}"
    raise Conflict(function, what, lines=_quote("- ", anchor) + found)


def _anchor_shape(anchor: str) -> str:
    try:
        tree = ast.parse(anchor)
    except SyntaxError as error:
        raise RecipeError(f"anchor is not a statement: {anchor!r}") from error
    if len(tree.body) != 1:
        raise RecipeError(f"anchor is not one statement: {anchor!r}")
    return ast.dump(tree)


def _quote(prefix: str, source: str) -> tuple[str, ...]:
    lines = source.strip().splitlines()
    shown = [*lines[:4], "..."] if len(lines) > 4 else lines
    return tuple(prefix + line for line in shown)


def contains(node: Definition, region: Sequence[cst.BaseStatement]) -> bool:
    """Whether some block of the definition has these statements in a row."""
    wanted = [shape(statement) for statement in region]
    for inner in ast.walk(ast.parse(_EMPTY.code_for_node(node))):
        for name in ("body", "orelse", "finalbody"):
            rows = getattr(inner, name, None)
            if not isinstance(rows, list):
                continue
            shapes = [ast.dump(ast.Module([row], [])) for row in rows]
            if any(shapes[i : i + len(wanted)] == wanted for i in range(len(shapes))):
                return True
    return False
