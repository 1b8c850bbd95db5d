"""What `ci/kit` makes of the rows of its sides, and where a side's modules come from."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

CI = Path(__file__).parents[1] / "ci"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(CI)


def rows(way: str = "indexer", slot: int = 7, poison: str = "", **more: Any) -> Any:
    """A case's row: one draft step without a graph, one before the capture, one in it."""
    step = {"lengths": [2], "pages": [[1]], "slots": [[64, slot]], "hidden": [[0.5]]}
    idle = {"lengths": [1], "pages": [[0]], "slots": [[0, -1]], "hidden": [[0.0]]}
    return {
        "way": way,
        "steps": 4,
        "poison": poison,
        "result": "passed",
        "runs": {"eager": [step], "warm-up 1": [idle], "graph": [step]},
        "outputs": [[[3.0]]],
        "in_graph": False,
        "poisoned": bool(poison),
        **more,
    }


def side(*changed: dict[str, Any]) -> list[dict[str, Any]]:
    """A side as it should be, with some of its rows others."""
    whole = [
        rows("kit"),
        rows(),
        rows(poison="wide"),
        rows(slot=8, poison="narrow"),
    ]
    asked = {(row["way"], row["poison"]): row for row in (*whole, *changed)}
    return list(asked.values())


def warmed_up() -> dict[str, Any]:
    """A row whose run before the capture read other slots, and no other did."""
    row = rows()
    row["runs"]["warm-up 1"] = rows(slot=9)["runs"]["graph"]
    return row


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ((), 0, "4: passed"),
        ((rows("kit", 8),), 1, "eager, step 0, slots[0][1]: 8 for 7"),
        ((rows("kit", outputs=[[[4.0]]]),), 1, "outputs[0][0][0]: 4.0 for 3.0"),
        ((rows("kit", outputs=[[[float("nan")]]]),), 1, "4: differs"),
        ((rows("kit", runs={"eager": []}),), 1, "eager: 0 steps for 1"),
        ((rows("kit", runs={}),), 1, "4: failed"),
        ((rows(poison="narrow", runs={}, result="failed"),), 1, "4: failed"),
        ((rows("kit", result="failed", error="Boom: x"),), 1, "Boom: x"),
        ((rows("kit", result="not run", runs={}),), 1, "4: not run"),
        # What ran before the capture is shown, and is nobody's.
        ((warmed_up(),), 0, "warm-up 1, step 0, lengths[0]: 2 for 1"),
        # Somebody read the table of whom it is said that he does not.
        ((rows(slot=8, poison="wide"),), 1, "4: differs"),
        ((rows(poison="wide", poisoned=False),), 0, "4: no table"),
        ((rows(poison="wide", result="not run", runs={}),), 1, "4: not run"),
        # Nobody sees wrong pages: then neither would he see wrong slots.
        ((rows(poison="narrow"),), 1, "4: same"),
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


def test_a_side_is_not_compared_with_what_was_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = importlib.import_module("kit_table")
    cut_off = {"way": "indexer", "steps": 4, "poison": "", "result": "not run"}
    for name, found in {"original": cut_off, "patched": rows()}.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(found))
    names = [str(tmp_path / f"{name}.jsonl") for name in ("original", "patched")]
    assert table.main(*names) == 1
    shown = capsys.readouterr().out
    assert "4: alone" in shown
    assert "was not run" in shown


def test_each_call_of_the_model_is_of_the_run_that_it_was_part_of() -> None:
    case = importlib.import_module("kit_case")
    kit = object.__new__(case.Kit)
    kit.steps = 3  # two calls a run
    kit._begin()
    for number, captured in enumerate((False,) * 6 + (True,) * 2):
        kept = {"lengths": [65], "pages": [[1, number, 9]], "slots": [[number]]}
        tensors = {what: torch.tensor(value) for what, value in kept.items()}
        kit.calls.append((captured, tensors))
    kit._sort_calls()
    found = {run: [step["slots"] for step in steps] for run, steps in kit.runs.items()}
    assert found == {
        "eager": [[[0]], [[1]]],
        "warm-up 1": [[[2]], [[3]]],
        "warm-up 2": [[[4]], [[5]]],
        "graph": [[[6]], [[7]]],
    }
    # The length ends in the second page; what the third says is nobody's.
    assert kit.runs["graph"][1]["pages"] == [[1, 7]]


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
