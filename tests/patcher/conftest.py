from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from patcher.tree import pins
from patcher.tree.find import Tree
from tests.patcher import lookalike
from tests.patcher.git_kit import make_repository
from tests.patcher.steps.kit import WritePayload, payload_writer


@pytest.fixture
def payload(tmp_path: Path) -> WritePayload:
    """Writes a payload file."""
    return payload_writer(tmp_path)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
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


@pytest.fixture
def plain_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine's counts; a committer is known."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    config = tmp_path / "gitconfig"
    config.write_text(
        '[user]\n\tname = A\n\temail = a@b\n[protocol "file"]\n\tallow = always\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repo(tmp_path: Path, known: None, plain_git: None) -> Path:
    """A git repository with a look-alike below `python/`."""
    folder = tmp_path / "repo"
    make_repository(folder)
    return folder
