"""A report made of invented cases, so that every format has something to show."""

from __future__ import annotations

from pathlib import Path

from verify.cases.run import Ran, Setup
from verify.outcome import (
    Broken,
    Case,
    Difference,
    Different,
    Identical,
    NotRun,
    Outcome,
    Spread,
)
from verify.report.build import Context, build
from verify.report.model import Report
from verify.sides.process import About
from verify.sides.source import Pair, Source
from verify.worker.protocol import Hello, UsedModules

SCENARIO = "decode:n4:p64:fa3:s32:r32:c1,8:x2304:k2048:d4:tour6"
SPREAD = Spread((8, 36), tuple((0, 3, 0, 1) for _ in range(8)))
WRONG = Difference(
    "wrong value", "backend 2", "bs8.page_table_1", 3, 8, (4, 2047), "1234", "-7", 9, 64,
    spread=SPREAD,
)  # fmt: skip
ARGUMENTS = ("tree", "--device", "cpu", "--route=fan-out", "--report", "out")

SAME = Identical(6, 100, 4096, ("extra of backend 0: only the candidate has it",))
DIFFERENT = Different((WRONG, Difference("state", "backend 0", "use_mha", 3, 8)))
CRASH = Broken(
    "crash", "candidate", "the worker ended with SIGSEGV", ("<&> last words",)
)


KILLED = Broken("killed", "candidate", "the worker was killed")


def case(outcome: Outcome, route: str = "fan-out", mode: str = "decode") -> Case:
    return Case(route, mode, SCENARIO, 0, 1, outcome, 0.5)


def report(
    *outcomes: Outcome,
    stopped: bool = False,
    planned: int | None = None,
    said: bool = True,
    device: str = "cpu",
) -> Report:
    """Of these and a case that was not run. said: the worker ended by itself."""
    cases = [case(outcome) for outcome in outcomes]
    cases.append(
        case(NotRun("this tree has no such path"), "in-graph", "decode@runner")
    )
    source = Source("tree", "0.5.6.post2", lambda rel: None, edited=("a.py",))
    context = Context(
        pair=Pair(source, source, False),
        hashes={"baseline": {"a.py": "0" * 64}, "candidate": {"a.py": "1" * 64}},
        setup=Setup(Path("old"), Path("new"), device=device),
        arguments=ARGUMENTS,
        reduced=("contexts over 4,096",),
        started="2026-01-01T00:00:00+00:00",
        seconds=12.0,
        planned=planned,
    )
    hello = Hello(
        python="3.12.1",
        torch="2.13.0",
        triton=None,
        cuda=None,
        driver=None,
        platform="Linux",
        device="cpu",
        pid=1,
    )
    used = UsedModules(real={}, stubbed=[], standins=["deep_gemm"], kernels={})
    gates = {"SGLANG_GATE": "1"}
    worker = About("candidate", gates, (), hello, used if said else None)
    return build(context, Ran(tuple(cases), worker, (worker,), stopped))
