"""What the tests of apply and rollback share."""

from __future__ import annotations

import pytest

from patcher.results import Refusal
from patcher.tree.find import Tree


def edit(tree: Tree, file: str, old: str, new: str) -> None:
    """Replaces some text in a file of the tree."""
    path = tree.path(file)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def reasons(refusal: pytest.ExceptionInfo[Refusal]) -> list[tuple[str, str, str]]:
    """File, symbol and text of every reason."""
    return [(r.file, r.symbol, r.what) for r in refusal.value.reasons]
