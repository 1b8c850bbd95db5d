"""The default matrix has what it promises on either device, and says what it lacks."""

from __future__ import annotations

import pytest

from patches import all_about
from verify.cases.matrix import CUDA_CONTEXT, matrix, scenarios
from verify.routes import DECODE, Route, available
from verify.routes import ROUTES as EVERY
from verify.worker.scenario import IMPLS

ROUTES = available([about.name for about in all_about()])
PAIRS = [(route, mode) for route in ROUTES for mode in route.modes]
# The others are samples of what one of these meets.
IN_FULL = [(route, mode) for route, mode in PAIRS if not route.few]


def _name(pair: tuple[Route, str]) -> str:
    return f"{pair[0].label}-{pair[1]}"


@pytest.fixture(scope="module")
def reduced() -> tuple[str, ...]:
    return matrix(ROUTES, "cpu").reduced


@pytest.mark.parametrize(("route", "mode"), PAIRS, ids=map(_name, PAIRS))
def test_what_only_cuda_runs_is_said(
    route: Route, mode: str, reduced: tuple[str, ...]
) -> None:
    (contexts, *words) = reduced
    assert f"CUDA runs {CUDA_CONTEXT:,}" in contexts
    only_cuda = set(scenarios(route, mode, "cuda")) - set(scenarios(route, mode, "cpu"))
    lacks = any(scenario.context != CUDA_CONTEXT for scenario in only_cuda)
    said = [line.partition(": ")[0] for line in words if line.startswith(f"{mode} ")]
    named = [label for line in said for label in line.removeprefix(mode).split(",")]
    assert (f" {route.label}" in named) == lacks


def test_cuda_lacks_nothing() -> None:
    assert matrix(ROUTES, "cuda").reduced == ()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_table_that_is_left_out_is_not_the_only_one(device: str) -> None:
    """With pages of one token there is no other: the route cannot run."""
    left_out = [route for route in EVERY if route.drops]
    found = [
        s for r in left_out for mode in r.modes for s in scenarios(r, mode, device)
    ]
    assert found
    assert {s.page_size for s in found} == {64}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(("route", "mode"), IN_FULL, ids=map(_name, IN_FULL))
def test_every_route_meets_the_edges(route: Route, mode: str, device: str) -> None:
    found = scenarios(route, mode, device)
    alone = route.modes == ("decode@runner",) or device == "cuda"
    every = mode == "decode" or (mode == "decode@runner" and alone)
    every = every and not route.brief
    if every:
        fewer = route.kernels and not route.best and device == "cpu"
        assert {s.steps for s in found} >= ({1, 8} if fewer else set(range(1, 9)))
    assert {s.page_size for s in found} >= {1, 64}
    assert {s.impl for s in found} >= {"fa3", "flashmla_kv"}
    if every:
        assert {s.kv for s in found} == {"fp8", "bf16"}
        assert {s.impl for s in found} == set(IMPLS)
        assert len({s.prefill for s in found}) > 1
    assert any("recapture" in s.script for s in found)
    assert any(len(s.capture) > 1 and max(s.capture) > 2 for s in found), "padding"
    assert any(s.context % s.page_size for s in found), "a last page in part"
    if mode not in DECODE:
        assert {s.draft for s in found} >= {1, 2, 3, 4}
