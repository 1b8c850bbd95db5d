"""Which points a run measures, and on how many input sets."""

from __future__ import annotations

import pytest

from verify.bench.points import Point, PointError, Request, numbers, plan

H200_CACHE = 50 << 20


def test_the_default_points_are_the_table_of_the_facts() -> None:
    points = [
        planned.point for planned in plan(Request(modes=("decode",)), "cuda").points
    ]
    assert {(p.bs, p.length) for p in points} == {
        (1, 2048), (8, 8192), (32, 16384), (64, 65536), (128, 131072),
    }  # fmt: skip
    assert {p.steps for p in points} == {4, 8}
    assert {p.context for p in points} == {163_840}


def test_verify_and_extend_also_run_the_documents_batch_of_3() -> None:
    for mode in ("target_verify", "draft_extend"):
        points = [
            planned.point for planned in plan(Request(modes=(mode,)), "cuda").points
        ]
        assert sorted({p.bs for p in points}) == [1, 3, 8, 32, 64, 128]
        assert {p.steps for p in points} == {1}


def test_what_is_asked_for_is_crossed() -> None:
    request = Request(
        modes=("decode",), steps=(2, 3), bs=(4, 5), lengths=(100,), rounds=7
    )
    points = plan(request, "cuda").points
    assert [(j.point.steps, j.point.bs, j.point.length) for j in points] == [
        (2, 4, 100), (2, 5, 100), (3, 4, 100), (3, 5, 100),
    ]  # fmt: skip
    assert {planned.effort.rounds for planned in points} == {7}


def test_curves_add_points_and_measure_none_twice() -> None:
    planned = plan(Request(modes=("decode",), curves=True), "cuda")
    points = [planned.point for planned in planned.points]
    assert len(points) == len(set(points))
    assert [curve.axis for curve in planned.curves] == ["steps", "bs", "length"]
    assert [p.steps for p in planned.curves[0].points] == list(range(1, 9))
    assert [p.bs for p in planned.curves[1].points][::4] == [1, 16, 256]
    assert planned.curves[2].points[-1].length == 128 * 1024
    assert {p for curve in planned.curves for p in curve.points} <= set(points)


@pytest.mark.parametrize(("bs", "length"), [(32, 16384), (64, 65536), (128, 131072)])
def test_large_points_rotate_through_more_than_the_cache(bs: int, length: int) -> None:
    sets = Point("decode", 4, bs, length).sets(H200_CACHE)
    assert sets * bs * length * 4 > H200_CACHE
    assert 4 <= sets <= 256
    assert sets * bs <= 1536


def test_numbers_are_read() -> None:
    assert numbers(["4,8", "16k"], "--len") == (4, 8, 16384)
    assert numbers([], "--bs") == ()


@pytest.mark.parametrize("text", ["", "0", "x", "1.5", "-3", "4,,5", "k"])
def test_a_wrong_number_is_named(text: str) -> None:
    with pytest.raises(PointError, match="--bs"):
        numbers([text], "--bs")


def test_only_modes_that_a_route_runs_are_measured() -> None:
    planned = plan(Request(curves=True), "cuda", {"decode"})
    assert {planned.point.mode for planned in planned.points} == {"decode"}
    assert {curve.mode for curve in planned.curves} == {"decode"}
    with pytest.raises(PointError, match="no chosen route runs draft_extend"):
        plan(Request(modes=("draft_extend",)), "cuda", {"decode"})


def test_a_length_past_the_context_is_refused() -> None:
    with pytest.raises(PointError, match="163,840"):
        plan(Request(lengths=(163_840,)), "cuda")
