"""The command over a stand-in sglang: what it compares, says, writes and ends with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patcher.results import Exit, Reason, Refusal
from tests.verify.engine import kit
from tests.verify.schemas import validate
from verify.engine import engine
from verify.engine.report import model


def test_the_same_tokens_in_less_time(go: kit.Go, tmp_path: Path) -> None:
    file, folder = tmp_path / "engine.json", tmp_path / "out"
    code, out, err = go(
        kit.tree(tmp_path / "tree"), *kit.QUICK, "--rounds", 3, "--bs", "1,2",
        "--json", file, "--report", folder,
    )  # fmt: skip
    assert code == 0, err
    found = model.read(file)
    assert [s.side for s in found.starts] == [
        "original", "patched", "gates off", "gates off", "patched", "original",
    ]  # fmt: skip
    assert [c.bs for c in found.cells] == [1, 2]
    for cell in found.cells:
        original, patched, off = cell.results
        assert {r.status for r in cell.results} == {"identical"}
        assert (patched.verdict, off.verdict) == ("FASTER", "SAME")
        assert original.step_ms is not None
        assert original.step_ms.value == pytest.approx(4)
        assert [len(start) for start in patched.readings] == [3, 3]
    assert "tokens identical in 4 of 4" in out
    assert found.gates["gates off"] == {kit.GATE: "0"}
    assert found.gates["patched"] == {kit.GATE: None}
    assert (folder / "engine.json").read_text() == file.read_text()
    assert "The same tokens" in (folder / "engine.html").read_text()


def test_a_report_matches_the_shipped_schema(go: kit.Go, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    assert go(kit.tree(tmp_path / "tree"), *kit.QUICK, "--json", file)[0] == 0
    validate(file.read_text(), model.EngineReport)


@pytest.mark.parametrize(
    ("planted", "said", "status", "headline"),
    [
        (
            "SHIFT = 1",
            "patched: request 0: token 1 differs: ",
            "different",
            "Not the same tokens",
        ),
        (
            "MORE = 2",
            "the same tokens in 12 verify steps instead of 10",
            "other drafts",
            "The same tokens, other drafts",
        ),
    ],
)
def test_other_tokens_or_counts_are_not_identical(
    go: kit.Go, tmp_path: Path, planted: str, said: str, status: str, headline: str
) -> None:
    file, folder = tmp_path / "engine.json", tmp_path / "out"
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}{planted}\n")
    code, out, _ = go(tree, *kit.QUICK, "--json", file, "--report", folder)
    assert code == 1
    assert said in out
    original, patched, off = model.read(file).cells[0].results
    assert [r.status for r in (original, patched, off)] == [
        "identical", status, "identical",
    ]  # fmt: skip
    assert patched.ratio is patched.verdict is None
    assert headline in (folder / "engine.html").read_text()


@pytest.mark.parametrize("planted", ["NO_START = True", "RAISES = True"])
def test_a_patched_engine_that_fails_is_a_difference(
    go: kit.Go, tmp_path: Path, planted: str
) -> None:
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}{planted}\n", gated=False)
    code, out, err = go(tree, *kit.QUICK)
    assert code == 1
    assert "3 steps, patched: failed: " in out
    assert ("no such kernel" if "START" in planted else "illegal memory access") in err


def test_an_original_engine_that_fails_says_its_last_words(
    go: kit.Go, tmp_path: Path
) -> None:
    broken = f"{kit.ORIGINAL}NO_START = True\n"
    code, _, err = go(
        kit.tree(tmp_path / "tree", original=broken), *kit.QUICK,
        site=kit.site(tmp_path / "site", backend=broken),
    )  # fmt: skip
    assert code == 4
    assert "the engine of the originals failed: it ended with exit status 3" in err
    assert "RuntimeError: no such kernel" in err


def test_where_the_original_differs_from_itself_nothing_is_compared(
    go: kit.Go, tmp_path: Path
) -> None:
    flaky, file = f"{kit.ORIGINAL}FLAKY = 2\n", tmp_path / "engine.json"
    code, out, _ = go(
        kit.tree(tmp_path / "tree", original=flaky), *kit.QUICK, "--bs", "1,2",
        "--json", file, site=kit.site(tmp_path / "site", backend=flaky),
    )  # fmt: skip
    assert code == 4
    first = (
        "the original differs from itself in 1 of 2 cells, first in 3 steps, 2 x 20, "
    )
    assert f"{first}request 0: token 1 differs: " in out
    one, two = model.read(file).cells
    assert {r.status for r in one.results} == {"identical"}
    assert {r.status for r in two.results} == {"not comparable"}
    assert all(r.asked == 4 and r.ratio is None for r in two.results)


def test_a_difference_beside_a_cell_that_cannot_be_compared_is_one(
    go: kit.Go, tmp_path: Path
) -> None:
    flaky, file = f"{kit.ORIGINAL}FLAKY = 2\n", tmp_path / "engine.json"
    code, _, _ = go(
        kit.tree(tmp_path / "tree", f"{kit.PATCHED}SHIFT = 1\n", flaky), *kit.QUICK,
        "--bs", "1,2", "--json", file, site=kit.site(tmp_path / "site", backend=flaky),
    )  # fmt: skip
    assert code == 1
    one, two = (cell.results[1].status for cell in model.read(file).cells)
    assert (one, two) == ("different", "not comparable")


def test_drafts_of_an_original_that_accepts_others_every_time_prove_nothing(
    go: kit.Go, tmp_path: Path
) -> None:
    """As with the stale top-k plan, whose rows hold what was in that memory before."""
    drifts, file = f"{kit.ORIGINAL}DRIFTS = True\n", tmp_path / "engine.json"
    code, out, _ = go(
        kit.tree(tmp_path / "tree", original=drifts), *kit.QUICK, "--quick", "--json", file,
        site=kit.site(tmp_path / "site", backend=drifts),
    )  # fmt: skip
    assert code == 4
    (cell,) = model.read(file).cells
    assert {r.status for r in cell.results} == {"other drafts"}
    assert (
        "original: request 0: the same tokens in 13 verify steps instead of 11" in out
    )


@pytest.mark.parametrize(("more", "code"), [((), 1), (("--beside",), 4)])
def test_an_engine_that_finds_no_memory_is_named(
    go: kit.Go, tmp_path: Path, more: tuple[str, ...], code: int
) -> None:
    """Beside others it proves nothing; in their place it is a difference."""
    file = tmp_path / "engine.json"
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}FULL = 2\n", gated=False)
    found, _, err = go(tree, *kit.QUICK, *more, "--json", file)
    assert found == code
    assert "; out of GPU memory: patched at 3 steps" in model.read(file).summary
    assert "failed: out of GPU memory. Tried to allocate 530.00 MiB" in err
    assert [r.status for r in model.read(file).cells[0].results] == [
        "identical", "no memory",
    ]  # fmt: skip


def test_an_original_engine_that_finds_no_memory_says_so(
    go: kit.Go, tmp_path: Path
) -> None:
    full = f"{kit.ORIGINAL}FULL = 1\n"
    code, _, err = go(
        kit.tree(tmp_path / "tree", original=full), *kit.QUICK,
        site=kit.site(tmp_path / "site", backend=full),
    )  # fmt: skip
    assert code == 4
    assert "originals failed: out of GPU memory. Tried to allocate 530.00 MiB" in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "an engine would take "),
        (("--beside",), "3 engines beside each other would take "),
    ],
)
def test_engines_that_do_not_fit_are_not_started(
    go: kit.Go, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    tree, site = kit.tree(tmp_path / "tree"), kit.site(tmp_path / "site", free=3)
    code, _, err = go(tree, *kit.QUICK, *more, site=site)
    assert code == 4
    assert f"a GPU: {said}" in err
    assert "3.0 of 140.0 GiB are free" in err
    assert "up in" not in err


def test_a_fallback_that_is_logged_is_reported(go: kit.Go, tmp_path: Path) -> None:
    line = "NSA metadata kernel fill is unavailable, using the Python path from now on"
    route = "INFO x: NSA metadata route: in-graph"
    prints = f"PRINTS = ({line!r}, 'else', {route!r}, {route!r})\n"
    file = tmp_path / "engine.json"
    code, out, _ = go(
        kit.tree(tmp_path / "tree", f"{kit.PATCHED}{prints}"),
        *kit.QUICK,
        "--json",
        file,
    )
    assert code == 0
    starts = {start.side: start for start in model.read(file).starts}
    assert starts["patched"].routes == ["in-graph"]
    assert starts["original"].routes == []
    assert f"3 steps, patched: logged: {line}" in out
    assert "else" not in out


def test_a_run_that_is_stopped_leaves_what_it_has(
    go: kit.Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any) -> Iterator[Any]:
        for count, found in enumerate(whole(*arguments), 1):
            yield found
            if count == 2:
                raise Refusal(Reason("", "", "stopped"), code=Exit.UNAVAILABLE)

    whole = engine.measure
    monkeypatch.setattr(engine, "measure", stopped)
    folder = tmp_path / "out"
    code, _, err = go(
        kit.tree(tmp_path / "tree"), *kit.QUICK, "--steps", "3,4", "--report", folder
    )
    assert (code, "stopped" in err) == (4, True)
    found = model.read(folder / "engine.json")
    assert found.exit_code == 4
    assert found.summary.startswith("incomplete, 2 of 12 starts")
    assert [(c.steps, [r.status for r in c.results]) for c in found.cells] == [
        (3, ["identical", "identical", "not run"])
    ]
    assert "Nothing proved" in (folder / "engine.html").read_text()


def test_an_output_that_cannot_be_written_is_refused_first(
    go: kit.Go, tmp_path: Path
) -> None:
    tree, file = kit.tree(tmp_path / "tree"), tmp_path / "nowhere/engine.json"
    code, _, err = go(tree, *kit.QUICK, "--json", file)
    assert code == 4
    assert "nowhere/engine.json: cannot be used: No such file" in err
    assert "1 of 6" not in err


def test_the_installed_package_is_only_read(go: kit.Go, tmp_path: Path) -> None:
    site, tree = kit.site(tmp_path / "site"), kit.tree(tmp_path / "tree")
    before = _listing(site), _listing(tree)
    assert go(tree, *kit.QUICK, site=site)[0] == 0
    assert (_listing(site), _listing(tree)) == before


def _listing(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_patch_without_a_gate_has_two_sides(go: kit.Go, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    code, _, _ = go(
        kit.tree(tmp_path / "tree", gated=False), *kit.QUICK, "--json", file
    )
    assert code == 0
    sides = [s.side for s in model.read(file).starts]
    assert sides == ["original", "patched", "patched", "original"]


def test_a_tree_without_patches_is_refused(go: kit.Go, tmp_path: Path) -> None:
    site = kit.site(tmp_path / "site")
    code, _, err = go(site, *kit.QUICK, site=site)
    assert code == 3
    assert "apply-nsa-opt first" in err


def test_the_engine_that_has_no_trace_has_no_gpu_time(
    go: kit.Go, tmp_path: Path
) -> None:
    original, file = f"{kit.ORIGINAL}NO_TRACE = True\n", tmp_path / "engine.json"
    code, _, _ = go(
        kit.tree(tmp_path / "tree", original=original), *kit.QUICK, "--gpu-time", "--quick",
        "--json", file, site=kit.site(tmp_path / "site", backend=original),
    )  # fmt: skip
    assert code == 0
    (cell,) = model.read(file).cells
    assert cell.results[0].gpu_ms is None
    assert cell.results[1].gpu_ms == pytest.approx(0.5)
