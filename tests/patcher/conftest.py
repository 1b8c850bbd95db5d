from __future__ import annotations

from pathlib import Path

import pytest

from patcher import pins
from patcher.tree import Tree
from tests.patcher import lookalike
from tests.patcher.steps_kit import WritePayload, payload_writer


@pytest.fixture
def payload(tmp_path: Path) -> WritePayload:
    """Writes a payload file."""
    return payload_writer(tmp_path)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the look-alike releases are known."""
    data = lookalike.pins_data()
    pins.pins.cache_clear()
    monkeypatch.setattr(pins, "_data", lambda: data)
    yield
    pins.pins.cache_clear()


@pytest.fixture
def tree(tmp_path: Path, known: None) -> Tree:
    """A look-alike tree, as an unpacked wheel."""
    return lookalike.write_tree(tmp_path / "tree")
