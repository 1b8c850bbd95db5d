"""The run: every side of a point prepared, timed in shuffled rounds, then counted.

Two passes over the points. The first times, with nothing attached; the second
profiles, since a profiler that has been attached once is never quite gone.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from verify.bench import stats
from verify.bench.points import PlannedPoint
from verify.bench.sides import ORIGINAL, Side, of_point
from verify.outcome import Broken
from verify.sides.process import Worker, WorkerDied, threads
from verify.sides.stop import Ended, Stoppable
from verify.worker.bench.messages import Prepare, Prepared, Profiled, Rates
from verify.worker.protocol import Config, Hello, UsedModules

MAX_DEATHS = 2


@dataclass
class Samples:
    """What one side gave at one point; times are µs, one median a round.

    problem: (status, reason) where there is nothing to show.
    """

    side: Side
    host: list[float] = field(default_factory=list)
    call: list[float] = field(default_factory=list)
    graph: list[float] = field(default_factory=list)
    launch: list[float] = field(default_factory=list)
    facts: Prepared | None = None
    profile: Profiled | None = None
    digests: dict[str, str] = field(default_factory=dict)
    problem: tuple[Literal["failed", "not applicable"], str] | None = None


@dataclass
class Measured:
    """One point: the data of its sides, in the order of the report."""

    planned: PlannedPoint
    sets: int
    samples: list[Samples]

    def of(self, name: str) -> Samples | None:
        return next((d for d in self.samples if d.side.name == name), None)

    @property
    def running(self) -> list[Samples]:
        return [d for d in self.samples if d.problem is None]


class Workers:
    """Owns the worker processes; every one lives until the run ends."""

    def __init__(
        self,
        sides: Sequence[Side],
        device: str,
        seed: int,
        python: str | None,
        progress: Callable[[str], None],
    ) -> None:
        self.sides = sides
        self.device = device
        self.seed = seed
        self.progress = progress
        self.rates = Rates(copy_bytes_per_s=0.0, l2_bytes=0, idle_sync_us=None)
        self.notes: list[str] = []
        self.stopped = False
        self._used: dict[str, UsedModules] = {}
        self._deaths: dict[str, int] = {}
        self._sessions: dict[Any, Worker] = {}
        for side in sides:
            if side.process not in self._sessions:
                config = Config(
                    snapshot=str(side.snapshot),
                    device=device,
                    env=dict(side.env),
                    blocked=list(side.blocked),
                    runtime="isolated",
                    guarded=True,
                )
                self._sessions[side.process] = Worker(
                    side.name, config, python=python, timeout=300.0
                )

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        for session in self._sessions.values():
            session.close()

    def start(self) -> Hello:
        """Start every worker. Returns what the original's says of its machine.

        Raises WorkerDied where the original's cannot be started.
        """
        cpu = "" if self.device == "cuda" else " on a CPU: slow, and times mean nothing"
        self.progress(f"starting {len(self._sessions)} workers{cpu}")
        with threads(len(self._sessions)) as pool:
            list(pool.map(_started, self._sessions.values()))
        original = self._session(self.sides[0])
        about = original.start()
        self.rates = original.ask(op="bench-rates")
        return about

    def times(self, planned: PlannedPoint) -> Measured:
        """The first pass over a point: its times, and the hashes of its buffers."""
        chosen = of_point(self.sides, planned.point.mode, planned.every_side)
        sets = planned.point.sets(self.rates["l2_bytes"])
        measured = Measured(planned, sets, [Samples(side) for side in chosen])
        self._prepare(measured)
        order = random.Random(f"{self.seed}:{planned.point}")
        for _ in range(planned.effort.rounds):
            self._round(measured, order)
        for data, reply in self._all(measured, lambda data: {"op": "bench-outputs"}):
            data.digests = reply["digests"]
        return measured

    def attach(self) -> bool:
        """Attach a profiler to every worker; whether they record what a GPU does."""
        with threads(len(self._sessions)) as pool:
            records = list(pool.map(_records, self._sessions.values()))
        return any(records)

    def counts(self, measured: Measured) -> None:
        """The second pass: launches, kernels and synchronisations, one side at a time."""
        self._prepare(measured)
        for data in measured.running:
            calls, graph = measured.planned.effort.profiled, data.side.graph
            data.profile = self._ask(data, op="bench-profile", calls=calls, graph=graph)

    def used(self, side: Side) -> UsedModules | None:
        """Which modules the side's worker ran, and what stood in for others.

        After a stop, what it said last.
        """
        try:
            self._used[side.name] = self._session(side).ask(op="used")
        except WorkerDied:
            return None
        except Ended:
            pass
        return self._used.get(side.name)

    def stop(self) -> None:
        """End every worker: one may be in the middle of an answer."""
        self.stopped = True
        for session in self._sessions.values():
            session.interrupt()

    def _prepare(self, measured: Measured) -> None:
        shape = measured.planned.point.shape(measured.sets)
        for data, reply in self._all(
            measured,
            lambda data: Prepare(
                op="bench-prepare", point=shape, seed=self.seed, graph=data.side.graph
            ),
        ):
            if "not_applicable" in reply:
                data.problem = "not applicable", reply["not_applicable"]
            else:
                data.facts = reply

    def _round(self, measured: Measured, order: random.Random) -> None:
        """Every side once, in a new order; then the graphs, next to each other."""
        effort = measured.planned.effort
        running = [d for d in measured.running if d.side.kind != "twin"]
        for data in order.sample(running, len(running)):
            if reply := self._ask(data, op="bench-round", calls=effort.calls):
                data.host.append(stats.median(reply["host"]))
                data.call.append(stats.median(reply["total"]))
        graphs = [d for d in measured.running if d.side.graph]
        for data in order.sample(graphs, len(graphs)):
            if reply := self._ask(data, op="bench-graph", replays=effort.replays):
                data.graph.append(reply["graph"])
                data.launch.append(reply["launch"])

    def _all(
        self, measured: Measured, request: Callable[[Samples], Mapping[str, Any]]
    ) -> list[tuple[Samples, Any]]:
        """Ask all sides at once, for what is not timed; those that answered."""
        asked = measured.running
        with threads(max(1, len(asked))) as pool:
            replies = pool.map(lambda data: self._ask(data, **request(data)), asked)
        answered = zip(asked, replies, strict=True)
        return [(data, reply) for data, reply in answered if reply is not None]

    def _ask(self, data: Samples, **request: Any) -> Any:
        """The reply, or None where the side failed; the data then says so."""
        name = data.side.name
        if self._deaths.get(name, 0) >= MAX_DEATHS:
            data.problem = "failed", f"its worker failed {MAX_DEATHS} times before"
            return None
        try:
            return self._session(data.side).ask(**request)
        except WorkerDied as death:
            self._deaths[name] = self._deaths.get(name, 0) + 1
            data.problem = "failed", _line(death.broken)
            self.progress(f"{name}: {_line(death.broken)}")
            return None

    def _session(self, side: Side) -> Worker:
        return self._sessions[side.process]


def run(
    workers: Workers,
    points: Sequence[PlannedPoint],
    step: Callable[[int, str], None] = lambda done, at: None,
) -> list[Measured]:
    """Both passes over all points. Raises WorkerDied where the original never ran.

    step: told how many are timed, and which is next. An interrupt ends the workers; what
    was timed in full by then is kept. Raises KeyboardInterrupt if nothing was.
    """
    found: list[Measured] = []
    with Stoppable() as running:
        for number, planned in enumerate(points):
            step(number, str(planned.point))
            found.append(workers.times(planned))
            for side in workers.sides:
                workers.used(side)
        step(len(points), "counting")
        if workers.device != "cpu":
            _count(workers, found, step)
    if running.stopped:
        workers.stop()
        if not found:
            raise KeyboardInterrupt
    return found


def _count(
    workers: Workers, found: list[Measured], step: Callable[[int, str], None]
) -> None:
    if not workers.attach():
        workers.notes.append(
            "the profiler records nothing here: no launches, no GPU time"
        )
        return
    for measured in found:
        step(len(found), f"counting {measured.planned.point}")
        workers.counts(measured)


def original(measured: Measured) -> Samples:
    """The samples of the side that all others are compared with."""
    data = measured.of(ORIGINAL)
    assert data is not None
    return data


def reference(measured: Measured) -> Samples:
    """The samples that the others' outputs have to equal: the original's, if it is right."""
    mended = [d for d in measured.running if d.side.mended]
    return mended[0] if mended else original(measured)


def _started(session: Worker) -> None:
    with contextlib.suppress(WorkerDied):  # said again when it is asked for something
        session.start()


def _records(session: Worker) -> int:
    try:
        return int(session.ask(op="bench-attach")["records"])
    except WorkerDied:
        return 0


def _line(broken: Broken) -> str:
    where = f" ({broken.where[-1]})" if broken.where else ""
    return f"{broken.message}{where}"
