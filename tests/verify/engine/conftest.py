"""The command, run with a stand-in environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.verify.engine import kit
from verify.cli import bench
from verify.engine.tiny import checkpoint


@pytest.fixture
def go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> kit.Go:
    """Runs the command with a stand-in environment, whose engine reads no model."""
    monkeypatch.setattr(checkpoint, "write", lambda folder, *_: folder)

    def one(
        tree: Path, *arguments: object, site: Path | None = None
    ) -> tuple[int, str, str]:
        place = site or kit.site(tmp_path / "site")
        monkeypatch.setenv("PYTHONPATH", str(place))
        given = [tree, "--engine", "tiny", "--python", sys.executable, *arguments]
        code = bench.main([str(a) for a in given])
        return (code, *capsys.readouterr())

    return one
