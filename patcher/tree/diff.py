"""Before and after, as a person reads them: diffs, line counts, names of symbols."""

from __future__ import annotations

import difflib
import re

from patcher.results import FileEdit
from patcher.tree.outline import Outline, differences


def unified(path: str, old: bytes | None, new: bytes | None) -> str:
    """The unified diff of one file, as git writes it."""
    before = f"a/{path}" if old is not None else "/dev/null"
    after = f"b/{path}" if new is not None else "/dev/null"
    rows = difflib.unified_diff(_lines(old), _lines(new), before, after)
    return "".join(
        row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n"
        for row in rows
    )


def edit(path: str, old: bytes | None, new: bytes | None) -> FileEdit:
    """How many lines a file gains and loses."""
    rows = unified(path, old, new).splitlines()[2:]
    added = sum(row.startswith("+") for row in rows)
    removed = sum(row.startswith("-") for row in rows)
    return FileEdit(path, added, removed, created=old is None, deleted=new is None)


def first_symbol(old: bytes, new: bytes) -> str:
    """The first definition in which two versions of a file differ."""
    found = differences(Outline.of(old), new)
    return found[0].symbol if found else ""


def changed_lines(path: str, old: bytes, new: bytes) -> list[str]:
    """The lines that differ, each after `- ` or `+ `."""
    rows = unified(path, old, new).splitlines()[2:]
    return [f"{row[0]} {row[1:]}".rstrip() for row in rows if row[:1] in "+-"]


def _lines(data: bytes | None) -> list[str]:
    """Split at line feeds only, as git does; a form feed is no line end."""
    text = (data or b"").decode("utf-8", "replace")
    return [line for line in re.split(r"(?<=\n)", text) if line]
