"""The one loop's bookkeeping: when it gives up, which gates and settings it covers."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from patches import all_about
from verify.cases.pairwise import pairwise
from verify.cases.run import MAX_DEATHS, Deaths, Job
from verify.outcome import Broken
from verify.routes import DECODE, DEFAULTS, EXPANDED, GATES, Route, available

A, B = Route("a", ("decode",), on=("X",)), Route("b", ("decode",), on=("Y",))
FOR_A = [about.name for about in all_about() if "A" in about.families and about.default]


def test_three_deaths_of_a_kind_are_enough() -> None:
    deaths = Deaths()
    for number in range(MAX_DEATHS):
        assert deaths.too_many(Job(A)) is None
        deaths.count(Job(A), Broken("crash", "candidate", f"exit status {number}"))
    assert deaths.too_many(Job(A)) is not None
    assert deaths.too_many(Job(B)) is None, "others have not died"


def test_three_equal_ones_are_enough_for_all() -> None:
    deaths = Deaths()
    hang = Broken("timeout", "candidate", "no answer", ("File x, line 3",))
    for job in (Job(A), Job(B), Job(A)):
        deaths.count(job, hang)
    third = deaths.too_many(Job(Route("c", ("decode",))))
    assert third is not None
    assert "failed 3 times alike: no answer" in third.reason


def test_an_exception_is_no_death() -> None:
    deaths = Deaths()
    for _ in range(9):
        deaths.count(Job(A), Broken("raised", "candidate", "KeyError"))
    assert deaths.too_many(Job(A)) is None


@pytest.mark.parametrize("rows", [0, 12])
def test_settings_meet_in_pairs(rows: int) -> None:
    factors = {"a": range(4), "b": (1, 2, 3), "c": "xy", "d": (True, False)}
    found = pairwise(factors, rows)
    assert len(found) < 4 * 3 * 2 * 2 / 2
    for one, other in combinations(factors, 2):
        for pair in product(factors[one], factors[other]):
            assert any((row[one], row[other]) == pair for row in found)


def test_every_subset_of_the_gates_runs_in_every_mode() -> None:
    routes = [r for r in available(FOR_A) if not (r.blocked or r.unset or r.pair)]
    gates = sorted({a.gate for a in all_about() if a.name in FOR_A})
    played = {(frozenset(r.on), mode) for r in routes for mode in r.modes}
    for count in range(len(gates) + 1):
        for subset in combinations(gates, count):
            for mode in (*DECODE, *EXPANDED):
                assert (frozenset(subset), mode) in played, (subset, mode)


def test_the_defaults_of_a_server_set_nothing() -> None:
    defaults = [r for r in available(FOR_A) if r.name == DEFAULTS]
    assert all(
        set(r.env.values()) == {None} and set(r.env) == set(GATES) for r in defaults
    )
    modes = {mode for r in defaults for mode in r.modes}
    assert modes == {
        "decode", "decode@runner", "decode@plain", "target_verify", "draft_extend",
    }  # fmt: skip


def test_the_defaults_demand_the_furthest_route_of_each_mode() -> None:
    by_mode = {r.modes[0]: r for r in available(FOR_A) if r.name == DEFAULTS}
    for mode, route in by_mode.items():
        if mode != "decode@plain":
            assert route.must, mode
    fallback = {"replay": {"call init_forward_metadata_replay_cuda_graph": 4}}
    assert by_mode["target_verify"].missing("target_verify", fallback)
