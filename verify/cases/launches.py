"""Launches and host syncs a replay, per route and side, on CUDA."""

from __future__ import annotations

from collections.abc import Iterable

from verify.cases.run import Job, Setup, Table, play_all
from verify.report.model import Counters
from verify.routes import Route, baseline_driver
from verify.sides.process import WorkerDied
from verify.worker.protocol import Counted, Measure, NotApplicable
from verify.worker.scenario import Scenario, of_kind


def scenario_of(mode: str) -> Scenario:
    """One that is measured: four steps or draft tokens, FlashMLA off, bs 8."""
    return of_kind(mode, 4, capture=(8,), seq_bits=64, row_bits=64, script="tour10")


def count(setup: Setup, routes: tuple[Route, ...]) -> list[Counters]:
    """The baseline, once a mode, then each route in its order; not what is as released.

    Raises KeyboardInterrupt: of some routes only, they would say nothing.
    """
    counted = [route for route in routes if not route.released]
    jobs = [Job(route, mode=mode) for route in counted for mode in route.modes]
    found = play_all(setup, jobs, _both)
    if found.stopped:
        raise KeyboardInterrupt
    unique = {(c.side, c.route, c.mode): c for c in found.results}
    order = ["original", *(route.label for route in routes)]
    return sorted(
        unique.values(),
        key=lambda c: (c.side != "baseline", order.index(c.route), c.mode),
    )


def _both(table: Table, job: Job) -> Iterable[Counters]:
    setup, scenario = table.setup, scenario_of(job.mode).text()

    def request(driver: str) -> Measure:
        return Measure(op="measure", scenario=scenario, driver=driver, seed=setup.seed)

    def counters(
        route: str, side: str, counted: Counted | NotApplicable
    ) -> Iterable[Counters]:
        if "not_applicable" not in counted:
            yield Counters(
                route=route, mode=job.mode, side=side, scenario=scenario, **counted
            )

    try:
        old = table.baseline.measure(
            request(baseline_driver(job.route, job.mode, setup.in_tree))
        )
        yield from counters("original", "baseline", old)
        new = table.candidate.ask(**request(job.route.driver(job.mode)))
        yield from counters(job.route.label, "candidate", new)
    except WorkerDied:
        return
