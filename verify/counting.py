"""Launches and host syncs a replay, per route and side, on CUDA."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from verify.engine import Setup
from verify.report import Counters
from verify.routes import GATES, Route, baseline_how
from verify.session import Session, WorkerDied
from verify.worker.scenario import Scenario

Json = dict[str, Any]


def scenario_of(mode: str) -> Scenario:
    """One that is measured: four steps or draft tokens, FlashMLA off, bs 8."""
    return Scenario(mode, 4, capture=(8,), seq_bits=64, row_bits=64, script="tour10")


def count(setup: Setup, routes: tuple[Route, ...]) -> Iterable[Counters]:
    """Baseline first, once a mode; then each route."""
    modes = dict.fromkeys(mode for route in routes for mode in route.modes)
    with setup.session("baseline", dict.fromkeys(GATES, "0")) as session:
        for mode in modes:
            how = baseline_how(mode, setup.in_tree)
            yield from _one(session, "original", "baseline", mode, how, setup.seed)
    for route in routes:
        with setup.session("candidate", route.env, route.blocked) as session:
            for mode in route.modes:
                how = route.how(mode)
                yield from _one(
                    session, route.label, "candidate", mode, how, setup.seed
                )


def _one(
    session: Session, label: str, side: str, mode: str, how: str, seed: int
) -> Iterable[Counters]:
    scenario = scenario_of(mode).text()
    try:
        found: Json = session.ask(op="measure", scenario=scenario, how=how, seed=seed)
    except WorkerDied:
        return
    if "not_applicable" not in found:
        yield Counters(route=label, mode=mode, side=side, scenario=scenario, **found)
