"""Runs a plan: every route's scenarios, two workers at a time, into a list of cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verify.cases.case import Baseline, judge
from verify.outcome import Broken, Case, NotRun
from verify.routes import GATES, Route
from verify.sides.process import Session, WorkerDied, threads
from verify.worker.scenario import Scenario

Json = dict[str, Any]
POISONS = (1, 2)
MAX_DEATHS = 3


@dataclass(frozen=True)
class Setup:
    """Where both sides come from and how workers are started."""

    baseline: Path
    candidate: Path
    in_tree: bool = False
    device: str = "cpu"
    python: str | None = None
    runtime: str = "isolated"
    timeout: float = 120.0
    seed: int = 0
    wrapper: tuple[str, ...] = ()
    poisons: tuple[int, ...] = POISONS
    workers: int = 2

    def session(self, side: str, env: dict[str, str], blocked: Any = ()) -> Session:
        return Session(
            side,
            self.baseline if side == "baseline" else self.candidate,
            device=self.device,
            env=env,
            blocked=tuple(blocked),
            python=self.python,
            runtime=self.runtime,
            timeout=self.timeout,
            wrapper=self.wrapper,
        )


@dataclass(frozen=True)
class Job:
    route: Route
    scenario: Scenario


@dataclass(frozen=True)
class Ran:
    """Cases in the plan's order, and what the workers said of themselves."""

    cases: tuple[Case, ...]
    baseline: Json
    candidates: tuple[Json, ...]


def run(
    setup: Setup, jobs: list[Job], progress: Callable[[Case], None] = lambda case: None
) -> Ran:
    """Jobs grouped by the worker that they need; each group is one process."""
    groups: dict[Any, list[tuple[int, Job]]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault(job.route.worker, []).append((number, job))
    found: dict[int, list[Case]] = {}
    with setup.session("baseline", dict.fromkeys(GATES, "0")) as session:
        baseline = Baseline(session)
        with threads(setup.workers) as pool:
            tasks = [
                pool.submit(_group, setup, baseline, group, found, progress)
                for group in sorted(groups.values(), key=_cost)
            ]
            candidates = tuple(task.result() for task in tasks)
        about = used(session)
    cases = tuple(case for n in sorted(found) for case in found[n])
    return Ran(cases, about, candidates)


def _cost(group: list[tuple[int, Job]]) -> tuple[int, int]:
    """The longest groups first, so that the last one to end is short."""
    slow = sum(job.route.kernels for _, job in group)
    return -slow, -len(group)


def _group(
    setup: Setup,
    baseline: Baseline,
    group: list[tuple[int, Job]],
    found: dict[int, list[Case]],
    progress: Callable[[Case], None],
) -> Json:
    route = group[0][1].route
    deaths = 0
    with setup.session("candidate", route.env, route.blocked) as session:
        for number, job in group:
            found[number] = []
            for poison in setup.poisons:
                if deaths >= MAX_DEATHS:
                    case = _skipped(setup, job, poison)
                else:
                    case = verify_case(setup, baseline, session, job, poison)
                deaths += _died(case)
                found[number].append(case)
                progress(case)
        return used(session) | {"gates": route.env, "blocked": list(route.blocked)}


def verify_case(
    setup: Setup, baseline: Baseline, session: Session, job: Job, poison: int
) -> Case:
    """One scenario on both sides, judged and timed."""
    began = time.monotonic()
    mode = job.scenario.mode
    outcome = judge(
        baseline,
        session,
        scenario=job.scenario.text(),
        mode=mode,
        route=job.route,
        in_tree=setup.in_tree,
        seed=setup.seed,
        poison=poison,
    )
    seconds = time.monotonic() - began
    return Case(
        job.route.label, mode, job.scenario.text(), setup.seed, poison, outcome, seconds
    )


def _skipped(setup: Setup, job: Job, poison: int) -> Case:
    reason = f"its worker died {MAX_DEATHS} times"
    text = job.scenario.text()
    return Case(
        job.route.label, job.scenario.mode, text, setup.seed, poison, NotRun(reason)
    )


def _died(case: Case) -> bool:
    outcome = case.outcome
    return (
        isinstance(outcome, Broken)
        and outcome.side == "candidate"
        and outcome.kind in ("crash", "killed", "timeout")
    )


def used(session: Session) -> Json:
    """What a worker says of itself, and which modules it imported, stubbed, stood in."""
    try:
        return {**session.about, **session.ask(op="used")}
    except WorkerDied as death:
        return {**session.about, "died": death.broken.message}


def failures(cases: tuple[Case, ...]) -> Iterator[Case]:
    from verify.outcome import Different

    for case in cases:
        if isinstance(case.outcome, Different | Broken):
            yield case
