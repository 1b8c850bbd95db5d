"""Everything that a user can read, word for word: `messages/SCENARIO.txt`.

`UPDATE_MESSAGES=1 pytest tests/patcher/test_messages.py` rewrites them; read the diff.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import patcher
from tests.patcher.cli import scenarios_conflicts, scenarios_trees, scenarios_trouble
from tests.patcher.cli.stage import SCENARIOS, Stage

MESSAGES = Path(__file__).with_name("messages")
assert scenarios_conflicts, (scenarios_trees, scenarios_trouble)


@pytest.fixture
def stage(
    tmp_path: Path,
    known: None,
    plain_git: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Stage:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NSA_OPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    return Stage(tmp_path, monkeypatch, capfd)


@pytest.mark.parametrize("name", sorted(SCENARIOS) or ["-"])
def test_what_the_user_reads(stage: Stage, name: str) -> None:
    SCENARIOS[name](stage)
    got = "".join(stage.transcript).rstrip() + "\n"
    path = MESSAGES / f"{name}.txt"
    if os.environ.get("UPDATE_MESSAGES"):
        path.write_text(got)
    assert got == path.read_text()


def _fragments() -> Iterator[str]:
    """The longest fixed part of every text that `patcher` may show a user."""
    for path in sorted(Path(patcher.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign):
                names = {t.id for t in node.targets if isinstance(t, ast.Name)}
                texts = [node.value] if names & {"what", "hint", "advice"} else []
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                texts = node.args if node.func.id in ("Reason", "Conflict") else []
            else:
                continue
            for text in texts:
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                fixed = [
                    part.value
                    for part in parts
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                ]
                if fixed and " " in (longest := max(fixed, key=len)).strip():
                    yield longest


def test_every_message_is_in_a_scenario() -> None:
    shown = "".join(path.read_text() for path in MESSAGES.glob("*.txt"))
    words = " ".join(shown.split())
    missing = {text for text in _fragments() if " ".join(text.split()) not in words}
    assert missing == set()


def test_every_scenario_file_has_its_scenario() -> None:
    assert {path.stem for path in MESSAGES.glob("*.txt")} == set(SCENARIOS)
