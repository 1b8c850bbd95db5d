"""From bytes that differ to one line: which field, which index, and why."""

from __future__ import annotations

from dataclasses import replace

import torch

from verify.compare.explain import Evidence, look
from verify.compare.layout import compare
from verify.outcome import Difference

# A [2, 4] table at 3 in a storage of 14; its first row is what batch size 1 captured.
LAYOUT = {
    "views": {
        "table": ["table", 3, [2, 4], [4, 1], "int32"],
        "bs1.page_table_1": ["table", 3, [1, 4], [4, 1], "int32"],
        "bs2.page_table_1": ["table", 3, [2, 4], [4, 1], "int32"],
    },
    "sizes": {"table": [14, 3, 8]},
    "plain": {},
    "shared": {},
}
START = torch.arange(100, 114, dtype=torch.int32)


def _evidence(old: dict[int, int], new: dict[int, int]) -> Evidence:
    base = Evidence(START, START, START, START.clone(), START.clone())
    for index, value in old.items():
        base.old[index] = value
    for index, value in new.items():
        base.new[index] = value
    return base


def _look(evidence: Evidence, bs: int = 2) -> Difference:
    return look("backend 1", "table", 2, bs, LAYOUT, evidence)


def test_a_wrong_value_is_named_by_the_replayed_field() -> None:
    found = _look(_evidence({8: 5}, {8: 6}))
    assert (found.what, found.field, found.index) == (
        "wrong value", "bs2.page_table_1", (1, 1),
    )  # fmt: skip
    assert (found.old, found.new, found.count, found.total) == ("5", "6", 1, 14)
    assert found.line() == (
        "bs2.page_table_1 of backend 1, replay 2 (bs 2), index (1, 1): old 5, new 6 "
        "(1 of 14 elements): wrong value"
    )


def test_an_element_outside_the_replayed_field_is_named_by_another() -> None:
    found = _look(_evidence({8: 5}, {8: 6}), bs=1)
    assert found.field == "bs2.page_table_1"


def test_an_untouched_region_that_changed() -> None:
    assert _look(_evidence({}, {4: 0})).what == "untouched region changed"


def test_a_write_that_is_missing() -> None:
    assert _look(_evidence({4: 0}, {})).what == "not written (still poison)"


def test_a_value_left_from_an_earlier_replay() -> None:
    evidence = _evidence({4: 9}, {4: 8})
    earlier = START.clone()
    earlier[4] = 8
    found = _look(replace(evidence, before_new=earlier))
    assert found.what == "stale (left from an earlier replay)"


def test_guard_bands() -> None:
    assert _look(_evidence({}, {1: 0})).what == (
        "guard band: 2 elements before the buffer"
    )
    assert _look(_evidence({}, {11: 0})).what == (
        "guard band: 1 elements past the buffer"
    )
    assert _look(_evidence({4: 1}, {4: 2, 1: 0})).note == "guard bands changed too"


def test_the_picture_counts_every_differing_element() -> None:
    found = _look(_evidence({}, {3: 0, 7: 0, 8: 0}))
    assert found.spread is not None
    assert found.spread.cells == ((1, 0, 0, 0), (1, 1, 0, 0))


def _reply(**changes: object) -> dict[str, object]:
    layout = {
        "backend 0": {**LAYOUT, **changes},
        "plain": {"backend 0": {"use_mha": 0}},
    }
    look = {"digests": {"backend 0": {"table": "aa"}}, "layout": 0}
    return {"looks": [look, look], "layouts": [layout], "bs": [0, 2]}


def test_equal_observations() -> None:
    compared = compare(_reply(), _reply(), shares=False)
    assert (compared.facts, compared.mismatches) == ((), ())
    assert compared.buffers == 2


def test_dtype_shape_stride_and_place_are_compared() -> None:
    views = {**LAYOUT["views"], "table": ["table", 3, [2, 4], [4, 1], "int64"]}
    (fact,) = compare(_reply(), _reply(views=views), shares=False).facts
    assert fact.what == "layout"
    assert "int32" in fact.old
    assert "int64" in fact.new


def test_sharing_is_for_routes_that_say_so() -> None:
    shared = _reply(shared={"table": "backend 0: table"})
    (fact,) = compare(_reply(), shared, shares=False).facts
    assert fact.new == "shared with backend 0: table"
    assert compare(_reply(), shared, shares=True).facts == ()


def test_what_only_the_candidate_has_is_a_note() -> None:
    views = {**LAYOUT["views"], "extra": ["table", 0, [1], [1], "int32"]}
    compared = compare(_reply(), _reply(views=views), shares=False)
    assert compared.facts == ()
    assert compared.notes == (
        "extra of backend 0: only the candidate has it, not compared",
    )


def test_what_the_candidate_lacks_is_a_difference() -> None:
    views = {"table": LAYOUT["views"]["table"]}
    facts = compare(_reply(), _reply(views=views), shares=False).facts
    assert {fact.new for fact in facts} == {"missing"}
