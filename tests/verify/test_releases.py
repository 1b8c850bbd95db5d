"""Every release with its patches verified: what upstream leaves stale is found and mended."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from patcher.apply import apply
from patcher.tree.find import find_tree
from patcher.tree.pins import PINNED, STATED, order, pins
from patcher.tree.wheels import fetch
from patches import all_patches
from tests.patcher.releases import one_of_each
from tests.verify.conftest import Verify
from verify.sides.source import IF_THERE_DSA

pytestmark = pytest.mark.tree

# Three steps copy to two backends one by one; five to three at once, and to one more.
# More than 30 rows, so that there is a plan.
THREE = "decode:n3:p64:fa3:s32:r32:c1,3:x130:k64:d4:tour3"
FIVE = "decode:n5:p64:flashmla_kv:s32:r32:c1,32:x100:k64:d4:tour2"
VERIFY = "target_verify:n1:p64:fa3:s32:r32:c1,3:x130:k64:d4:tour3"
SCHEDULE, PLAN = "paged_mqa_schedule_metadata", "topk_v2_plan"
GATE = "SGLANG_NSA_REFRESH_REPLAY_PLANS"

EARLIER = [r for r in one_of_each() if pins()[r].family == "A"]
LATER = [r for r in one_of_each() if pins()[r].family in ("B", "C")]


def unpack(release: str, folder: Path) -> Path:
    """The release's pinned files and what a worker imports, as an unpacked wheel."""
    wheel = fetch(pins()[release], lambda line: None)
    with zipfile.ZipFile(wheel) as archive:
        for file in {*PINNED, *STATED, *IF_THERE_DSA} & set(archive.namelist()):
            archive.extract(file, folder)
    return folder


def stale(report: Any, scenario: str) -> dict[str, set[str]]:
    """Buffers that differ in a scenario, and in which backends."""
    found: dict[str, set[str]] = {}
    for failure in report["failures"]:
        assert failure["kind"] == "different", failure
        if failure["scenario"] == scenario:
            for one in failure["found"]:
                field = re.sub(r"^bs\d+\.", "", one["field"])
                found.setdefault(field, set()).add(one["owner"])
    # Set by no later than the next capture; nothing in a graph reads it.
    found.pop("forward_metadata", None)
    return found


def backends(*numbers: int) -> set[str]:
    return {f"backend {n}" for n in numbers}


def expected(release: str, steps: int) -> dict[str, set[str]]:
    """As docs/upstream has it."""
    at = order(release)
    if at < order("0.5.12"):
        # Up to 0.5.8 there are as many backends as steps, then one fewer.
        count = steps if at < order("0.5.9") else steps - 1
        return {SCHEDULE: backends(*range(count))}
    if steps <= 3:
        return {}
    found = {SCHEDULE: backends(0, 1, 2)}
    return found if at < order("0.5.15") else {**found, PLAN: backends(0, 1, 2)}


@pytest.mark.parametrize("release", EARLIER)
def test_all_that_fits_an_older_one_changes_no_byte(
    release: str, tmp_path: Path, verify: Verify
) -> None:
    tree = unpack(release, tmp_path / "tree")
    apply(find_tree(tree), (), all_patches())
    modes = ("decode", "decode@runner", "target_verify", "draft_extend")
    asked = [w for m in modes for w in ("--scenario", THREE.replace("decode", m, 1))]
    code, report = verify(tree, "--route", "defaults", *asked)
    assert (code, report["failures"]) == (0, [])
    assert report["totals"]["identical"] >= len(modes)


@pytest.mark.parametrize("release", LATER)
def test_what_is_stale_is_found_and_mended(
    release: str, tmp_path: Path, verify: Verify
) -> None:
    tree = unpack(release, tmp_path / "tree")
    # One scenario at a time: a finding shows the smallest of its cases.
    for steps, scenario in ((3, THREE), (5, FIVE)):
        code, report = verify(
            tree, "--baseline", "in-tree", "--route", "precomputed",
            "--scenario", scenario,
        )  # fmt: skip
        assert stale(report, scenario) == expected(release, steps)
        assert code == bool(expected(release, steps))
    apply(find_tree(tree), (), all_patches())
    asked = ("--scenario", THREE, "--scenario", FIVE)
    code, report = verify(tree, "--route", "precomputed", *asked)
    assert (code, report["failures"]) == (0, [])
    assert report["totals"]["identical"] == 4


