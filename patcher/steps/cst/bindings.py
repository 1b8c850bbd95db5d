"""What names a module binds, needs and defines."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import libcst as cst
from libcst.helpers import get_full_name_for_node


@dataclass(frozen=True)
class Import:
    """One imported name: `from module import name as bound`, or `import module`."""

    module: str
    name: str | None
    bound: str
    typing_only: bool = False

    def same_source(self, other: Import) -> bool:
        """Whether both bind the same thing to the same name."""
        return (self.module, self.name, self.bound) == (
            other.module,
            other.name,
            other.bound,
        )


Binding = Import | None
"""How a top-level name comes about: by import, or (None) by definition."""


def imports(
    statement: cst.BaseStatement, typing_only: bool = False
) -> Iterator[Import]:
    """The names that one line of imports binds (none for `import *` or relative ones)."""
    if not isinstance(statement, cst.SimpleStatementLine):
        return
    for small in statement.body:
        if isinstance(small, cst.Import):
            for alias in small.names:
                module = alias.evaluated_name
                bound = alias.evaluated_alias or module.partition(".")[0]
                yield Import(module, None, bound, typing_only)
        elif isinstance(small, cst.ImportFrom) and small.module is not None:
            if small.relative or isinstance(small.names, cst.ImportStar):
                continue
            module = get_full_name_for_node(small.module) or ""
            for alias in small.names:
                name = alias.evaluated_name
                yield Import(module, name, alias.evaluated_alias or name, typing_only)


def is_type_checking(statement: cst.BaseStatement) -> bool:
    """Whether this is `if TYPE_CHECKING:`."""
    return isinstance(statement, cst.If) and (
        get_full_name_for_node(statement.test)
        in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    )


def defined(statement: cst.BaseStatement) -> tuple[str, ...]:
    """The names that a definition or an assignment binds."""
    if isinstance(statement, (cst.ClassDef, cst.FunctionDef)):
        return (statement.name.value,)
    names: list[str] = []
    if isinstance(statement, cst.SimpleStatementLine):
        for small in statement.body:
            if isinstance(small, cst.Assign):
                targets = [target.target for target in small.targets]
            elif isinstance(small, cst.AnnAssign):
                targets = [small.target]
            else:
                continue
            for target in targets:
                elements = (
                    [element.value for element in target.elements]
                    if isinstance(target, (cst.Tuple, cst.List))
                    else [target]
                )
                names += [e.value for e in elements if isinstance(e, cst.Name)]
    return tuple(names)


def bindings(module: cst.Module) -> dict[str, Binding]:
    """Every name bound at the module's top level, also inside its `if` and `try`.

    A runtime import wins over one under `if TYPE_CHECKING:`.
    """
    found: dict[str, Binding] = {}
    for statement, typing_only in _flat(module.body, False):
        for one in imports(statement, typing_only):
            known = found.get(one.bound)
            if not (typing_only and isinstance(known, Import)):
                found[one.bound] = one
        for name in defined(statement):
            found[name] = None
    return found


def _flat(
    statements: Iterable[cst.BaseStatement], typing_only: bool
) -> Iterator[tuple[cst.BaseStatement, bool]]:
    for statement in statements:
        yield statement, typing_only
        if isinstance(statement, (cst.ClassDef, cst.FunctionDef)):
            continue
        inner = typing_only or is_type_checking(statement)
        for suite in _suites(statement):
            yield from _flat(suite, inner)


def _suites(node: cst.CSTNode) -> Iterator[Sequence[cst.BaseStatement]]:
    for child in node.children:
        if isinstance(child, cst.IndentedBlock):
            yield child.body
        elif isinstance(
            child, (cst.If, cst.Else, cst.ExceptHandler, cst.Finally, cst.MatchCase)
        ):
            yield from _suites(child)


class _Uses(cst.CSTVisitor):
    """Names read: not attributes, keywords or parameters; quoted annotations too."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def visit_Name(self, node: cst.Name) -> None:
        self.names.add(node.value)

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        node.value.visit(self)
        return False

    def visit_Arg(self, node: cst.Arg) -> bool:
        node.value.visit(self)
        return False

    def visit_Param(self, node: cst.Param) -> bool:
        for part in (node.annotation, node.default):
            if part is not None:
                part.visit(self)
        return False

    def visit_Annotation(self, node: cst.Annotation) -> None:
        text = node.annotation
        if isinstance(text, cst.SimpleString) and isinstance(text.evaluated_value, str):
            tree = ast.parse(text.evaluated_value, mode="eval")
            self.names |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def used_names(nodes: Iterable[cst.CSTNode]) -> set[str]:
    """The names that the nodes read."""
    uses = _Uses()
    for node in nodes:
        node.visit(uses)
    return uses.names


def module_name(file: str) -> str:
    """`sglang/srt/environ.py` -> `sglang.srt.environ`."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def definitions(module: cst.Module) -> Mapping[str, cst.BaseStatement]:
    """The module's own top-level definitions and assignments, by name."""
    return {name: s for s in module.body for name in defined(s)}
