"""Runs units of work on both sides: a baseline, and a process for each kind of candidate.

`play_all` is the one loop: it opens the baseline, groups the units by the worker that
they need, and hands each unit an open candidate. The matrix, drawn scenarios, the
sanitizer and the counting of launches differ in what they do with it.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from verify.cases.case import Baseline, Question, judge
from verify.outcome import Broken, Case, NotRun
from verify.routes import OFF, Route
from verify.sides.launch import ForkServer, fork_server
from verify.sides.process import About, Worker, threads
from verify.sides.stop import Ended, Stoppable
from verify.worker.protocol import Config
from verify.worker.scenario import Scenario

POISONS = (1, 0)  # see verify.worker.observe.observe: 0 keeps what a capture wrote
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
    guarded: bool = True
    workers: int = 2
    forks: ForkServer | None = None

    @contextmanager
    def open(self) -> Iterator[Setup]:
        """The same, with a server that forks its workers, where there can be one."""
        with fork_server(self.python, self.device) as forks:
            yield replace(self, forks=forks)

    def worker(
        self,
        side: str,
        env: dict[str, str | None],
        blocked: tuple[str, ...] = (),
    ) -> Worker:
        wrapper = self.wrapper if side == "candidate" else ()
        config = Config(
            snapshot=str(self.baseline if side == "baseline" else self.candidate),
            device=self.device,
            env=env,
            blocked=list(blocked),
            runtime=self.runtime,
            guarded=self.guarded,
        )
        return Worker(
            side,
            config,
            python=self.python,
            timeout=self.timeout,
            wrapper=wrapper,
            forks=None if wrapper else self.forks,
        )


@dataclass(frozen=True)
class Job:
    """One unit of work: a route, on a scenario if it needs one.

    poisons: those that the scenario is played over, in this order. wrapper: a command
    that the candidate's worker runs under; extra: of its environment.
    """

    route: Route
    scenario: Scenario | None = None
    mode: str = ""
    poisons: tuple[int, ...] = POISONS
    wrapper: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def worker(self) -> tuple[object, ...]:
        """Jobs with the same key share a worker process."""
        return self.route.worker, self.wrapper, self.extra


Result = TypeVar("Result")


@dataclass(frozen=True)
class Ran(Generic[Result]):
    """Results in the jobs' order, and what the workers said of themselves.

    stopped: an interrupt ended it; these are the results that there were by then.
    """

    results: tuple[Result, ...]
    baseline: About
    candidates: tuple[About, ...]
    stopped: bool = False


_DEATHS = ("crash", "killed", "timeout")


class Deaths:
    """How often workers died: those of one kind, and any in the very same way."""

    def __init__(self) -> None:
        self._of_kind: Counter[object] = Counter()
        self._alike: Counter[Broken] = Counter()

    def count(self, job: Job, outcome: object) -> None:
        if isinstance(outcome, Broken) and outcome.kind in _DEATHS:
            self._alike[outcome] += 1
            self._of_kind[job.worker] += outcome.side == "candidate"

    def too_many(self, job: Job) -> NotRun | None:
        """Why this job is not worth a try, if it is not."""
        if self._of_kind[job.worker] >= MAX_DEATHS:
            return NotRun(f"its worker died {MAX_DEATHS} times")
        for broken, count in list(self._alike.items()):
            if count >= MAX_DEATHS:
                alike = f"the {broken.side} failed {count} times alike"
                return NotRun(f"{alike}: {broken.message}")
        return None


@dataclass
class Table:
    """What a unit is handed: both sides, open."""

    setup: Setup
    baseline: Baseline
    candidate: Worker
    deaths: Deaths

    def verify(self, job: Job, scenario: Scenario, poison: int) -> Case:
        """One scenario on both sides, judged and timed."""
        began = time.monotonic()
        question = Question(
            scenario=scenario.text(),
            mode=scenario.kind,
            route=job.route,
            in_tree=self.setup.in_tree,
            seed=self.setup.seed,
            poison=poison,
        )
        outcome = self.deaths.too_many(job) or judge(
            self.baseline, self.candidate, question
        )
        self.deaths.count(job, outcome)
        seconds = time.monotonic() - began
        return Case(
            job.route.label, scenario.kind, scenario.text(), self.setup.seed, poison,
            outcome, seconds,
        )  # fmt: skip


@contextmanager
def baseline_of(setup: Setup, route: Route, usual: Baseline) -> Iterator[Baseline]:
    """The baseline that a route is compared with: a worker of its own if it is released."""
    if not route.released:
        yield usual
        return
    with setup.worker("baseline", route.env) as worker:
        yield Baseline(worker)


def play_all(
    setup: Setup,
    jobs: Sequence[Job],
    play: Callable[[Table, Job], Iterable[Result]],
) -> Ran[Result]:
    """`play` every job, jobs that share a worker process one after another.

    An interrupt ends the workers; what was found by then is kept.
    """
    groups: dict[object, list[tuple[int, Job]]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault(job.worker, []).append((number, job))
    found: list[list[Result]] = [[] for _ in jobs]
    deaths = Deaths()

    def group(members: list[tuple[int, Job]]) -> About:
        first = members[0][1]
        wrapped = replace(setup, wrapper=first.wrapper)
        env = {**first.route.env, **dict(first.extra)}
        with (
            wrapped.worker("candidate", env, first.route.blocked) as worker,
            baseline_of(setup, first.route, baseline) as beside,
        ):
            table = Table(wrapped, beside, worker, deaths)
            with contextlib.suppress(Ended):
                for number, job in members:
                    for result in play(table, job):
                        found[number].append(result)
            return worker.used()

    tasks: list[Future[About]] = []
    with setup.open() as setup, setup.worker("baseline", dict(OFF)) as old:
        baseline = Baseline(old)
        with Stoppable() as playing, threads(setup.workers) as pool:
            for members in sorted(groups.values(), key=_cost):
                tasks.append(pool.submit(group, members))
            for task in tasks:
                task.result()
        about = old.used()
    candidates = tuple(task.result() for task in tasks if not task.cancelled())
    results = tuple(result for results in found for result in results)
    return Ran(results, about, candidates, playing.stopped)


def run(
    setup: Setup, jobs: list[Job], progress: Callable[[Case], None] = lambda case: None
) -> Ran[Case]:
    """Every job's scenario, over each of its poisons."""

    def play(table: Table, job: Job) -> Iterable[Case]:
        assert job.scenario is not None
        for poison in job.poisons:
            case = table.verify(job, job.scenario, poison)
            progress(case)
            yield case

    return play_all(setup, jobs, play)


def _cost(group: list[tuple[int, Job]]) -> tuple[int, int]:
    """The longest groups first, so that the last one to end is short."""
    slow = sum(job.route.kernels for _, job in group)
    return -slow, -len(group)
