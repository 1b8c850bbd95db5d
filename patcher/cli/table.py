"""The table of releases and patches, for a terminal and for the README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from patcher.plan.select import table
from patcher.recipe import Patch
from patcher.results import Fits, Listed
from patcher.tree.find import Tree


def listed(patches: Sequence[Patch], tree: Tree | None = None) -> Listed:
    """The patches, and what fits which release; of a tree, for its release alone."""
    applied: tuple[str, ...] = ()
    rows = table(patches)
    if tree is not None:
        from patcher.disk.state import state_of

        state = state_of(tree)
        applied = state.in_force.names if state.in_force else ()
        rows = [
            replace(row, releases=(state.release,))
            for row in rows
            if state.release in row.releases
        ]
    names = [patch.name for patch in patches]
    return Listed(
        tree=str(tree.home) if tree else None,
        applied=applied,
        patches={patch.name: patch.about.summary for patch in patches},
        releases=tuple(
            Fits(
                row.releases,
                row.family,
                dict(zip(names, row.cells, strict=True)),
                row.why,
            )
            for row in rows
        ),
    )


def text(listed: Listed) -> str:
    """The patches with their summaries, then releases x patches with the reasons."""
    names = list(listed.patches)
    width = max(map(len, names), default=0)
    about = [f"{name:{width}}  {said}" for name, said in listed.patches.items()]
    head = Fits(("releases",), "family", dict(zip(names, names, strict=True)), "")
    rows = [head, *listed.releases]
    span = max(len(row.span) for row in rows)
    lines = []
    for row in rows:
        padded = [f"{row.fits[name]:{len(name)}}" for name in names]
        start = [f"{row.span:{span}}", f"{row.family:7}"]
        lines.append("  ".join([*start, *padded, row.why]).rstrip())
    if listed.tree is not None:
        if not listed.releases:
            lines = ["the tree is of no release known here"]
        lines += ["", f"applied: {', '.join(listed.applied) or 'nothing'}"]
    return "\n".join([*about, "", *lines])


def lines(listed: Listed) -> str:
    """The same for a narrow terminal: a few lines for releases in a row."""
    rows = [f"{name}: {said}" for name, said in listed.patches.items()]
    for row in listed.releases:
        fit = [name for name, fits in row.fits.items() if fits == "yes"]
        rows += ["", f"{row.span} (family {row.family})"]
        rows += [f"  fits: {', '.join(fit)}"] if fit else []
        rows += [f"  not: {why}" for why in row.why.split("; ") if why]
    if listed.tree is not None:
        if not listed.releases:
            rows += ["", "the tree is of no release known here"]
        rows += ["", f"applied: {', '.join(listed.applied) or 'nothing'}"]
    return "\n".join(rows)


def markdown(patches: Sequence[Patch]) -> str:
    """Releases x patches as a Markdown table."""
    head = ["releases", "family", *(f"`{p.name}`" for p in patches), "why not"]
    rows = [head, ["---"] * len(head)]
    rows += [[row.span, row.family, *row.cells, row.why] for row in table(patches)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
