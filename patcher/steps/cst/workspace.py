"""The files of a plan while its steps run: one parsed module a file."""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from collections.abc import Mapping
from typing import Protocol

import libcst as cst

from patcher.results import Reason


class RecipeError(ValueError):
    """A recipe or payload that contradicts itself: a bug here, not in the tree."""


class Conflict(Exception):
    """A step that does not fit the tree."""

    def __init__(
        self,
        symbol: str,
        what: str,
        hint: str = "",
        lines: tuple[str, ...] = (),
        file: str = "",
    ) -> None:
        super().__init__(what)
        self.symbol = symbol
        self.what = what
        self.hint = hint
        self.lines = lines
        # Where it is, if not in the file of the step.
        self.file = file

    def reason(self, file: str) -> Reason:
        """This conflict, as a result that names the file."""
        return Reason(self.file or file, self.symbol, self.what, self.hint, self.lines)


class Workspace:
    """Original bytes in, modules in between, new bytes out. Nothing touches a disk."""

    def __init__(self, originals: Mapping[str, bytes]) -> None:
        self._originals = originals
        self._parsed: dict[str, cst.Module] = {}
        self._edited: dict[str, cst.Module] = {}
        # New files that are no Python.
        self._plain: dict[str, bytes] = {}
        # What several patches may bring: a gate's (file, symbol), or a step.
        self.brought: set[object] = set()
        # What inserted code reads of `self`: (file, class, attribute).
        self.reads: set[tuple[str, str, str]] = set()

    def exists(self, file: str) -> bool:
        """Whether the file is in the tree, or was created by an earlier step."""
        return file in self._edited or file in self._plain or file in self._originals

    def mentioning(self, word: str) -> list[str]:
        """The files of the tree, as far as they were read, that have the word in them."""
        return sorted(f for f, d in self._originals.items() if word.encode() in d)

    def created(self, file: str) -> bool:
        """Whether an earlier step created the file."""
        return file in self._edited and file not in self._originals

    def original(self, file: str) -> bytes:
        """The tree's own bytes. Raises `Conflict` when it has no such file."""
        if file not in self._originals:
            raise Conflict("", "the tree has no such file")
        return self._originals[file]

    def module(self, file: str) -> cst.Module:
        """The file as the steps so far have left it. Raises `Conflict`."""
        if file in self._edited:
            return self._edited[file]
        if file not in self._parsed:
            self._parsed[file] = parse(self.original(file))
        return self._parsed[file]

    def put(self, file: str, module: cst.Module) -> None:
        """Sets the file's new content."""
        self._edited[file] = module

    def put_plain(self, file: str, data: bytes) -> None:
        """Adds a file that is no Python."""
        self._plain[file] = data

    def edits(self) -> dict[str, bytes]:
        """The new bytes of every file that was edited or created."""
        modules = {
            file: _bom(self._originals.get(file, b""))
            + with_one_marker(module.code).encode()
            for file, module in self._edited.items()
        }
        return dict(sorted((modules | self._plain).items()))

    def renewed(self, edits: Mapping[str, bytes]) -> Workspace:
        """A workspace that starts from what this one made of its files."""
        fresh = Workspace({**self._originals, **edits})
        fresh._parsed = {**self._parsed, **self._edited}
        return fresh


class Step(Protocol):
    """One edit, or one precondition, of one file."""

    @property
    def file(self) -> str:
        """Package-relative path: `sglang/srt/...`."""

    def apply(self, work: Workspace, patch: str) -> None:
        """Edits `work` in the name of `patch`; raises `Conflict`, changing nothing."""

    def adds(self) -> frozenset[str]:
        """The symbols this step brings, so that their absence is not reported twice."""


def parse(data: bytes) -> cst.Module:
    """The module of UTF-8 `data`, a BOM aside. Raises `Conflict` for anything else."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        if encoding not in ("utf-8", "utf-8-sig", "ascii"):
            raise SyntaxError(f"declares the encoding {encoding}")
        text = data[len(_bom(data)) :].decode()
        module = cst.parse_module(text)
    except UnicodeDecodeError as error:
        raise Conflict("", f"not UTF-8 at byte {error.start}") from error
    except SyntaxError as error:
        raise Conflict("", f"not readable as UTF-8 Python: {error.msg}") from error
    except cst.ParserSyntaxError as error:
        raise Conflict("", f"not valid Python at line {error.editor_line}") from error
    if module.code != text:
        raise Conflict("", "its text cannot be reproduced byte for byte")
    return module


def with_one_marker(text: str) -> str:
    """The text with one marker at its top in the place of one a region."""
    names = dict.fromkeys(match[1] for match in _MARKER.finditer(text))
    if not names:
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    head = _HEAD.match(text)
    at = head.end() if head else 0
    rest = _MARKER.sub("", text[at:])
    return f"{text[:at]}# nsa-opt: {', '.join(names)}{end}{rest}"


_MARKER = re.compile(r"^[ \t]*# nsa-opt: ([\w-]+)\r?\n", re.MULTILINE)
# What must stay first: how to run the file, and what it is encoded in.
_HEAD = re.compile(r"(#!.*\n)?(#.*coding[:=].*\n)?")


def _bom(data: bytes) -> bytes:
    return codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
