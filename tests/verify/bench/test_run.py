"""The order of a run: interleaved, shuffled by seed, timed before anything is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.verify.bench.kit import EQUAL, TWIN
from tests.verify.bench.kit import side as planted
from verify.bench import run as module
from verify.bench.judge import Judge
from verify.bench.points import Effort, PlannedPoint, Point
from verify.bench.report.model import Timing
from verify.bench.run import Measured, Workers, run
from verify.bench.sides import ORIGINAL, Side
from verify.outcome import Broken
from verify.sides.process import WorkerDied
from verify.sides.stop import Ended

POINTS = [
    PlannedPoint(Point("decode", 4, 8, 1024 * n), Effort(6, 3, 10, 5)) for n in (1, 2)
]  # fmt: skip
ASKED: list[tuple[str, str]] = []


class FakeWorker:
    """Answers as a worker would on a GPU; `dies` names (side, op) pairs that fail.

    stop: a side, an op, and at which time it is asked that a Ctrl-C comes.
    """

    dies: ClassVar[set[tuple[str, str]]] = set()
    stop: ClassVar[tuple[str, str, int]] = ("", "", 0)

    def __init__(self, name: str, snapshot: Path, **config: Any) -> None:
        self.name = name
        self.ended = False

    def start(self) -> dict[str, Any]:
        return {"device": "a GPU", "python": "3", "torch": "2", "triton": "3"}

    def close(self) -> None:
        ASKED.append((self.name, "close"))

    def interrupt(self) -> None:
        ASKED.append((self.name, "interrupt"))
        self.ended = True

    def ask(self, op: str, **request: Any) -> dict[str, Any]:
        if self.ended:
            raise Ended
        ASKED.append((self.name, op))
        if (self.name, op, ASKED.count((self.name, op))) == self.stop:
            raise KeyboardInterrupt
        if (self.name, op) in self.dies:
            raise WorkerDied(Broken("killed", self.name, "the worker was killed"))
        us = 1000.0 if self.name == ORIGINAL else 10.0
        answers: dict[str, dict[str, Any]] = {
            "bench-rates": {
                "copy_bytes_per_s": 4e12, "l2_bytes": 60 << 20, "idle_sync_us": 4.0,
            },
            "bench-prepare": {
                "destinations": 4, "bytes_least": 1e6, "memory_bytes": 0, "warnings": [],
            },
            "bench-round": {"host": [us] * 3, "total": [us + 5] * 3},
            "bench-graph": {"graph": 30.0 + (self.name == "in-graph"), "launch": 6.0},
            "bench-outputs": {"digests": dict(EQUAL)},
            "used": {"real": {}, "stubbed": [], "standins": ["deep_gemm"], "kernels": {}},
            "bench-attach": {"records": 2},
            "bench-profile": {
                "launches": 0.0, "device": [0.0], "kernels": {}, "graph_kernels": {},
                "syncs": 0.0,
            },
        }  # fmt: skip
        return answers.get(op, {})


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> tuple[Side, ...]:
    monkeypatch.setattr(module, "Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "dies", set())
    monkeypatch.setattr(FakeWorker, "stop", ("", "", 0))
    ASKED.clear()
    return (
        planted(ORIGINAL, "original"),
        planted("fan-out"),
        planted("in-graph", twin=TWIN),
        planted(TWIN, "twin"),
    )


def measure(sides: tuple[Side, ...], seed: int = 0) -> list[Measured]:
    with Workers(sides, "cuda", seed, None, lambda line: None) as workers:
        workers.start()
        return run(workers, POINTS)


def rounds() -> list[list[str]]:
    """The sides that were timed, round by round."""
    timed = [name for name, op in ASKED if op == "bench-round"]
    return [timed[i : i + 3] for i in range(0, len(timed), 3)]


def test_every_round_has_every_side_once_in_changing_order(
    sides: tuple[Side, ...],
) -> None:
    measure(sides)
    assert len(rounds()) == 12
    assert {tuple(sorted(r)) for r in rounds()} == {("fan-out", "in-graph", ORIGINAL)}
    assert len({tuple(r) for r in rounds()}) > 2


def test_the_order_comes_from_the_seed(sides: tuple[Side, ...]) -> None:
    orders = []
    for seed in (1, 1, 2):
        ASKED.clear()
        measure(sides, seed)
        orders.append(rounds())
    assert orders[0] == orders[1] != orders[2]


def test_nothing_is_profiled_before_everything_is_timed(
    sides: tuple[Side, ...],
) -> None:
    measure(sides)
    ops = [op for _, op in ASKED]
    timed = max(i for i, op in enumerate(ops) if op in ("bench-round", "bench-graph"))
    assert timed < ops.index("bench-attach") < ops.index("bench-profile")
    checked = max(i for i, op in enumerate(ops) if op == "bench-outputs")
    assert timed < checked < ops.index("bench-attach")
    # For what its graph runs without the route.
    assert (TWIN, "bench-profile") in ASKED


def test_a_side_that_dies_does_not_take_the_others_along(
    sides: tuple[Side, ...],
) -> None:
    FakeWorker.dies = {("fan-out", "bench-round")}
    found = measure(sides)
    for measured in found:
        results = {r.side: r for r in Judge(measured, 4e12, 0, True).report().timings}
        assert results["fan-out"].status == "failed"
        assert results["in-graph"].status == "ok"
        assert len(results["in-graph"].rounds.call) == 6
    assert ASKED.count(("fan-out", "bench-round")) == module.MAX_DEATHS
    assert ASKED.count(("fan-out", "close")) == 1


def test_without_a_profiler_the_run_says_so(
    sides: tuple[Side, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_records", lambda session: 0)
    with Workers(sides, "cuda", 0, None, lambda line: None) as workers:
        workers.start()
        found = run(workers, POINTS)
        assert "the profiler records nothing here" in workers.notes[0]
    fan_out = Judge(found[0], 4e12, 0, True).report().timings[1]
    assert (fan_out.status, fan_out.launches, fan_out.busy_us) == ("ok", None, None)
    assert fan_out.ratios[0].verdict == "FASTER"


def stopped(sides: tuple[Side, ...]) -> tuple[list[Measured], Workers]:
    with Workers(sides, "cuda", 0, None, lambda line: None) as workers:
        workers.start()
        found = run(workers, POINTS)
        assert workers.stopped
        assert {name for name, op in ASKED if op == "interrupt"} == {
            s.name for s in sides
        }
        used = workers.used(sides[0])
        assert used is not None
        assert used["standins"] == ["deep_gemm"], "said before it was ended"
    return found, workers


def timings(found: list[Measured]) -> list[Timing]:
    reports = [Judge(measured, 4e12, 0, True).report() for measured in found]
    return [timing for report in reports for timing in report.timings]


@pytest.mark.parametrize(
    "at", [("fan-out", "bench-round", 7), ("fan-out", "bench-prepare", 2)],
    ids=["in a round", "while all sides are asked"],
)  # fmt: skip
def test_stopped_it_keeps_the_points_that_were_timed_in_full(
    at: tuple[str, str, int], sides: tuple[Side, ...]
) -> None:
    FakeWorker.stop = at
    found, _ = stopped(sides)
    assert [measured.planned for measured in found] == POINTS[:1]
    assert [t.status for t in timings(found)] == ["ok", "ok", "ok"]
    assert all(t.rounds and len(t.rounds.call) == 6 for t in timings(found)[:2])
    assert not [name for name, op in ASKED if op == "bench-attach"]


@pytest.mark.parametrize(
    ("at", "counted"),
    [
        ((ORIGINAL, "bench-attach", 1), 0),
        (("fan-out", "bench-profile", 2), 1),
        (("fan-out", "bench-prepare", 4), 1),
    ],
)
def test_stopped_while_it_counts_it_keeps_the_times_of_all_points(
    at: tuple[str, str, int], counted: int, sides: tuple[Side, ...]
) -> None:
    FakeWorker.stop = at
    found, _ = stopped(sides)
    assert len(found) == len(POINTS)
    assert all(t.status == "ok" and t.time_us is not None for t in timings(found))
    fan_out = [t for t in timings(found) if t.side == "fan-out"]
    assert [t.launches is not None for t in fan_out] == [n < counted for n in range(2)]


def test_stopped_before_any_point_is_timed_there_is_nothing(
    sides: tuple[Side, ...],
) -> None:
    FakeWorker.stop = "fan-out", "bench-round", 2
    with pytest.raises(KeyboardInterrupt):
        measure(sides)
    assert ASKED.count(("fan-out", "close")) == 1
