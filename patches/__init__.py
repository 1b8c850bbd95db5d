"""The optimisations: one folder a patch, each an `about.py`, a recipe and a payload.

A folder with an `about.py` is a patch; nothing else has to be edited to add one.
`shared/` holds what several patches use.
"""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patcher.about import About
    from patcher.recipe import Patch

HERE = Path(__file__).parent
SHARED = HERE / "shared" / "payload"


def all_about() -> tuple[About, ...]:
    """What every patch says of itself, in the one order in which patches are planned.

    What more patches build on, or have routes beside, comes first.
    """
    return tuple(about for _, about in _found())


def all_patches() -> tuple[Patch, ...]:
    """Every patch with its recipe, in the same order; loading them takes libcst along."""
    return tuple(
        import_module(f"patches.{folder}.recipe").PATCH for folder, _ in _found()
    )


def _found() -> list[tuple[str, About]]:
    """Folders and what they hold."""
    found = {
        folder: import_module(f"patches.{folder}.about").ABOUT
        for folder in sorted(file.parent.name for file in HERE.glob("*/about.py"))
    }
    by_name = {about.name: about for about in found.values()}

    def needs(name: str) -> set[str]:
        about = by_name[name]
        required = {*about.requires, *(n for r in about.routes for n in r.beside)}
        return required.union(*map(needs, required))

    # A patch of later families alone does not move what the first is planned by.
    first = [name for name, about in by_name.items() if "A" in about.families]
    built_on = Counter(required for name in first for required in needs(name))
    return sorted(found.items(), key=lambda f: (-built_on[f[1].name], f[1].name))
