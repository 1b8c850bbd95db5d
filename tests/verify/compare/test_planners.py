"""A planner that was asked for something else, or a kernel that plans by itself."""

from __future__ import annotations

import pytest

from verify.compare.planners import why_wrong
from verify.worker.protocol import Played

SCHEDULE = "bs8.paged_mqa_schedule_metadata"
ASKED = "asked get_paged_mqa_logits_metadata"
RIGHT = f"{ASKED}([rows, 1], 64, 132)"
SAME = "its lengths are the same on both sides"


def _played(*counted: str, phase: str = "replay") -> Played:
    return Played(
        observations=[],
        layouts=[],
        counts={"capture": {RIGHT: 9}, phase: dict.fromkeys(counted, 1)},
        consulted={},
        host=[],
        forks=[],
        warnings=[],
    )


def test_nobody_was_asked() -> None:
    new = _played("kernel _metadata_kernel", "asked plan_topk_v2([rows])")
    assert why_wrong(SCHEDULE, _played(RIGHT), new) == (
        f"{SAME}, and DeepGEMM was not asked: the tree's own kernel made it"
    )
    assert "top-k was asked" in why_wrong("bs8.topk_v2_plan", new, new)


@pytest.mark.parametrize("phase", ["replay", "graph"])
def test_asked_for_something_else(phase: str) -> None:
    wrong = f"{ASKED}([rows], 64, 132)"
    for counted in ((wrong,), (RIGHT, wrong)):
        new = _played(*counted, phase=phase)
        assert why_wrong(SCHEDULE, _played(RIGHT), new) == (
            f"{SAME}: DeepGEMM was asked with ([rows], 64, 132), not ([rows, 1], 64, 132)"
        )


def test_asked_with_other_lengths_which_nobody_counts() -> None:
    assert why_wrong(SCHEDULE, _played(RIGHT), _played(RIGHT)) == (
        f"{SAME}: DeepGEMM was asked with others, or not all of its answer is there"
    )


def test_what_a_real_planner_is_asked_is_not_known() -> None:
    assert why_wrong(SCHEDULE, _played(), _played()) == SAME
    assert why_wrong("bs8.num_splits", _played(RIGHT), _played()) == SAME
