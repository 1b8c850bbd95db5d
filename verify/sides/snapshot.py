"""The folder with just the modules of a side that a worker imports for real."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

from patcher.results import Reason, Refusal
from verify.sides.source import COMPILER, NEW_MODULES, Source, sha256


def snapshot(source: Source, other: Source, folder: Path) -> Mapping[str, str]:
    """Write the modules a worker imports for real; returns their sha256 by path.

    Besides the usual modules: what the manifest lists, what carries our marker, and
    any module beside them that these import and that the other side does not have.
    Raises `Refusal` where a needed module is missing.
    """
    hashes: dict[str, str] = {}
    needed = source.needed
    waiting = [*needed, *source.if_there, *source.extra]
    while waiting:
        rel = waiting.pop(0)
        data = source.read(rel)
        if rel in hashes or data is None:
            if data is None and rel in needed:
                raise Refusal(_missing(source, rel))
            continue
        hashes[rel] = sha256(data)
        target = folder / rel
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        if rel.endswith(".cuh"):
            waiting += COMPILER
        if rel not in (needed[1], needed[4]):
            waiting += [
                name
                for name in _imports(data)
                if name.startswith(NEW_MODULES) and other.read(name) is None
            ]
    return hashes


def _missing(source: Source, rel: str) -> Reason:
    return Reason(
        rel,
        "",
        f"is not in {source.label}",
        "only releases with sglang's NSA or DSA backend (from 0.5.3 on) can be verified",
    )


def _imports(data: bytes) -> Iterable[str]:
    """Files of the sglang modules that a module's text imports, at any depth."""
    try:
        tree = ast.parse(data)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        else:
            continue
        for name in names:
            if name.startswith("sglang."):
                yield name.replace(".", "/") + ".py"
