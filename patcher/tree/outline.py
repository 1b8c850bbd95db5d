"""Hashes: of files, and short ones of lines, so that an edit can be named without the text."""

from __future__ import annotations

import ast
import base64
import codecs
import difflib
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

_WIDTH = 3
"""Characters a line: 18 bits, enough to see an edit, too few to matter in size."""


def sha256(data: bytes) -> str:
    """The file's hash, in hex."""
    return hashlib.sha256(data).hexdigest()


def lines(data: bytes) -> list[bytes]:
    """The lines without a BOM and without their ends."""
    text = data.removeprefix(codecs.BOM_UTF8)
    return [line.removesuffix(b"\r") for line in text.removesuffix(b"\n").split(b"\n")]


def fingerprints(data: bytes) -> list[str]:
    """One short hash a line, the same for every kind of line end."""
    return [
        base64.urlsafe_b64encode(hashlib.sha256(line).digest())[:_WIDTH].decode()
        for line in lines(data)
    ]


@lru_cache(maxsize=16)
def symbols(data: bytes) -> Mapping[str, tuple[int, int]]:
    """Top-level definitions and methods, with their lines (from 1, both included).

    Decorators belong to their definition. Empty when the file is not valid Python.
    """
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return {}
    return dict(_symbols(tree.body, ""))


def _symbols(
    body: Sequence[ast.stmt], prefix: str
) -> Iterator[tuple[str, tuple[int, int]]]:
    for node in body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        yield prefix + node.name, (start, node.end_lineno or node.lineno)
        if isinstance(node, ast.ClassDef):
            yield from _symbols(node.body, f"{prefix}{node.name}.")


@dataclass(frozen=True)
class Outline:
    """What is kept of a pinned file: where its symbols are, and a hash a line."""

    symbols: Mapping[str, tuple[int, int]]
    lines: tuple[str, ...]

    @classmethod
    def of(cls, data: bytes) -> Outline:
        """The outline of a file."""
        return cls(symbols(data), tuple(fingerprints(data)))


def folded(outlines: Mapping[str, Outline]) -> str:
    """Outlines by their files' hashes as one text, small where they are much alike."""
    plain = {
        digest: [one.symbols, "".join(one.lines)] for digest, one in outlines.items()
    }
    text = json.dumps(plain, separators=(",", ":"))
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def unfolded(text: str) -> dict[str, Outline]:
    """The outlines that `folded` made the text of."""
    plain = json.loads(zlib.decompress(base64.b85decode(text)))
    return {
        digest: Outline(
            {name: (start, end) for name, (start, end) in spans.items()},
            tuple(lines[i : i + _WIDTH] for i in range(0, len(lines), _WIDTH)),
        )
        for digest, (spans, lines) in plain.items()
    }


@dataclass(frozen=True)
class Difference:
    """One run of lines that a file has instead of what its pin has.

    `symbol` is the innermost definition around it, empty at a module's top level;
    `removed` counts the pinned lines, `added` are the file's own.
    """

    symbol: str
    line: int
    removed: int
    added: tuple[str, ...]

    def shown(self, release: str) -> tuple[str, ...]:
        """In diff notation; the release's own lines can only be counted."""
        if self.added:
            return tuple(f"+ {line}" for line in self.added)
        count = "1 line" if self.removed == 1 else f"{self.removed} lines"
        return (f"- {count} of sglang {release}",)


def differences(outline: Outline, data: bytes) -> list[Difference]:
    """Where the file differs from the outline, in order."""
    text = lines(data)
    own = symbols(data)
    found = []
    matcher = difflib.SequenceMatcher(
        None, outline.lines, fingerprints(data), autojunk=False
    )
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if tag == "equal":
            continue
        added = tuple(line.decode("utf-8", "replace") for line in text[b0:b1])
        symbol = symbol_at(outline.symbols, a0 + 1) if a1 > a0 else ""
        symbol = symbol or symbol_at(own, b0 + 1)
        found.append(Difference(symbol, b0 + 1, a1 - a0, added))
    return found


def symbol_at(spans: Mapping[str, tuple[int, int]], line: int) -> str:
    """The innermost symbol around a line; empty when there is none."""
    inside = [name for name, (start, end) in spans.items() if start <= line <= end]
    return inside[-1] if inside else ""
