"""`verify-in-graph`: applied, verified through the release's own runner, rolled back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.rollback import rollback
from patcher.tree.find import find_tree
from patcher.tree.pins import pins
from patches import all_patches
from patches.verify_in_graph.about import ABOUT
from tests.patcher.lookalike import snapshot
from tests.verify.test_releases import unpack

Run = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.tree

BATCHES = "target_verify@runner:n1:p64:flashmla_kv:s64:r32:c1,3:x130:k64:d3:"
GROWS = f"{BATCHES}5/9,3@2,1/100,2,127/60,61@4,4/!/7,90/!3/33,1,64/127@6"
PLANNED = "target_verify@runner:n1:p64:fa3:s32:r64:c1,16:x100:k64:d2:tour3"
FITS = [r for r, p in pins().items() if p.family == "C" and r not in ABOUT.unfit]
# The first with every buffer whole, the first with an event in the graph, the newest.
SOME = FITS if os.environ.get("ALL_RELEASES") else ["0.5.15.post1", "0.5.18", "0.5.23"]


@pytest.mark.parametrize("release", SOME)
def test_applied_verified_rolled_back(release: str, tmp_path: Path, run: Run) -> None:
    tree = find_tree(unpack(release, tmp_path / "tree"))
    before = snapshot(tmp_path / "tree")
    apply(tree, ["verify-in-graph"], all_patches())
    file = tmp_path / "report.json"
    code, out, err = run(
        tmp_path / "tree", "--device", "cpu", "--json", file,
        "--route", "verify-in-graph", "--route", "verify-gate-off",
        "--scenario", GROWS, "--scenario", PLANNED,
    )  # fmt: skip
    assert code == 0, out + err
    # Two routes on two scenarios; over each poison, or in the interpreter over one.
    assert json.loads(file.read_text())["totals"]["identical"] >= 4
    rollback(tree, (), all_patches())
    assert snapshot(tmp_path / "tree") == before


def test_beside_what_is_applied_unasked(tmp_path: Path, run: Run) -> None:
    """No gate is set: the draft's graph and target_verify's both fill their own."""
    names = ["in-graph", "fan-out", "fresh-plans", "verify-in-graph"]
    apply(find_tree(unpack("0.5.23", tmp_path / "tree")), names, all_patches())
    asked = ("--device", "cpu", "--route", "defaults")
    code, out, err = run(tmp_path / "tree", *asked)
    assert code == 0, out + err
    assert "decode@runner" in out
    assert "target_verify@runner" in out


def test_a_tree_without_the_runner_is_not_verified(tmp_path: Path, run: Run) -> None:
    tree = unpack("0.5.23", tmp_path / "tree")
    (tree / "sglang/srt/model_executor/runner/decode_cuda_graph_runner.py").unlink()
    apply(find_tree(tree), ["verify-in-graph"], all_patches())
    asked = ("--device", "cpu", "--route", "verify-in-graph", "--scenario", GROWS)
    code, out, _ = run(tmp_path / "tree", *asked)
    assert code != 0
    assert "this tree has no DecodeCudaGraphRunner of its own" in out
