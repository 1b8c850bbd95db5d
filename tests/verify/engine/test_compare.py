"""Tokens request by request, and time: planted readings whose verdict is known."""

from __future__ import annotations

from typing import Any

import pytest

from verify.engine import compare
from verify.engine.compare import Workload


def request(ids: list[int], verify: int = 4, accepted: tuple[int, ...] = (1, 3)) -> Any:
    return {"ids": ids, "verify": verify, "accepted": list(accepted)}


def found(*said: Any, old: Any = None) -> list[str]:
    reference = [old or request([1, 2, 3])]
    return list(compare.differences(reference, [[one] for one in said]))


def test_equal_requests_do_not_differ() -> None:
    assert found(request([1, 2, 3]), request([1, 2, 3])) == []


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (request([1, 9, 3]), "request 0: token 1 differs: 9 instead of 2"),
        (request([1, 2]), "request 0: token 2 differs: none instead of 3"),
        (
            request([1, 2, 3], verify=5),
            "request 0: the same tokens in 5 verify steps instead of 4",
        ),
        (
            request([1, 2, 3], accepted=(2, 2)),
            "request 0: accepted drafts [2, 2] instead of [1, 3]",
        ),
    ],
)
def test_what_differs_is_said(said: Any, line: str) -> None:
    assert found(said) == [line]


def test_a_difference_in_a_later_repetition_is_found_once() -> None:
    other = request([1, 2, 4])
    assert found(request([1, 2, 3]), other, other) == [
        "request 0: token 2 differs: 4 instead of 3"
    ]


def test_every_request_is_compared() -> None:
    reference = [request([1]), request([2])]
    said = [request([1]), request([3])]
    assert list(compare.differences(reference, [said])) == [
        "request 1: token 0 differs: 3 instead of 2"
    ]


def test_a_step_is_what_the_longer_generation_takes_more() -> None:
    short = {"seconds": 2.0, "requests": [request([], 2), request([], 3)]}
    long = {"seconds": 2.5, "requests": [request([], 53), request([], 30)]}
    assert compare.step_ms(short, long) == pytest.approx(10.0)


def test_no_more_steps_is_no_reading() -> None:
    short = {"seconds": 2.0, "requests": [request([], 3)]}
    assert compare.step_ms(short, short) is None


def test_prompts_of_one_cell_differ_in_length() -> None:
    assert Workload(3, 100, 3).lengths == [100, 137, 174]


def test_an_aborted_request_is_compared_as_far_as_both_came() -> None:
    old = {**request([1, 2, 3]), "aborted": True}
    assert found({**request([1, 2], verify=2), "aborted": True}, old=old) == []
    assert found({**request([1, 9], verify=2), "aborted": True}, old=old) == [
        "request 0: token 1 differs: 9 instead of 2"
    ]
