"""The catalogue is valid, and one planted bug a patch is caught here; all in ci/mutants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.mutants import catalogue, harness, trees
from tests.mutants.catalogue import Mutant, all_mutants
from tests.mutants.harness import Remembering, routes_of, run_all
from tests.mutants.mutate import Drop, Head, NoLongerApplies, Set, Swap, mutate
from tests.mutants.trees import applied_tree, planted
from verify.cases.case import Baseline, Question
from verify.sides.process import Worker
from verify.sides.snapshot import _imports, snapshot
from verify.sides.source import NEW_MODULES
from verify.worker.protocol import Play

SOURCE = """
class A:
    def f(self):
        x = 1 + 2  # why
        y = g(
            x,
            1 + 2,
        )
        return y


def f():
    return 1 + 2
"""
MUTANTS = all_mutants()
SAMPLE = (
    "one page column too few",
    "kernel: last tile of a row not walked",
    "fan-out: captured metadata of each step's own",
    "in-graph: filled after the draft has read it",
    "newest: filled after the draft has read it",
    "newest: verify: filled after the model has read it",
    "newest: fresh-plans: with the plan: no plan",
    "newest: fresh-plans: with the plan: what fails is hidden by the release's way out",
    "vectorized verify: expanded lengths off by one",
    "extend: tokens begin at the request's end",
)


def test_there_are_enough_of_them_over_all_patches() -> None:
    assert len(MUTANTS) >= 150
    patches = {mutant.patch for mutant in MUTANTS if mutant.patch}
    assert patches == {
        "precompute", "fused-decode", "fan-out", "in-graph", "target-verify",
        "draft-extend", "cuda-decode", "no-wide-table", "verify-in-graph", "fresh-plans",
    }  # fmt: skip


@pytest.mark.tree
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_it_still_applies(mutant: Mutant) -> None:
    right = applied_tree(mutant.release).read(mutant.file)
    assert right is not None
    assert planted(mutant) != right
    # It is put into a snapshot of the right tree, which has what that one imports.
    more = set(_imports(planted(mutant))) - set(_imports(right))
    assert not [file for file in more if file.startswith(NEW_MODULES)]


@pytest.mark.tree
def test_what_is_kept_needs_no_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = next(m for m in MUTANTS if m.release == catalogue.NEWEST)
    bug, (pristine, applied) = planted(mutant), trees.trees(mutant.release)
    trees.keep([mutant], tmp_path / "kept")
    for made in (trees.planted, trees._edits, trees._wheel):
        made.cache_clear()
    monkeypatch.setattr(trees, "_kept", trees.Kept())
    monkeypatch.setattr(trees, "fetch", None)
    assert trees.use(tmp_path / "kept") == [mutant.release]
    assert planted(mutant) == bug != applied.read(mutant.file)
    for side, again in zip(
        (pristine, applied), trees.trees(mutant.release), strict=True
    ):
        folders = tmp_path / f"{side.label} before", tmp_path / f"{side.label} again"
        assert snapshot(side, pristine, folders[0]) == snapshot(
            again, again, folders[1]
        )
    trees.planted.cache_clear()
    trees._edits.cache_clear()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_there_is_a_route_that_meets_it(mutant: Mutant) -> None:
    assert routes_of(mutant)


@pytest.mark.tree
def test_a_sample_is_caught_and_named() -> None:
    chosen = [mutant for mutant in MUTANTS if mutant.name in SAMPLE]
    assert len(chosen) == len(SAMPLE)
    for verdict in run_all(tuple(chosen), lambda verdict: None, jobs=1):
        assert verdict.good, f"{verdict.mutant.name}: {verdict.line or 'survived'}"


@pytest.mark.tree
@pytest.mark.parametrize(
    ("name", "first"),
    [
        (
            "in-graph: kernel: the schedule of all rows but the last",
            "bs4.paged_mqa_schedule_metadata of backend 0, replay 1 (bs 4), "
            "index (121, 0): old 1, new 0 (20 of 266 elements): wrong value; its lengths "
            "are the same on both sides, and DeepGEMM was not asked: the tree's own "
            "kernel made it",
        ),
        (
            "fresh-plans: three at once: another block size",
            "bs8.paged_mqa_schedule_metadata of backend 0, replay 1 (bs 8), "
            "index (76, 1): old 0, new 1 (76 of 266 elements): wrong value; its lengths "
            "are the same on both sides: DeepGEMM was asked with ([rows, 1], 32, 132), "
            "not ([rows, 1], 64, 132)",
        ),
    ],
)
def test_of_a_wrong_schedule_it_says_which_element_and_who_made_it(
    name: str, first: str
) -> None:
    chosen = [mutant for mutant in MUTANTS if mutant.name == f"0.5.12.post1: {name}"]
    (verdict,) = run_all(chosen, lambda verdict: None, jobs=1)
    assert verdict.line == first


def test_swap_in_a_method_only() -> None:
    planted = mutate(SOURCE, Swap("A.f", "1 + 2", "3", nth=1, of=2))
    assert "x = 1 + 2  # why" in planted
    assert "            (3),\n" in planted
    assert planted.endswith("return 1 + 2\n")


def test_drop() -> None:
    assert "pass" in mutate(SOURCE, Drop("A.f", "y = g("))


def test_a_statement_becomes_several() -> None:
    planted = mutate(SOURCE, Swap("A.f", "return y", "y += 1\nreturn y"))
    assert planted.endswith(
        "        y += 1\n        return y\n\n\ndef f():\n    return 1 + 2\n"
    )


def test_set_and_head() -> None:
    assert "        x = 5  # why\n" in mutate(SOURCE, Set("A.f", "x", "5"))
    planted = mutate(SOURCE, Head("A.f", "if self:\n    return 0"))
    assert (
        "        if self:\n            return 0\n        x = 1 + 2  # why\n" in planted
    )


def test_columns_are_counted_as_the_parser_does() -> None:
    planted = mutate("def f():\n    return 'é', a + b\n", Swap("f", "a + b", "a - b"))
    assert planted == "def f():\n    return 'é', (a - b)\n"


@pytest.mark.tree
def test_what_no_longer_applies_is_said_of_each() -> None:
    edits = Drop("nobody", "a"), Drop("NativeSparseAttnBackend", "nowhere")
    lost = [replace(MUTANTS[0], name=str(n), edits=(e,)) for n, e in enumerate(edits)]
    assert trees.prepare([MUTANTS[0], *lost], jobs=1) == [
        "0: no longer applies: nobody: 'a' found 0 times, expected 1",
        "1: no longer applies: NativeSparseAttnBackend: 'nowhere' found 0 times, "
        "expected 1",
    ]


def test_bytes_are_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Question("", "decode", routes_of(MUTANTS[0])[0], False, 0, 1).old
    asked: list[list[str]] = []

    def fetch(self: Baseline, request: Play, digests: list[str]) -> dict[str, bytes]:
        asked.append(digests)
        return {digest: digest.encode() for digest in digests}

    monkeypatch.setattr(Baseline, "fetch", fetch)
    baseline = Remembering(cast(Worker, None))
    assert baseline.fetch(play, ["a", "b"]) == {"a": b"a", "b": b"b"}
    assert baseline.fetch(play, ["b", "c", "a"]) == {"a": b"a", "b": b"b", "c": b"c"}
    assert baseline.fetch(play, ["c"]) == {"c": b"c"}
    assert asked == [["a", "b"], ["c"]]
    monkeypatch.setattr(harness, "KEPT", 3)
    assert baseline.fetch(play, ["d"]) == {"d": b"d"}
    assert baseline.fetch(play, ["a"]) == {"a": b"a"}
    assert asked[2:] == [["d"], ["a"]]


@pytest.mark.parametrize("where", ["A.g", "A.f", "B"])
def test_what_is_not_there_is_said(where: str) -> None:
    with pytest.raises(NoLongerApplies, match="found 0 times"):
        mutate(SOURCE, Swap(where, "1 + 3", "3"))
