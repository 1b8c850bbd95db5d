"""Adds imports where isort, as sglang sets it up, would put them."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import libcst as cst

from patcher.steps.cst import layout
from patcher.steps.cst.bindings import Import, bindings, imports, is_type_checking
from patcher.steps.cst.workspace import Conflict

_WIDTH = 88
_TYPE_CHECKING = Import("typing", "TYPE_CHECKING", "TYPE_CHECKING")

Body = Sequence[cst.BaseStatement]


def add_imports(module: cst.Module, wanted: Sequence[Import]) -> cst.Module:
    """`module` with every wanted name imported that it lacks.

    Raises `Conflict` when it binds such a name to something else.
    """
    known = bindings(module)
    for one in wanted:
        if one.bound in known:
            there = known[one.bound]
            if there is None or not there.same_source(one):
                what = f"{one.bound} already means something else than {_shown(one)}"
                raise Conflict(one.bound, what)
            if one.typing_only or not there.typing_only:
                continue
        if one.typing_only:
            module = _add_typing_only(module, one)
        else:
            module = module.with_changes(body=_place(module.body, one))
        known = bindings(module)
    return module


def _add_typing_only(module: cst.Module, one: Import) -> cst.Module:
    body: list[cst.BaseStatement] = list(module.body)
    for index, statement in enumerate(body):
        if is_type_checking(statement):
            assert isinstance(statement, cst.If)
            suite = statement.body
            if isinstance(suite, cst.IndentedBlock):
                suite = suite.with_changes(body=_place(suite.body, one))
                body[index] = statement.with_changes(body=suite)
                return module.with_changes(body=body)
    module = add_imports(module, [_TYPE_CHECKING])
    block = cst.parse_statement(f"if TYPE_CHECKING:\n    {_source(one)}\n")
    body = list(module.body)
    end = _import_run(body)[1]
    body[end:end] = [layout.set_apart(block, 1)]
    if end + 1 < len(body):
        body[end + 1] = layout.set_apart(body[end + 1], 2)
    return module.with_changes(body=body)


def _place(body: Body, one: Import) -> list[cst.BaseStatement]:
    statements = list(body)
    for index, statement in enumerate(statements):
        joined = _joined(statement, one)
        if joined is not None:
            statements[index] = joined
            return statements
    new: cst.BaseStatement = cst.parse_statement(_source(one))
    start, end = _import_run(statements)
    at = start
    for index in range(start, end):
        if _key(_first(statements[index])) <= _key(one):
            at = index + 1
    before = statements[at - 1] if at > start else None
    after = statements[at] if at < end else None
    if before is not None and _section(_first(before)) == _section(one):
        pass
    elif after is not None and _section(_first(after)) == _section(one):
        taken = layout.leading(after)
        count = layout.blanks(taken)
        new = layout.with_leading(new, taken[:count])
        statements[at] = layout.with_leading(after, taken[count:])
    else:
        new = layout.set_apart(new, 1) if at else new
        if at < len(statements):
            statements[at] = layout.set_apart(statements[at], 1)
    statements.insert(at, new)
    return statements


def _import_run(statements: Body) -> tuple[int, int]:
    """The first unbroken run of import lines."""
    start = 0
    while start < len(statements) and not _is_import(statements[start]):
        start += 1
    if start == len(statements):
        start = 0
        if statements and _is_docstring(statements[0]):
            start = 1
        return start, start
    end = start
    while end < len(statements) and _is_import(statements[end]):
        end += 1
    return start, end


def _is_import(statement: cst.BaseStatement) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and all(
        isinstance(small, (cst.Import, cst.ImportFrom)) for small in statement.body
    )


def _is_docstring(statement: cst.BaseStatement) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and isinstance(
        statement.body[0], cst.Expr
    )


def _first(statement: cst.BaseStatement) -> Import:
    """The first name of a line of imports; relative and star imports sort last."""
    return next(imports(statement), Import("sglang~", "*", "*"))


def _section(one: Import) -> int:
    root = one.module.partition(".")[0]
    if root == "__future__":
        return 0
    if root in sys.stdlib_module_names:
        return 1
    return 3 if root.startswith("sglang") else 2


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    parts = re.split(r"(\d+)", text.lower())
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts if p)


def _key(one: Import) -> tuple[object, ...]:
    return (_section(one), one.name is not None, _natural(one.module))


def _name_key(name: str) -> tuple[object, ...]:
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return (kind, _natural(name))


def _source(one: Import) -> str:
    if one.name is None:
        plain = one.bound == one.module.partition(".")[0]
        return f"import {one.module}" + ("" if plain else f" as {one.bound}")
    renamed = "" if one.bound == one.name else f" as {one.bound}"
    return f"from {one.module} import {one.name}{renamed}"


def _shown(one: Import) -> str:
    return f"`{_source(one)}`"


def _joined(
    statement: cst.BaseStatement, one: Import
) -> cst.SimpleStatementLine | None:
    """`from module import ...` with the name in its sorted place, if this is that line."""
    if one.name is None or one.bound != one.name or not _is_import(statement):
        return None
    assert isinstance(statement, cst.SimpleStatementLine)
    small = statement.body[0]
    same = [i.module == one.module and i.bound == i.name for i in imports(statement)]
    if len(statement.body) > 1 or not isinstance(small, cst.ImportFrom):
        return None
    if not same or not all(same) or isinstance(small.names, cst.ImportStar):
        return None
    index = sum(_name_key(a.evaluated_name) < _name_key(one.name) for a in small.names)
    alias = cst.ImportAlias(name=cst.Name(one.name))
    joined = _with_alias(small, index, alias)
    line = statement.with_changes(body=[joined])
    code = cst.Module(body=[]).code_for_node(line.with_changes(leading_lines=[]))
    if small.lpar is None and len(code.partition("#")[0].rstrip()) > _WIDTH:
        return statement.with_changes(body=[_exploded(joined)])
    return line


def _newline(indent: str) -> cst.ParenthesizedWhitespace:
    return cst.ParenthesizedWhitespace(
        indent=True, last_line=cst.SimpleWhitespace(indent)
    )


def _with_alias(
    node: cst.ImportFrom, index: int, alias: cst.ImportAlias
) -> cst.ImportFrom:
    assert not isinstance(node.names, cst.ImportStar)
    names = list(node.names)
    tall = node.lpar is not None and isinstance(
        node.lpar.whitespace_after, cst.ParenthesizedWhitespace
    )
    gap = _newline("    ") if tall else cst.SimpleWhitespace(" ")
    if index < len(names):
        names.insert(index, alias.with_changes(comma=cst.Comma(whitespace_after=gap)))
        return node.with_changes(names=names)
    last = names[-1]
    if isinstance(last.comma, cst.Comma):
        names[-1] = last.with_changes(comma=_reopened(last.comma, tall))
        ending = _newline("") if tall else last.comma.whitespace_after
        names.append(alias.with_changes(comma=cst.Comma(whitespace_after=ending)))
        return node.with_changes(names=names)
    names[-1] = last.with_changes(comma=cst.Comma(whitespace_after=gap))
    return node.with_changes(names=[*names, alias])


def _reopened(comma: cst.Comma, tall: bool) -> cst.Comma:
    """A last comma, comment included, once another name follows it."""
    after = comma.whitespace_after
    if tall and isinstance(after, cst.ParenthesizedWhitespace):
        return comma.with_changes(
            whitespace_after=after.with_changes(last_line=cst.SimpleWhitespace("    "))
        )
    return comma.with_changes(whitespace_after=cst.SimpleWhitespace(" "))


def _exploded(node: cst.ImportFrom) -> cst.ImportFrom:
    """One name a line, as black breaks a line that is too long."""
    assert not isinstance(node.names, cst.ImportStar)
    *most, last = [
        alias.with_changes(comma=cst.Comma(whitespace_after=_newline("    ")))
        for alias in node.names
    ]
    last = last.with_changes(comma=cst.Comma(whitespace_after=_newline("")))
    return node.with_changes(
        lpar=cst.LeftParen(whitespace_after=_newline("    ")),
        names=[*most, last],
        rpar=cst.RightParen(),
    )
