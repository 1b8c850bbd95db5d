"""The optimisations: one folder a patch, each a recipe and a payload.

A folder with a `recipe.py` is a patch; nothing else has to be edited to add one.
`shared/` holds payload that several patches insert.
"""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patcher.recipe import Patch

HERE = Path(__file__).parent
SHARED = HERE / "shared" / "payload"


def all_patches() -> tuple[Patch, ...]:
    """Every patch, in the one order in which patches are ever planned.

    What more patches build on comes first, so a patch follows those it requires.
    """
    found = {
        patch.name: patch
        for recipe in sorted(HERE.glob("*/recipe.py"))
        for patch in [import_module(f"patches.{recipe.parent.name}.recipe").PATCH]
    }

    def needs(name: str) -> set[str]:
        required = found[name].requires
        return set(required).union(*map(needs, required))

    built_on = Counter(required for name in found for required in needs(name))
    return tuple(sorted(found.values(), key=lambda p: (-built_on[p.name], p.name)))
