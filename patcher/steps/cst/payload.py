"""Reads payload files: the pieces to insert and the imports that these need."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import libcst as cst

from patcher.steps.adapt import Adapt, adapted
from patcher.steps.cst import layout, scopes
from patcher.steps.cst.bindings import (
    Import,
    bindings,
    defined,
    definitions,
    imports,
    is_type_checking,
    module_name,
    used_names,
)
from patcher.steps.cst.imports import add_imports
from patcher.steps.cst.known import require_reads
from patcher.steps.cst.workspace import Conflict, RecipeError, Workspace

Statements = Sequence[cst.BaseStatement]


@cache
def read(path: Path) -> cst.Module:
    """The payload file, parsed once a process.

    A comment at its top belongs to the first definition, if it starts with one.
    """
    try:
        module = cst.parse_module(path.read_text(encoding="utf-8"))
    except (OSError, cst.ParserSyntaxError) as error:
        raise RecipeError(f"payload {path.name}: {error}") from error
    if not module.body or not defined(module.body[0]):
        return module
    first, *rest = module.body
    owned = layout.with_leading(first, [*module.header, *layout.leading(first)])
    return module.with_changes(header=[], body=[owned, *rest])


def fitted(path: Path, adapt: Sequence[Adapt], target: cst.Module) -> cst.Module:
    """The payload, adapted to the target and with its line ends."""
    payload = read(path)
    if target.default_newline != payload.default_newline:
        text = payload.code.replace(payload.default_newline, target.default_newline)
        payload = cst.parse_module(text)
    return adapted(payload, adapt, target)


def pick(payload: cst.Module, names: Sequence[str]) -> list[cst.BaseStatement]:
    """The named top-level definitions, in the payload's order."""
    known = definitions(payload)
    for name in names:
        if name not in known:
            raise RecipeError(f"the payload does not define {name}")
    chosen = [known[name] for name in names]
    return [s for s in payload.body if any(s is one for one in chosen)]


def body_of(payload: cst.Module, source: str) -> list[cst.BaseStatement]:
    """The statements of a payload's class or function, without its docstring."""
    return list(_statements(_definition(payload, source), source))


def parameters_of(payload: cst.Module, source: str) -> tuple[str, ...]:
    """The parameter names of a payload's function."""
    return scopes.parameters(_definition(payload, source))


def _definition(payload: cst.Module, source: str) -> scopes.Definition:
    try:
        return scopes.find_definition(payload, source)
    except Conflict as error:
        raise RecipeError(f"payload: {error.what}") from error


def _statements(node: scopes.Definition, source: str) -> Statements:
    statements = scopes.block(node, source).body
    rest = statements[scopes.docstring_length(statements) :]
    if not rest:
        raise RecipeError(f"the payload's {source} is empty")
    return rest


def settle(
    work: Workspace,
    file: str,
    payload: cst.Module,
    inserted: Statements,
    edited: cst.Module,
    owner: str = "",
) -> None:
    """Makes `edited` the file's content, with the imports that `inserted` needs.

    `owner` is the class whose `self` it uses. Raises `Conflict` when it needs a name of
    the target that is not there, or reads what is as in no release.
    """
    require_reads(work, file, inserted, owner)
    known = bindings(edited)
    used = used_names(inserted)
    wanted = []
    for one in _needs(payload, used):
        if one.module != module_name(file):
            wanted.append(one)
        elif one.name not in known:
            symbol = str(one.name)
            raise Conflict(symbol, f"{symbol}, which the patch uses, is not defined")
    for name in definitions(payload):
        if name in used and name not in known:
            raise RecipeError(f"{name} of the payload is used but not inserted")
    work.put(file, add_imports(edited, wanted))


def _needs(payload: cst.Module, used: set[str]) -> list[Import]:
    found: list[Import] = []
    for statement in payload.body:
        found += imports(statement)
        if is_type_checking(statement):
            assert isinstance(statement, cst.If)
            suite = statement.body
            if isinstance(suite, cst.IndentedBlock):
                for inner in suite.body:
                    found += imports(inner, typing_only=True)
    return [one for one in found if one.bound in used and one.module != "__future__"]
