"""The kernels that a release compiles at run time, with all that it compiles them from.

Copied beside a side's modules where they are to be timed: `load_jit` wants its own folder.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from verify.sides.source import Read

# (the folder of what compiles, modules that a replay asks for), by release, new to old.
_PLACES = (
    (
        "sglang/kernels/jit",
        (
            "sglang/kernels/jit/__init__.py",
            "sglang/kernels/ops/attention/fused_metadata_copy.py",
            "sglang/kernels/ops/attention/dsa/fused_metadata_copy.py",
            "sglang/kernels/ops/attention/dsv4/topk.py",
        ),
    ),
    (
        "sglang/jit_kernel",
        (
            "sglang/jit_kernel/fused_metadata_copy.py",
            "sglang/jit_kernel/dsv4/topk.py",
        ),
    ),
)
_CUDA = re.compile(r"[\"']([\w./]+\.cuh)[\"']")
_INCLUDE = re.compile(r"^\s*#\s*include\s*([<\"])([^>\"]+)[>\"]", re.MULTILINE)


def copy(read: Read, folder: Path) -> list[str]:
    """Write them below `folder`; returns their paths, none where a release has none."""
    done: dict[str, None] = {}
    for home, modules in _PLACES:
        waiting = [rel for rel in modules if not (folder / rel).exists()]
        while waiting:
            rel = waiting.pop()
            data = None if rel in done else read(rel)
            if data is None:
                continue
            done[rel] = None
            target = folder / rel
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():  # a patch's own stays
                target.write_bytes(data)
            text = data.decode("utf-8", errors="replace")
            wanted = _modules if rel.endswith(".py") else _headers
            waiting += wanted(rel, text, home)
    return sorted(done)


def _modules(rel: str, text: str, home: str) -> Iterator[str]:
    """What a module may import of the kernels, and the CUDA that it names."""
    yield from (f"{home}/csrc/{name}" for name in _CUDA.findall(text))
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ImportFrom):
            continue
        name = (node.module or "").replace(".", "/")
        if node.level:
            above = PurePosixPath(rel).parents[node.level - 1]
            name = str(above / name)
        if not name.startswith(("sglang/kernels/", "sglang/jit_kernel/")):
            continue
        for found in (name, *(f"{name}/{alias.name}" for alias in node.names)):
            yield f"{found}.py"
            if found.startswith(home):  # other packages import all of their siblings
                yield f"{found}/__init__.py"


def _headers(rel: str, text: str, home: str) -> Iterator[str]:
    for mark, name in _INCLUDE.findall(text):
        yield f"{home}/include/{name}"
        if mark == '"':
            yield str(PurePosixPath(rel).parent / name)
