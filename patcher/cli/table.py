"""The table of releases and patches, for a terminal and for the README."""

from __future__ import annotations

from collections.abc import Sequence

from patcher.plan.select import table
from patcher.recipe import Patch


def text(patches: Sequence[Patch]) -> str:
    """The patches with their summaries, then releases x patches with the reasons."""
    width = max((len(patch.name) for patch in patches), default=0)
    about = [f"{patch.name:{width}}  {patch.about.summary}" for patch in patches]
    rows = [("release", tuple(patch.name for patch in patches), ""), *table(patches)]
    lines = []
    for release, cells, why in rows:
        padded = [f"{c:{len(p.name)}}" for c, p in zip(cells, patches, strict=True)]
        lines.append("  ".join([f"{release:12}", *padded, why]).rstrip())
    return "\n".join([*about, "", *lines])


def markdown(patches: Sequence[Patch]) -> str:
    """Releases x patches as a Markdown table."""
    head = ["release", *(f"`{patch.name}`" for patch in patches), "why not"]
    rows = [head, ["---"] * len(head)]
    rows += [[release, *cells, why] for release, cells, why in table(patches)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
