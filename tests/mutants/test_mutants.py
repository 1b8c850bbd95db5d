"""The catalogue is valid, and one planted bug a patch is caught here; all in ci/mutants."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import catalogue, trees
from tests.mutants.catalogue import Mutant, all_mutants
from tests.mutants.harness import routes_of, run_all
from tests.mutants.mutate import Drop, NoLongerApplies, Swap, mutate
from tests.mutants.trees import applied_tree, planted
from verify.sides.snapshot import snapshot

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
    "vectorized verify: expanded lengths off by one",
    "extend: tokens begin at the request's end",
)


def test_there_are_enough_of_them_over_all_patches() -> None:
    assert len(MUTANTS) >= 150
    patches = {mutant.patch for mutant in MUTANTS if mutant.patch}
    assert patches == {
        "precompute", "fused-decode", "fan-out", "in-graph", "target-verify",
        "draft-extend", "cuda-decode", "no-wide-table", "verify-in-graph",
    }  # fmt: skip


@pytest.mark.tree
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_it_still_applies(mutant: Mutant) -> None:
    assert planted(mutant) != applied_tree(mutant.release).read(mutant.file)


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


def test_swap_in_a_method_only() -> None:
    planted = mutate(SOURCE, Swap("A.f", "1 + 2", "3", nth=1, of=2))
    assert "x = 1 + 2  # why" in planted
    assert "            (3),\n" in planted
    assert planted.endswith("return 1 + 2\n")


def test_drop() -> None:
    assert "pass" in mutate(SOURCE, Drop("A.f", "y = g("))


@pytest.mark.parametrize("where", ["A.g", "A.f", "B"])
def test_what_is_not_there_is_said(where: str) -> None:
    with pytest.raises(NoLongerApplies, match="found 0 times"):
        mutate(SOURCE, Swap(where, "1 + 3", "3"))
