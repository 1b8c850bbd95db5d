"""What `ci/kit` makes of the rows of its sides, and where a side's modules come from."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

CI = Path(__file__).parents[1] / "ci"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(CI)


def rows(way: str, digest: str, *, poison: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "way": way,
        "steps": 4,
        "poison": poison,
        "result": "passed",
        "digest": digest,
        "in_graph": False,
        "poisoned": poison,
        **more,
    }


def side(*changed: dict[str, Any]) -> list[dict[str, Any]]:
    """A side as it should be, with some of its rows others."""
    whole = [
        rows("kit", "a"),
        rows("indexer", "c"),
        rows("indexer", "c", poison=True),
    ]
    asked = {(row["way"], row["poison"]): row for row in (*whole, *changed)}
    return list(asked.values())


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ((), 0, "4: passed"),
        ((rows("kit", "b"),), 1, "4: differs"),
        ((rows("kit", "", result="failed", error="Boom: x"),), 1, "Boom: x"),
        ((rows("kit", "", result="not run"),), 1, "4: not run"),
        # Somebody read the table of whom it is said that he does not.
        ((rows("indexer", "d", poison=True),), 1, "4: differs"),
        ((rows("indexer", "c", poison=True, poisoned=False),), 0, "4: no table"),
    ],
)
def test_a_side_that_differs_is_named(
    changed: tuple[dict[str, Any], ...],
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = importlib.import_module("kit_table")
    files = {"original": side(), "patched": side(*changed)}
    for name, found in files.items():
        lines = "".join(json.dumps(row) + "\n" for row in found)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    names = [str(tmp_path / f"{name}.jsonl") for name in files]
    assert table.main(*names) == code
    shown = capsys.readouterr().out
    assert any(said in line for line in shown.splitlines() if "original" not in line)


def test_a_patched_module_is_found_before_the_package_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = importlib.import_module("kit_case")
    for place, said in (("package", "theirs"), ("patched", "ours")):
        package = tmp_path / place / "sglang"
        package.mkdir(parents=True)
        (package / "changed.py").write_text(f"said = {said!r}\n")
    (tmp_path / "package/sglang/__init__.py").write_text("")
    (tmp_path / "package/sglang/same.py").write_text("said = 'theirs'\n")
    (tmp_path / "patched/sglang/added.py").write_text("said = 'ours'\n")
    monkeypatch.syspath_prepend(tmp_path / "package")
    overlay = case.Overlay(tmp_path / "patched")
    monkeypatch.setattr(sys, "meta_path", [overlay, *sys.meta_path])
    before = {name for name in sys.modules if name.partition(".")[0] == "sglang"}
    assert not before
    try:
        names = ("changed", "added", "same")
        found = [importlib.import_module(f"sglang.{name}").said for name in names]
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "sglang"]:
            del sys.modules[name]
    assert found == ["ours", "ours", "theirs"]