@pytest.mark.parametrize("release", ["0.5.11", "0.5.14", "0.5.23"])
def test_with_its_gate_off_the_tree_is_as_it_was(
    release: str,
    tmp_path: Path,
    verify: Verify,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = unpack(release, tmp_path / "tree")
    apply(find_tree(tree), ["fresh-plans"], all_patches())
    monkeypatch.setenv(GATE, "0")
    code, report = verify(tree, "--route", "precomputed", "--scenario", FIVE)
    assert code == 1
    assert stale(report, FIVE) == expected(release, 5)
    code, report = verify(tree, "--route", "as-released")
    assert (code, report["totals"]["identical"]) == (0, 4)
    itself = verify(tree, "--baseline", "in-tree", "--scenario", FIVE)[1]
    assert "as-released" not in {row["route"] for row in itself["matrix"]}


@pytest.mark.parametrize(
    ("release", "old", "new", "field"),
    [
        ("0.5.23", "fresh += [new_plan] * 3", "fresh += stale[2:]", PLAN),
        ("0.5.23", "stale, fresh)", "stale[1:], fresh[1:])", SCHEDULE),
        (
            "0.5.23",
            "first._build_topk_v2_plan(metadata0.dsa_seqlens_expanded)",
            "first._build_topk_v2_plan(metadata0.dsa_cache_seqlens_int32)",
            PLAN,
        ),
        ("0.5.13", "[new_schedule] * 3", "[new_schedule * 0] * 3", SCHEDULE),
    ],
)
def test_a_mistake_in_it_is_caught(
    release: str,
    old: str,
    new: str,
    field: str,
    tmp_path: Path,
    verify: Verify,
) -> None:
    tree = unpack(release, tmp_path / "tree")
    apply(find_tree(tree), ["fresh-plans"], all_patches())
    file = tree / PINNED[2]
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    code, report = verify(tree, "--route", "precomputed", "--scenario", FIVE)
    assert code == 1
    assert set(stale(report, FIVE)) == {field}


@pytest.mark.parametrize("release", ["0.5.12.post1", "0.5.14", "0.5.16", "0.5.17"])
def test_the_contract_is_said_and_the_pair_is_compared(
    release: str, tmp_path: Path, verify: Verify
) -> None:
    tree = unpack(release, tmp_path / "tree")
    code, report = verify(tree, "--baseline", "in-tree", "--scenario", VERIFY)
    assert code == 0
    live = [note for note in report["notes"] if "page_table_1" in note]
    assert bool(live) is (release == "0.5.17")


def test_a_tail_that_is_read_shows(tmp_path: Path, verify: Verify) -> None:
    """Columns past a row's length are free, and no code may depend on them."""
    tree = unpack("0.5.17", tmp_path / "tree")
    file = tree / PINNED[2]
    old = "        precomputed = self.attn_backends[0]._precompute_replay_metadata(\n"
    text = file.read_text()
    assert text.count(old) == 1
    read = (
        "        kept = self.attn_backends[0].decode_cuda_graph_metadata[bs]\n"
        "        spoilt = kept.page_table_1[0, -1].clone()\n"
    )
    text = text.replace(old, read + old)
    end = "    def init_forward_metadata_in_graph(self, forward_batch: ForwardBatch)"
    head, _, tail = text.rpartition(end)
    head = head.rstrip() + (
        "\n        for backend in self.attn_backends:\n"
        "            kept = backend.decode_cuda_graph_metadata[bs]\n"
        "            kept.cu_seqlens_k[-1] = spoilt\n\n"
    )
    file.write_text(head + end + tail)
    code, report = verify(
        tree, "--baseline", "in-tree", "--route", "precomputed", "--scenario", THREE
    )
    assert code == 1
    assert "cu_seqlens_k" in stale(report, THREE)
