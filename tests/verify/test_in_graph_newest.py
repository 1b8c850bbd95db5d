"""`fan-out` and `in-graph` from 0.5.13 on: applied, verified, rolled back."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from patcher.apply import apply
from patcher.rollback import rollback
from patcher.tree.find import find_tree
from patcher.tree.pins import pins
from patches import HERE, SHARED, all_patches
from tests.mutants.trees import trees
from tests.patcher.lookalike import snapshot
from tests.patcher.releases import one_of_each
from tests.verify.test_releases import unpack
from verify.cases.run import Job, Setup, run
from verify.outcome import Identical
from verify.routes import upstream
from verify.sides.snapshot import snapshot as take
from verify.worker.scenario import parse

Run = Callable[..., tuple[int, str, str]]

GRAPH = "decode@runner:n5:p64:flashmla_kv:s64:r64:c1,3:x130:k64:d4:tour3"
NO_GRAPH = "decode:n4:p64:fa3:s32:r32:c1,3:x130:k64:d4:tour3"
PAYLOAD = SHARED / "dsa_backend.py"
IN_GRAPH = HERE / "in_graph" / "payload" / "dsa_backend.py"

ALL = [r for r in one_of_each() if pins()[r].family == "C"]
# A kernel is added to one and not to the other.
SOME = ALL if os.environ.get("ALL_RELEASES") else ["0.5.13.post1", "0.5.23"]


@pytest.mark.tree
@pytest.mark.parametrize("release", SOME)
def test_applied_verified_rolled_back(release: str, tmp_path: Path, run: Run) -> None:
    tree = find_tree(unpack(release, tmp_path / "tree"))
    before = snapshot(tmp_path / "tree")
    apply(tree, ["in-graph", "fan-out", "fresh-plans"], all_patches())
    file = tmp_path / "report.json"
    code, out, err = run(
        tmp_path / "tree", "--device", "cpu", "--json", file, "--route", "fan-out",
        "--route", "in-graph", "--route", "not-in-graph", "--route", "precomputed",
        "--scenario", GRAPH, "--scenario", NO_GRAPH,
    )  # fmt: skip
    assert code == 0, out + err
    # Of each poison one: fan-out meets both scenarios, the others one.
    assert json.loads(file.read_text())["totals"]["identical"] == 2 * 5
    rollback(tree, (), all_patches())
    assert snapshot(tmp_path / "tree") == before


@pytest.mark.tree
@pytest.mark.parametrize("patch", ["fan-out", "in-graph"])
def test_each_patch_stands_alone(patch: str, tmp_path: Path, run: Run) -> None:
    """Without `fresh-plans`, whose work is not needed then."""
    apply(find_tree(unpack("0.5.23", tmp_path / "tree")), [patch], all_patches())
    code, out, err = run(
        tmp_path / "tree", "--device", "cpu", "--route", patch, "--scenario", GRAPH
    )
    assert code == 0, out + err


@pytest.mark.tree
def test_off_where_the_plan_stream_writes_what_the_graph_reads(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = find_tree(unpack("0.5.23", tmp_path / "tree"))
    apply(tree, ["in-graph", "fan-out", "fresh-plans"], all_patches())
    monkeypatch.setenv("SGLANG_ENABLE_OVERLAP_PLAN_STREAM", "1")
    code, out, err = run(
        tmp_path / "tree", "--device", "cpu", "--route", "in-graph", "--scenario", GRAPH
    )
    assert code == 1, err
    assert "the route did not run" in out


@pytest.mark.tree
@pytest.mark.parametrize(
    ("name", "scenario"), [("in-graph", GRAPH), ("fan-out", NO_GRAPH)]
)
def test_without_its_kernel_the_release_replays(
    name: str, scenario: str, tmp_path: Path
) -> None:
    """On 0.5.13 a kernel is launched; where it does not compile, one step replays."""
    release = "0.5.13.post1"
    original, applied = trees(release)
    take(original, applied, tmp_path / "old")
    take(applied, original, tmp_path / "new")
    (route,) = (r for r in upstream("C", [name]) if r.name == name)
    blocked = replace(
        route,
        blocked=("triton.compile",),
        must=("replay call _apply_cuda_graph_metadata",),
        must_not=("* kernel *",),
        every=None,
    )
    setup = Setup(tmp_path / "old", tmp_path / "new", in_tree=True)
    (first, second) = run(setup, [Job(blocked, parse(scenario))]).results
    assert isinstance(first.outcome, Identical), first.outcome
    assert isinstance(second.outcome, Identical), second.outcome


@pytest.mark.tree
def test_the_table_that_nobody_reads_can_go(tmp_path: Path, run: Run) -> None:
    tree = find_tree(unpack("0.5.23", tmp_path / "tree"))
    apply(tree, ["no-wide-table"], all_patches())
    asked = ("--device", "cpu", "--route", "no-wide-table", "--scenario", GRAPH)
    code, out, err = run(tmp_path / "tree", *asked)
    assert code == 0, out + err
    # Kept after all: everything is right, and the patch does nothing.
    file = tmp_path / "tree/sglang/srt/layers/attention/dsa_backend.py"
    text = file.read_text()
    leaves_out = "attn_backend.speculative_num_draft_tokens = None"
    assert text.count(leaves_out) == 1
    file.write_text(text.replace(leaves_out, "pass"))
    code, out, err = run(tmp_path / "tree", *asked)
    assert code == 1
    assert "no capture without page_table_1" in out


def can_share(backend: Any, topk: int = 1, *, cuda: bool = True) -> bool:
    """What the payload answers for steps with such backends."""
    names: dict[str, Any] = {"is_cuda": lambda: cuda}
    for cls in ast.parse(PAYLOAD.read_text()).body:
        if isinstance(cls, ast.ClassDef) and cls.name == "SharedSteps":
            found = [n for n in cls.body if isinstance(n, ast.FunctionDef)]
            method = next(n for n in found if n.name == "_can_share_metadata")
            exec(compile(ast.Module([method], []), str(PAYLOAD), "exec"), names)
    backends = [] if backend is None else [backend]
    steps = SimpleNamespace(attn_backends=backends, topk=topk)
    answer = names["_can_share_metadata"](steps)
    assert isinstance(answer, bool)
    return answer


def plain(**other: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"hisparse_coordinator": None, "dsa_index_kpool": 1, **other}
    )


def test_where_metadata_is_shared() -> None:
    assert can_share(plain())
    assert not can_share(plain(dsa_index_kpool=4))
    assert not can_share(plain(hisparse_coordinator=object()))
    assert not can_share(plain(), topk=2)
    assert not can_share(plain(), cuda=False)
    assert not can_share(None)


def test_the_log_says_which_graphs_are_filled() -> None:
    said: list[str] = []
    names: dict[str, Any] = {
        "ForwardBatch": SimpleNamespace,
        "DSA_METADATA_IN_GRAPH": True,
        "log_metadata_route": said.append,
    }
    (fill,) = (
        node
        for cls in ast.parse(IN_GRAPH.read_text()).body
        if isinstance(cls, ast.ClassDef) and cls.name == "InGraphDispatch"
        for node in cls.body
        if isinstance(node, ast.FunctionDef)
        and node.name == "init_forward_metadata_in_graph"
    )
    exec(compile(ast.Module([fill], []), str(IN_GRAPH), "exec"), names)
    can_fill = iter((False, True))
    steps = SimpleNamespace(
        shares_metadata=True,
        in_graph_bs={8},
        _fill_metadata=lambda batch: next(can_fill),
    )
    for bs, filled, lines in ((8, set(), 0), (4, {4}, 1)):
        names[fill.name](steps, SimpleNamespace(batch_size=bs))
        assert steps.in_graph_bs == filled
        assert said == ["in-graph"] * lines
