"""The sides come out of the patches' `about.py`: none is named in bench."""

from __future__ import annotations

from pathlib import Path

import pytest

from patcher.results import Exit, Refusal
from patcher.tree.pins import Family
from patches import all_about
from verify.bench.points import MODES
from verify.bench.sides import Side, mended_sides, of_point, route_sides
from verify.routes import OWN_GATES
from verify.sides.source import Source


class Patched(Source):
    """A tree that has every patch there is."""

    @property
    def family(self) -> Family:
        return "A"

    def patches(self) -> frozenset[str]:
        return frozenset(about.name for about in all_about())


def sides(*wanted: str, quick: bool = False) -> list[Side]:
    source = Patched("tree", "0.5.6.post2", lambda rel: None)
    candidate = Side("", "route", MODES, source, Path("tree"), {})
    return route_sides(candidate, wanted, quick)


def test_every_timed_route_of_a_patch_is_a_side_in_its_modes() -> None:
    found = {(side.name, mode) for side in sides() for mode in side.modes}
    for about in all_about():
        for route in about.routes:
            for mode in route.modes:
                if route.timed and "A" in route.families:
                    assert (route.name, mode.partition("@")[0]) in found


@pytest.mark.parametrize("family", ["B", "C"])
def test_a_later_family_has_the_routes_of_its_own(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied = tuple(f"{about.name} 1" for about in all_about())
    source = Patched("tree", "0.5.12.post1", lambda rel: None, applied=applied)
    monkeypatch.setattr(Patched, "family", property(lambda self: family))
    candidate = Side("", "route", MODES, source, Path("tree"), {})
    found = {
        (side.name, mode)
        for side in route_sides(candidate, (), False)
        if side.kind == "route"
        for mode in side.modes
    }
    wanted = {
        (route.name, mode.partition("@")[0])
        for about in all_about()
        for route in about.routes
        if route.timed and not route.pair and family in route.families
        for mode in route.modes
    }
    assert found == wanted


def test_sides_of_one_point_have_names_and_processes_of_their_own() -> None:
    for mode in MODES:
        here = of_point(sides(), mode, every=True)
        assert len({side.name for side in here}) == len(here)
        assert len({side.process for side in here}) == len(here)


def test_a_route_in_the_draft_s_graph_has_a_twin_with_its_gates_off() -> None:
    found = {side.name: side for side in sides()}
    routes = [side for side in found.values() if side.twin]
    assert routes
    for side in routes:
        twin = found[side.twin]
        assert set(side.gates) <= {about.gate for about in all_about()}
        assert side.gates
        assert not twin.gates
        assert (twin.kind, twin.graph, twin.kernels) == ("twin", True, ())
        assert (twin.snapshot, twin.modes) == (side.snapshot, side.modes)


def test_a_curve_takes_the_best_and_a_quick_run_no_fallbacks() -> None:
    best = {side.name for side in of_point(sides(), "decode", every=False)}
    every = {side.name for side in of_point(sides(), "decode", every=True)}
    assert best < every
    assert not any(side.blocked for side in sides(quick=True))
    assert any(side.blocked for side in sides())


def test_no_side_is_another_one_under_a_second_name() -> None:
    routes = [side for side in sides() if side.kind == "route"]
    for mode in MODES:
        ways = [
            (s.gates, s.blocked, s.twin) for s in of_point(routes, mode, every=True)
        ]
        assert len(set(ways)) == len(ways)


def test_what_is_asked_for_is_timed_even_if_it_is_not_by_itself() -> None:
    assert {side.name for side in sides("per-backend")} == {"per-backend"}


def test_a_route_whose_patch_is_not_in_the_tree_is_refused() -> None:
    bare = Source("tree", "0.5.6.post2", lambda rel: None)
    name = next(a.routes[0].name for a in all_about() if a.routes)
    with pytest.raises(Refusal, match="its patch is not in the tree") as refused:
        route_sides(Side("", "route", MODES, bare, Path("tree"), {}), [name], False)
    assert refused.value.code == Exit.REFUSED


class Later(Source):
    """A tree of family C, with its own precompute and these patches."""

    @property
    def family(self) -> Family:
        return "C"

    def patches(self) -> frozenset[str]:
        return frozenset(about.name for about in all_about())


def test_a_later_release_is_set_against_its_own_way_put_right() -> None:
    applied = ("fresh-plans 1", "in-graph 1")
    source = Later("tree", "0.5.23", lambda rel: None, applied=applied)
    candidate = Side("", "route", MODES, source, Path("tree"), {}, gates=OWN_GATES)
    (mended,) = mended_sides(candidate)
    assert (mended.name, mended.modes, mended.mended) == (
        "fresh-plans",
        ("decode",),
        True,
    )
    assert mended.gates == OWN_GATES
    route, twin = route_sides(candidate, (), quick=False)
    assert (route.name, route.twin, twin.kind) == ("in-graph", twin.name, "twin")
    assert set(twin.gates) == set(OWN_GATES) < set(route.gates)
    here = [mended, route, twin]
    assert len({side.process for side in here}) == len(here)
