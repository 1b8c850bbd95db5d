"""Launches and host syncs a replay, per route and side, on CUDA."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from verify.cases.run import Setup
from verify.report.model import Counters
from verify.routes import GATES, Route, baseline_how
from verify.sides.process import Session, WorkerDied, threads
from verify.worker.scenario import Scenario

Json = dict[str, Any]


def scenario_of(mode: str) -> Scenario:
    """One that is measured: four steps or draft tokens, FlashMLA off, bs 8."""
    return Scenario(mode, 4, capture=(8,), seq_bits=64, row_bits=64, script="tour10")


def count(setup: Setup, routes: tuple[Route, ...]) -> list[Counters]:
    """The baseline, once a mode, then each route in its order."""
    groups: dict[Any, list[Route]] = {}
    for route in routes:
        groups.setdefault(route.worker, []).append(route)
    with threads(setup.workers) as pool:
        tasks = [pool.submit(_baseline, setup, routes)]
        tasks += [pool.submit(_candidates, setup, group) for group in groups.values()]
        found = [counted for task in tasks for counted in task.result()]
    order = ["original", *(route.label for route in routes)]
    return sorted(
        found, key=lambda c: (c.side != "baseline", order.index(c.route), c.mode)
    )


def _baseline(setup: Setup, routes: tuple[Route, ...]) -> list[Counters]:
    modes = dict.fromkeys(mode for route in routes for mode in route.modes)
    with setup.session("baseline", dict.fromkeys(GATES, "0")) as session:
        return [
            counted
            for mode in modes
            for counted in _one(
                session,
                "original",
                "baseline",
                mode,
                baseline_how(mode, setup.in_tree),
                setup.seed,
            )
        ]


def _candidates(setup: Setup, routes: list[Route]) -> list[Counters]:
    """Routes that share a worker."""
    with setup.session("candidate", routes[0].env, routes[0].blocked) as session:
        return [
            counted
            for route in routes
            for mode in route.modes
            for counted in _one(
                session, route.label, "candidate", mode, route.how(mode), setup.seed
            )
        ]


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
