"""Blank lines and marker comments around what is inserted."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

BLANK = cst.EmptyLine(indent=False)

Lines = Sequence[cst.EmptyLine]


def leading(statement: cst.BaseStatement) -> list[cst.EmptyLine]:
    """The blank and comment lines above a statement."""
    lines: Lines = getattr(statement, "leading_lines", ())
    return list(lines)


def with_leading(statement: cst.BaseStatement, lines: Lines) -> cst.BaseStatement:
    """The statement under other blank and comment lines."""
    return statement.with_changes(leading_lines=list(lines))


def blanks(lines: Lines) -> int:
    """How many blank lines come first."""
    for count, line in enumerate(lines):
        if line.comment is not None:
            return count
    return len(lines)


def comments(statement: cst.BaseStatement) -> list[str]:
    """The comments above a statement."""
    return [line.comment.value for line in leading(statement) if line.comment]


def marker(patch: str) -> cst.EmptyLine:
    """The one line that says where an inserted region came from."""
    return cst.EmptyLine(comment=cst.Comment(f"# nsa-opt: {patch}"))


def mark(
    statements: Sequence[cst.BaseStatement], patch: str, above: Lines
) -> list[cst.BaseStatement]:
    """The statements as one region: `above`, the marker, then the first one's comments."""
    first, *rest = statements
    own = leading(first)
    lines = [*above, marker(patch), *own[blanks(own) :]]
    return [with_leading(first, lines), *rest]


def set_apart(statement: cst.BaseStatement, gap: int) -> cst.BaseStatement:
    """The statement with at least `gap` blank lines above it."""
    own = leading(statement)
    return with_leading(statement, [BLANK] * (gap - blanks(own)) + own)


def insert(
    body: Sequence[cst.BaseStatement],
    index: int,
    statements: Sequence[cst.BaseStatement],
    patch: str,
    gap: int,
) -> list[cst.BaseStatement]:
    """`body` with a marked region before `index`, `gap` blank lines around it.

    At the head of a block nothing stands above, so there is no gap there. A comment that
    touches what stands above, and not what stands below, stays above.
    """
    before, after = list(body[:index]), list(body[index:])
    above: list[cst.EmptyLine] = []
    if before and after:
        lines = leading(after[0])
        count = next((i for i, line in enumerate(lines) if not line.comment), 0)
        above = lines[:count]
        after[0] = with_leading(after[0], lines[count:])
    region = mark(statements, patch, above + [BLANK] * (gap if before else 0))
    if after:
        after[0] = set_apart(after[0], gap)
    return before + region + after
