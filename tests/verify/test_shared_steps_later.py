"""What fits 0.5.7 to 0.5.12.post1 beside `fresh-plans`: applied, verified, rolled back."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.rollback import rollback
from patcher.tree.find import find_tree
from patcher.tree.pins import pins
from patches import all_patches
from patches.shared.anchors import DSA_BACKEND, NSA_BACKEND
from patches.shared.fused import REFRESH
from tests.patcher.lookalike import snapshot
from tests.patcher.releases import one_of_each
from tests.verify.conftest import Verify
from tests.verify.test_releases import FIVE, GATE, VERIFY, expected, stale, unpack
from verify.routes import GATES, upstream

pytestmark = pytest.mark.tree

STEP = "decode:n4:p64:fa3:s32:r32:c1,3:x130:k64:d4:tour3"
GRAPH = "decode@runner:n5:p64:flashmla_kv:s64:r64:c1,3:x130:k64:d4:tour3"
PAGES_OF_ONE = "decode@runner:n2:p1:fa3:s32:r32:c1,4:x130:k64:d4:recapture3"
ASKED = [w for s in (STEP, GRAPH, PAGES_OF_ONE, VERIFY) for w in ("--scenario", s)]

LAST = "0.5.12.post1"
ALL = [r for r in one_of_each() if pins()[r].family == "B"]
# A backend a step; one fewer; DeepGEMM's lengths in two dimensions, a runner's own backend.
SOME = ALL if os.environ.get("ALL_RELEASES") else ["0.5.8.post1", "0.5.10.post1", LAST]
PATCHES = ("fan-out", "in-graph", "fresh-plans")
SUBSETS = [names for count in (1, 2, 3) for names in combinations(PATCHES, count)]


@pytest.mark.parametrize("release", SOME)
def test_applied_verified_rolled_back(
    release: str, tmp_path: Path, verify: Verify
) -> None:
    folder = tmp_path / "tree"
    tree = find_tree(unpack(release, folder))
    before = snapshot(folder)
    apply(tree, ["fan-out", "in-graph", "target-verify"], all_patches())
    names = ("fan-out", "in-graph", "not-in-graph", "fused", "no-kernel", "defaults")
    routes = [w for name in names for w in ("--route", name)]
    code, report = verify(folder, *routes, *ASKED)
    assert (code, report["failures"]) == (0, [])
    # Two poisons each: three fan-outs, two in the graph and one beside it, one fused,
    # three without a kernel, and all four scenarios with no variable set.
    assert report["totals"]["identical"] == 2 * (3 + 2 + 1 + 1 + 3 + 4)
    rollback(tree, (), all_patches())
    assert snapshot(folder) == before


KNOWN = "        assert self.schedule_remainder is not None\n"


@pytest.mark.parametrize(
    ("release", "before"),
    [
        ("0.5.8.post1", f"def {REFRESH}(self, metadata: NSAMetadata, bs: int):\n"),
        (LAST, f"def {REFRESH}(self, metadata: NSAMetadata, bs: int):\n"),
        (
            "0.5.14",
            "            self.schedule_remainder,\n        ):\n            return False\n\n",
        ),
    ],
    ids=lambda value: value if value.startswith("0.") else "",
)
def test_where_its_formula_is_known_deepgemm_is_not_asked(
    release: str, before: str, tmp_path: Path, verify: Verify
) -> None:
    """Over one poison the stand-in plans by DeepGEMM's formula, over the other by none."""
    folder = tmp_path / "tree"
    names = ["fan-out", *(["target-verify"] if release != "0.5.14" else [])]
    apply(find_tree(unpack(release, folder)), names, all_patches())
    file = folder / (DSA_BACKEND if release == "0.5.14" else NSA_BACKEND)
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, before + KNOWN))
    asked = [w for s in (STEP, VERIFY)[: len(names)] for w in ("--scenario", s)]
    routes = ("--route", "fan-out", "--route", "fused")[: 2 * len(names)]
    code, report = verify(folder, *routes, *asked)
    assert code == 1
    assert report["totals"]["identical"] == len(names)
    assert [failure["poisons"] for failure in report["failures"]] == [[0]]
    assert "AssertionError" in report["failures"][0]["line"]


@pytest.mark.parametrize("names", SUBSETS[:2] + SUBSETS[3:], ids="+".join)
def test_any_subset_is_right(
    names: tuple[str, ...], tmp_path: Path, verify: Verify
) -> None:
    folder = tmp_path / "tree"
    apply(find_tree(unpack(LAST, folder)), names, all_patches())
    asked = ("--scenario", STEP, "--scenario", GRAPH)
    code, report = verify(folder, "--route", "defaults", *asked)
    assert (code, report["failures"]) == (0, [])
    assert report["totals"]["identical"] == 2 * 2


def test_with_every_gate_off_the_release_is_as_it_was(
    tmp_path: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own precompute, with what it leaves stale, in buffers of each step's own."""
    folder = tmp_path / "tree"
    apply(find_tree(unpack(LAST, folder)), [*PATCHES, "target-verify"], all_patches())
    monkeypatch.setenv(GATE, "0")
    code, report = verify(folder, "--route", "precomputed", "--scenario", FIVE)
    assert code == 1
    assert stale(report, FIVE) == expected(LAST, 5)


@pytest.mark.parametrize("release", ["0.5.10.post1", "0.5.11"])
def test_the_plan_stream_of_0_5_10_does_not_wait_for_the_draft(
    release: str, tmp_path: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tree"
    apply(find_tree(unpack(release, folder)), ["in-graph"], all_patches())
    monkeypatch.setenv("SGLANG_ENABLE_OVERLAP_PLAN_STREAM", "1")
    asked = ("--route", "in-graph", "--scenario", PAGES_OF_ONE)
    code, report = verify(folder, *asked)
    assert code == (release == "0.5.10.post1")
    said = [one["new"] for failure in report["failures"] for one in failure["found"]]
    assert all("no graph kernel" in words for words in said)


def test_what_the_release_does_by_itself_is_driven_without_a_runner() -> None:
    routes = upstream("B", ["precompute", "fan-out", "in-graph", "target-verify"])
    with_runner = {r.name for r in routes if "decode@runner" in r.modes}
    assert with_runner == {"fan-out", "in-graph", "no-kernel", "defaults"}
    assert {r.name for r in upstream("B", ["precompute"])} == {
        "per-backend", "precomputed", "as-released",
    }  # fmt: skip
    assert "SGLANG_NSA_ENABLE_MTP_PRECOMPUTE_METADATA" in GATES
