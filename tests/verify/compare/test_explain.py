"""From bytes that differ to one line: which field, which index, and why."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

from verify.compare.explain import Contents, Stored, explain
from verify.compare.layout import compare
from verify.outcome import Difference
from verify.worker.protocol import Extent, Observation, Owned, Played, View


def _view(rows: int) -> View:
    return View(
        storage="table", offset=3, shape=[rows, 4], stride=[4, 1], dtype="int32"
    )


# A [2, 4] table at 3 in a storage of 14; its first row is what batch size 1 captured.
OWNED = Owned(
    views={
        "table": _view(2),
        "bs1.page_table_1": _view(1),
        "bs2.page_table_1": _view(2),
    },
    storages={"table": Extent(elements=14, first=3, length=8, width=4)},
    plain={},
    shared={},
)
START = list(range(100, 114))


def _stored(changes: dict[int, int]) -> Stored:
    values = [changes.get(i, value) for i, value in enumerate(START)]
    return Stored(array("i", values).tobytes(), 4)


def _contents(old: dict[int, int], new: dict[int, int]) -> Contents:
    start = _stored({})
    return Contents(start, start, start, _stored(old), _stored(new))


def _explain(contents: Contents, bs: int = 2, owner: str = "backend 1") -> Difference:
    observation = Observation(replay=2, bs=bs, batch="7,8@1,2", layout=0, digests={})
    return explain(owner, "table", observation, OWNED, contents)


def test_a_wrong_value_is_named_by_the_replayed_field() -> None:
    found = _explain(_contents({8: 5}, {8: 6}))
    assert (found.what, found.field, found.index) == (
        "wrong value", "bs2.page_table_1", (1, 1),
    )  # fmt: skip
    assert (found.old, found.new, found.count, found.total) == ("5", "6", 1, 8)
    assert found.line() == (
        "bs2.page_table_1 of backend 1, replay 2 (bs 2), index (1, 1): old 5, new 6 "
        "(1 of 8 elements): wrong value"
    )


def test_an_element_outside_the_replayed_field_is_named_by_another() -> None:
    found = _explain(_contents({8: 5}, {8: 6}), bs=1)
    assert found.field == "bs2.page_table_1"


def test_an_untouched_region_that_changed() -> None:
    assert _explain(_contents({}, {4: 0})).what == "untouched region changed"


def test_a_write_that_is_missing() -> None:
    assert _explain(_contents({4: 0}, {})).what == "not written (still poison)"


def test_a_value_left_from_an_earlier_replay() -> None:
    contents = _contents({4: 9}, {4: 8})
    found = _explain(replace(contents, before_new=_stored({4: 8})))
    assert found.what == "stale (left from an earlier replay)"


def test_guard_bands() -> None:
    assert _explain(_contents({}, {1: 0})).what == (
        "guard band: 2 elements before the buffer"
    )
    assert _explain(_contents({}, {11: 0})).what == (
        "guard band: 1 element past the buffer"
    )
    assert _explain(_contents({4: 1}, {4: 2, 1: 0})).note == "guard bands changed too"


def test_the_picture_counts_every_differing_element() -> None:
    found = _explain(_contents({}, {3: 0, 7: 0, 8: 0}))
    assert found.spread is not None
    assert found.spread.cells == ((1, 0, 0, 0), (1, 1, 0, 0))


def test_an_input_that_was_written() -> None:
    assert _explain(_contents({}, {4: 0}), owner="given").what == (
        "an input was written"
    )


def test_a_hash_that_lies_is_said() -> None:
    found = _explain(_contents({}, {}))
    assert found.what == "the hashes differ, the bytes do not"


def test_what_a_wide_buffer_costs_is_its_differing_chunks() -> None:
    wide = Stored(bytes(8 * 100_000), 8)
    other = bytearray(wide.data)
    other[8 * 70_000] = 1
    assert list(wide.differing(Stored(bytes(other), 8))) == [70_000]
    assert wide.count(Stored(bytes(other), 8), 0, 100_000) == 1


def _reply(**changes: Any) -> Played:
    owned: Any = {**OWNED, **changes}
    first = Observation(
        replay=0, bs=0, batch="", layout=0, digests={"backend 0": {"table": "aa"}}
    )
    after: Any = {**first, "replay": 1, "bs": 2, "batch": "7,8"}
    return Played(
        observations=[first, after],
        layouts=[{"owners": {"backend 0": owned}, "state": {"backend 0": {}}}],
        counts={},
        consulted={},
        host=[],
        forks=[],
        warnings=[],
    )


def test_equal_observations() -> None:
    compared = compare(_reply(), _reply(), shares=False)
    assert (compared.facts, compared.mismatches) == ((), ())
    assert compared.buffers == 2


def test_dtype_shape_stride_and_place_are_compared() -> None:
    views = {**OWNED["views"], "table": {**_view(2), "dtype": "int64"}}
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
    views = {**OWNED["views"], "extra": _view(1)}
    compared = compare(_reply(), _reply(views=views), shares=False)
    assert compared.facts == ()
    assert compared.notes == (
        "extra of backend 0: only the candidate has it, not compared",
    )


def test_what_the_candidate_lacks_is_a_difference() -> None:
    views = {"table": _view(2)}
    facts = compare(_reply(), _reply(views=views), shares=False).facts
    assert {fact.new for fact in facts} == {"missing"}
