"""What inserted code reads, or is run instead of, must be as in a release that is patched.

Every step that inserts code asks here, so that no recipe can forget to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

import libcst as cst

from patcher.steps.cst.bindings import used_names
from patcher.steps.cst.workspace import Conflict, Workspace
from patcher.tree.outline import (
    Difference,
    Outline,
    differences,
    fingerprints,
    lines,
    symbols,
)
from patcher.tree.pins import outline, pins


def require_known(work: Workspace, file: str, symbol: str, why: str) -> None:
    """Raises `Conflict` when the tree's own `symbol` is as in no release that is patched.

    `why` says what the patch has to do with it. Files of which no outline is kept cannot
    be judged.
    """
    data = work.original(file)
    start, end = symbols(data)[symbol]
    found = b"\n".join(lines(data)[start - 1 : end])
    marks = tuple(fingerprints(found))
    variants = dict(_variants(file, symbol))
    if any(variant.lines == marks for variant in variants.values()):
        return
    if not variants:
        if any(outline(pin.files.get(file, "")) for pin in pins().values()):
            what = f"{symbol}, which {why}, is in no release known here"
            raise Conflict(symbol, what)
        return
    changes = {release: differences(v, found) for release, v in variants.items()}
    if any(all(map(_only_says, changed)) for changed in changes.values()):
        return
    release = min(reversed(changes), key=lambda release: _size(changes[release]))
    shown = [line for one in changes[release] for line in one.shown(release)]
    raise Conflict(
        symbol,
        f"{symbol}, which {why}, is not as in sglang {release}",
        lines=tuple(shown[:4]),
    )


def _variants(file: str, symbol: str) -> Iterator[tuple[str, Outline]]:
    """The definition in every release that has it, oldest first."""
    for pin in pins().values():
        known = outline(pin.files.get(file, ""))
        if known is not None and symbol in known.symbols:
            start, end = known.symbols[symbol]
            yield pin.release, Outline({}, known.lines[start - 1 : end])


def _only_says(change: Difference) -> bool:
    """Whether nothing but comments and empty lines was added."""
    added = [line.strip() for line in change.added]
    return not change.removed and all(not t or t.startswith("#") for t in added)


def _size(changed: Sequence[Difference]) -> int:
    return sum(one.removed + len(one.added) for one in changed)


def require_reads(
    work: Workspace, file: str, inserted: Sequence[cst.BaseStatement], owner: str
) -> None:
    """Raises `Conflict` when the code reads what is not as in a release.

    That is: the functions of the tree's own file that it names, the methods that it calls
    on `self`, and the methods that set the attributes that it reads of `self`; `owner` is
    the class of `self`, empty where there is none.
    """
    if not work.exists(file) or work.created(file):
        return
    data = work.original(file)
    own = symbols(data)
    for name in sorted(used_names(inserted)):
        inside = any(symbol.startswith(f"{name}.") for symbol in own)
        if name in own and not inside:
            require_known(work, file, name, "the patch uses")
    if owner not in own:
        return
    reads = _Reads()
    for statement in inserted:
        statement.visit(reads)
    setters = _setters(data, owner)
    work.reads |= {(file, owner, name) for name in reads.names}
    for name in sorted(reads.names):
        if f"{owner}.{name}" in own:
            require_known(work, file, f"{owner}.{name}", "the patch calls")
        for method in setters.get(name, ()):
            why = f"sets .{name}, which the patch reads"
            require_known(work, file, f"{owner}.{method}", why)


def unset(work: Workspace) -> Iterator[tuple[str, Conflict]]:
    """Attributes of `self` that inserted code reads and that nothing sets, by file.

    Asked once all steps are done, since one may read what another sets. A class that
    inherits is left out, and one that is mixed in: the rest of it is not known here.
    """
    for file, owner in sorted({read[:2] for read in work.reads}):
        classes = [
            node
            for node in ast.parse(work.module(file).code).body
            if isinstance(node, ast.ClassDef) and node.name == owner
        ]
        if len(classes) != 1 or classes[0].bases or owner.endswith("Mixin"):
            continue
        has = _set_in(classes[0])
        for node in ast.walk(classes[0]):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                has.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                has.add(node.id)
        names = {name for f, o, name in work.reads if (f, o) == (file, owner)}
        for name in sorted(n for n in names - has if not n.startswith("__")):
            symbol = f"{owner}.{name}"
            yield file, Conflict(symbol, f"{symbol}, which the patch reads, is not set")


def returns_early(inserted: Sequence[cst.BaseStatement]) -> bool:
    """Whether code after the inserted may not be run: it returns, at any depth."""
    found = _Returns()
    for statement in inserted:
        statement.visit(found)
    return found.any


def _setters(data: bytes, owner: str) -> dict[str, list[str]]:
    """The methods of a class that set an attribute of `self`, by attribute."""
    found: dict[str, list[str]] = {}
    for node in ast.parse(data).body:
        if isinstance(node, ast.ClassDef) and node.name == owner:
            for method in node.body:
                if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    for name in sorted(_set_in(method)):
                        found.setdefault(name, []).append(method.name)
    return found


def _set_in(method: ast.AST) -> set[str]:
    return {
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


class _Reads(cst.CSTVisitor):
    """Collects the attributes of `self` that code reads or calls, not those it sets."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def visit_AssignTarget(self, node: cst.AssignTarget) -> bool:
        return not _of_self(node.target)

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if _of_self(node):
            self.names.add(node.attr.value)


def _of_self(node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.Attribute)
        and isinstance(node.value, cst.Name)
        and node.value.value == "self"
    )


class _Returns(cst.CSTVisitor):
    def __init__(self) -> None:
        super().__init__()
        self.any = False

    def visit_Return(self, node: cst.Return) -> None:
        self.any = True

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        return False

    def visit_Lambda(self, node: cst.Lambda) -> bool:
        return False
