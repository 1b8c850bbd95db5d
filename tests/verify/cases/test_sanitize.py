"""`--sanitize` reads the tools' verdicts; a stand-in tool writes them here."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from patcher.disk.signals import as_interrupts
from patcher.results import Exit, Refusal
from tests.verify.test_stopped import interrupts
from verify.cases import sanitize
from verify.cases.run import Setup
from verify.outcome import Broken, Case, Different, Identical
from verify.routes import Route, available, upstream
from verify.sides import source as sources
from verify.sides.process import Worker
from verify.sides.snapshot import snapshot

TOOL = """#!/usr/bin/env bash
while [ "${1#--}" != "$1" ]; do
    case $1 in --tool) tool=$2 ;; --log-file) log=$2 ;; esac
    shift 2
done
case $tool in
memcheck) echo "========= Invalid __global__ write of size 4 bytes at _store_pages+0x40
========= ERROR SUMMARY: 3 errors" ;;
racecheck) echo "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)" ;;
initcheck) echo "========= Target application terminated before it began" ;;
synccheck) echo "========= ERROR SUMMARY: 0 errors" ;;
esac >"$log"
exec "$@"
"""


@pytest.fixture
def prepared(
    applied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Setup, tuple[Route, ...]]:
    """Both sides, the routes of draft_extend's kernel, and the tool on PATH."""
    tool = tmp_path / "bin" / "compute-sanitizer"
    tool.parent.mkdir()
    tool.write_text(TOOL)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    pair = sources.resolve(applied, None, lambda line: None)
    old, new = tmp_path / "old", tmp_path / "new"
    snapshot(pair.baseline, pair.candidate, old)
    snapshot(pair.candidate, pair.baseline, new)
    found = available(pair.candidate.patches())
    routes = tuple(r for r in found if r.name == "fused" and "draft_extend" in r.modes)
    return Setup(old, new), routes


@pytest.mark.tree
def test_a_finding_is_a_difference_and_no_summary_is_no_pass(
    prepared: tuple[Setup, tuple[Route, ...]],
) -> None:
    setup, routes = prepared
    pairs = tuple(route for route in routes if route.pair)
    with pytest.raises(Refusal, match="no chosen route launches a kernel") as refused:
        sanitize.run(setup, pairs)
    assert refused.value.code == Exit.USAGE

    ran = sanitize.run(setup, routes)

    cases = {}
    for case in ran.results:
        cases.setdefault(case.route, []).append(case.outcome)
    for name in sanitize.TOOLS:
        *replays, verdict = cases.pop(f"fused ({name})")
        assert [type(outcome) for outcome in replays] == [Identical]
        if name == "memcheck":
            assert isinstance(verdict, Different)
            assert verdict.differences[0].new == "3 errors"
            assert "at _store_pages" in verdict.differences[0].note
        elif name == "initcheck":
            assert isinstance(verdict, Broken)
            assert "no summary" in verdict.message
        else:
            assert isinstance(verdict, Identical)
    assert not cases, "the pair runs no kernel of its own"
    assert len(ran.candidates) == len(sanitize.TOOLS)


@pytest.mark.tree
def test_stopped_it_keeps_the_cases_and_no_verdict_of_a_tool_that_was_cut_off(
    prepared: tuple[Setup, tuple[Route, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, routes = prepared
    together = threading.Barrier(len(sanitize.TOOLS))
    finish = Worker.finish

    def cut_off(worker: Worker) -> None:
        """Every tool has its one case, and is about to say what it saw."""
        if together.wait(60) == 0:
            interrupts()
        while not worker._interrupted:
            time.sleep(0.05)
        finish(worker)

    monkeypatch.setattr(Worker, "finish", cut_off)
    seen: list[Case] = []
    with as_interrupts():
        ran = sanitize.run(setup, routes, seen.append)
    assert ran.stopped
    assert set(ran.results) == set(seen)
    assert {case.route for case in seen} == {f"fused ({n})" for n in sanitize.TOOLS}
    assert [type(case.outcome) for case in ran.results] == [Identical] * 4


def test_what_is_planned_in_a_graph_needs_the_caching_allocator() -> None:
    older, later = Setup(Path(), Path()), Setup(Path(), Path(), in_tree=True)
    routes = {route.name: route for route in upstream("B", ["fan-out", "in-graph"])}
    assert sanitize._plans_in_graph(later, routes["in-graph"])
    assert not sanitize._plans_in_graph(later, routes["fan-out"])
    assert not sanitize._plans_in_graph(older, routes["in-graph"])


def test_a_draft_of_family_c_is_driven_in_both_of_its_kernel_s_tilings() -> None:
    found = sanitize.scenarios("decode@runner", dsa=True)
    assert [s.max_bs > 32 for s in found] == [False, True]
    *_, wide = found
    assert wide.context > 2 * 2048  # tiles, the last of them not whole
    assert wide.context // wide.page_size > 64
    assert sanitize.scenarios("decode@runner", dsa=False) == found[:1]
    assert len(sanitize.scenarios("target_verify", dsa=True)) == 1
