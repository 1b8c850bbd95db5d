"""Sides that are up at once, and requests that come and go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.engine import kit
from verify.engine.report import model

LOAD = ("--load", "13", "--bs", "2", "--quick")


def test_requests_that_come_and_go_are_compared(go: kit.Go, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    code, out, _ = go(kit.tree(tmp_path / "tree"), *kit.QUICK, *LOAD, "--json", file)
    assert code == 0
    found = model.read(file)
    assert [s.side for s in found.starts] == ["original", "patched"]
    cell, load = found.cells
    assert (cell.bs, cell.load, load.bs, load.load) == (2, 0, 2, 13)
    assert [r.status for r in load.results] == ["identical", "identical"]
    assert load.results[1].step_ms is None
    assert load.results[1].tokens_a_step > 0
    assert [r.asked for r in load.results] == [2, 2]
    assert "13 by 2" in out


def test_a_token_that_differs_among_them_is_found(go: kit.Go, tmp_path: Path) -> None:
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}LOSES = True\n")
    code, out, _ = go(tree, *kit.QUICK, *LOAD)
    assert code == 1
    assert "3 steps, 13 come and go, patched: request " in out
    assert "differs: none instead of" in out


def test_sides_beside_each_other_are_timed_one_at_a_time(
    go: kit.Go, tmp_path: Path
) -> None:
    alone = f"ALONE = {str(tmp_path / 'lock')!r}\n"
    original, file = f"{kit.ORIGINAL}{alone}", tmp_path / "engine.json"
    code, _, err = go(
        kit.tree(tmp_path / "tree", f"{kit.PATCHED}{alone}", original), *kit.QUICK,
        "--beside", "--gpu-time", "--rounds", 5, "--json", file,
        site=kit.site(tmp_path / "site", backend=original),
    )  # fmt: skip
    assert code == 0, err
    found = model.read(file)
    assert found.beside
    assert [s.side for s in found.starts] == ["original", "patched", "gates off"]
    for cell in found.cells:
        old, new, off = cell.results
        assert (old.status, new.verdict, off.verdict) == ("identical", "FASTER", "SAME")
        assert [len(start) for start in new.readings] == [5]
        assert (old.gpu_ms, new.gpu_ms) == (pytest.approx(1), pytest.approx(0.5))


def test_for_tokens_sides_beside_each_other_are_asked_at_once(
    go: kit.Go, tmp_path: Path
) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    meets = f"MEETS = {str(meeting)!r}\n"
    original, file = f"{kit.ORIGINAL}{meets}", tmp_path / "engine.json"
    code, out, err = go(
        kit.tree(tmp_path / "tree", f"{kit.PATCHED}{meets}", original), *kit.QUICK,
        "--beside", "--quick", "--json", file,
        site=kit.site(tmp_path / "site", backend=original),
    )  # fmt: skip
    assert code == 0, err
    (cell,) = model.read(file).cells
    assert [(r.side, r.status, r.step_ms) for r in cell.results] == [
        ("original", "identical", None), ("patched", "identical", None),
    ]  # fmt: skip
    assert "no times" in out


@pytest.mark.parametrize("planted", ["NO_START = True", "RAISES = True"])
def test_a_patched_engine_that_fails_beside_the_original_is_a_difference(
    go: kit.Go, tmp_path: Path, planted: str
) -> None:
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}{planted}\n", gated=False)
    file = tmp_path / "engine.json"
    code, out, _ = go(tree, *kit.QUICK, "--beside", "--bs", "1,2", "--json", file)
    assert code == 1
    assert "3 steps, patched: failed: " in out
    for cell in model.read(file).cells:
        assert [r.status for r in cell.results] == ["identical", "failed"]


def test_a_patch_can_be_left_out_in_a_side_of_its_own(
    go: kit.Go, tmp_path: Path
) -> None:
    file, tree = tmp_path / "engine.json", kit.tree(tmp_path / "tree")
    more = ("--beside", "--rounds", 5, "--without", "in-graph", "--json", file)
    assert go(tree, *kit.QUICK, *more)[0] == 0
    found = model.read(file)
    sides = ["original", "patched", "without in-graph", "gates off"]
    assert [s.side for s in found.starts] == sides
    assert found.gates["without in-graph"] == {kit.GATE: "0"}
    assert found.cells[0].results[2].verdict == "SAME"
    code, _, err = go(tree, *kit.QUICK, "--without", "fan-out")
    assert code == 2
    assert "there is no patch of the tree 'fan-out'" in err
