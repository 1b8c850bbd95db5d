"""The table of releases and patches, for a terminal and for the README."""

from __future__ import annotations

from collections.abc import Sequence

from patcher.plan.select import Row, table
from patcher.recipe import Patch


def text(patches: Sequence[Patch]) -> str:
    """The patches with their summaries, then releases x patches with the reasons."""
    width = max((len(patch.name) for patch in patches), default=0)
    about = [f"{patch.name:{width}}  {patch.about.summary}" for patch in patches]
    head = Row(("releases",), "family", tuple(patch.name for patch in patches), "")
    rows = [head, *table(patches)]
    span = max(len(row.span) for row in rows)
    lines = []
    for row in rows:
        padded = [f"{c:{len(p.name)}}" for c, p in zip(row.cells, patches, strict=True)]
        start = [f"{row.span:{span}}", f"{row.family:7}"]
        lines.append("  ".join([*start, *padded, row.why]).rstrip())
    return "\n".join([*about, "", *lines])


def markdown(patches: Sequence[Patch]) -> str:
    """Releases x patches as a Markdown table."""
    head = ["releases", "family", *(f"`{p.name}`" for p in patches), "why not"]
    rows = [head, ["---"] * len(head)]
    rows += [[row.span, row.family, *row.cells, row.why] for row in table(patches)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
