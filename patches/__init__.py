"""The optimisations: one folder a patch, each a recipe and a payload.

A folder with a `recipe.py` is a patch; nothing else has to be edited to add one.
`shared/` holds payload that several patches insert.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patcher.recipe import Patch

HERE = Path(__file__).parent
SHARED = HERE / "shared" / "payload"


def all_patches() -> tuple[Patch, ...]:
    """Every patch, in the one order in which patches are ever planned.

    A patch follows those it requires; patches that are free of each other go by name.
    """
    found = {
        patch.name: patch
        for recipe in sorted(HERE.glob("*/recipe.py"))
        for patch in [import_module(f"patches.{recipe.parent.name}.recipe").PATCH]
    }
    ordered: dict[str, Patch] = {}

    def place(name: str) -> None:
        for required in found[name].requires:
            place(required)
        ordered.setdefault(name, found[name])

    for name in sorted(found):
        place(name)
    return tuple(ordered.values())
