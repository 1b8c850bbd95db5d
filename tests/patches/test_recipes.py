"""What every recipe must say of itself, and the order they are planned in."""

from __future__ import annotations

import pytest

from patcher.plan.select import choose, left_out
from patcher.tree.pins import pins
from patches import all_patches
from patches.shared.releases import RELEASES_BY_REQUEST

PATCHES = {patch.name: patch for patch in all_patches()}


def test_what_others_have_routes_beside_comes_first() -> None:
    assert list(PATCHES) == [
        "precompute",
        "draft-extend",
        "fan-out",
        "fresh-plans",
        "fused-decode",
        "in-graph",
        "target-verify",
        "verify-in-graph",
        "cuda-decode",
        "no-wide-table",
    ]


def test_what_is_no_default_is_applied_only_where_it_is_named() -> None:
    chosen = choose((), all_patches(), pins()["0.5.6.post2"])
    assert "cuda-decode" not in [patch.name for patch in chosen]
    named = choose(("cuda-decode",), all_patches(), pins()["0.5.6.post2"])
    assert [patch.name for patch in named] == ["cuda-decode"]


def test_what_is_applied_unasked_in_each_family() -> None:
    usual = {
        release: [patch.name for patch in choose((), all_patches(), pins()[release])]
        for release in ("0.5.12.post1", "0.5.23")
    }
    assert usual["0.5.12.post1"] == [
        "fan-out",
        "fresh-plans",
        "in-graph",
        "target-verify",
    ]
    assert usual["0.5.23"] == [
        "fan-out",
        "fresh-plans",
        "in-graph",
        "verify-in-graph",
    ]
    assert "own precompute since 0.5.7" in left_out(all_patches(), pins()["0.5.23"])


def test_every_patch_says_where_it_comes_from_and_how_to_switch_it_off() -> None:
    for patch in PATCHES.values():
        assert patch.about.summary
        assert patch.about.source
        assert patch.about.gate.startswith("SGLANG_NSA_")


@pytest.mark.parametrize("release", RELEASES_BY_REQUEST)
def test_draft_extend_fits_where_its_metadata_has_a_row_a_token(release: str) -> None:
    assert release in PATCHES["draft-extend"].about.unfit
