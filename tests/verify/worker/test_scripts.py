"""The named scripts meet the edges that they promise."""

from __future__ import annotations

from itertools import pairwise

import pytest

from verify.cases.matrix import scenarios
from verify.routes import ROUTES
from verify.worker.play import scripts
from verify.worker.scenario import Scenario, ScenarioError

EDGES = {1, 63, 64, 65, 2047, 2048, 2049, 2304}


def test_a_tour_is_a_function_of_the_seed() -> None:
    scenario = Scenario(script="tour7")
    assert scripts.replays(scenario, 3) == scripts.replays(scenario, 3)
    assert scripts.replays(scenario, 3) != scripts.replays(scenario, 4)


def test_a_tour_grows_shrinks_and_pads() -> None:
    scenario = Scenario(capture=(1, 8, 32), script="tour7")
    replays = scripts.replays(scenario, 0)
    longest = [max(replay.lengths) for replay in replays]
    assert any(b < a for a, b in pairwise(longest))
    assert any(b > a for a, b in pairwise(longest))
    sizes = {replay.raw_bs for replay in replays}
    assert sizes - set(scenario.capture), "no padded batch"


def test_a_recapture_script_captures_all_and_one() -> None:
    replays = scripts.replays(Scenario(script="recapture6"), 0)
    assert [r.recapture for r in replays if r.recapture is not None] == [0, 8]


def test_unknown_name() -> None:
    with pytest.raises(ScenarioError, match="unknown script"):
        scripts.replays(Scenario(script="walk"), 0)


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.label} {r.modes[0]}")
def test_every_route_meets_every_edge(route: object) -> None:
    from verify.routes import Route

    assert isinstance(route, Route)
    if route.dsa:
        return  # its tables are small: what it generates is upstream's own kernel
    for mode in route.modes:
        if mode == "decode@runner" and not route.shares:
            continue  # its lengths are those of decode, only the padding is its own
        met: set[int] = set()
        for scenario in scenarios(route, mode, "cpu"):
            for replay in scripts.replays(scenario, 0):
                met.update(replay.lengths)
        edges = EDGES - ({2304} if mode == "target_verify" else set())
        if route.dsa:
            edges = {n for n in edges if n <= 200}  # its tables are small on a CPU
        assert edges <= met, f"{mode}/{route.label} never meets {sorted(edges - met)}"


def test_draft_lengths_cover_the_accepted_tokens() -> None:
    scenario = Scenario("draft_extend", draft=4, script="tour7")
    for replay in scripts.replays(scenario, 1):
        assert all(
            n >= a >= 1 for n, a in zip(replay.lengths, replay.accepts, strict=True)
        )
