"""The report of a bench: one schema for the table, JSON, page and plots. Times are µs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from verify.bench.points import Point
from verify.bench.stats import Speed
from verify.report.model import Incomplete, Model

Status = Literal["ok", "wrong", "failed", "not applicable"]
_RAW = {
    "points": {
        "__all__": {"timings": {"__all__": {"rounds", "kernels", "graph_kernels"}}}
    }
}


class Estimate(Model):
    """A median (or difference of medians) and its 95% bootstrap interval."""

    value: float
    low: float
    high: float


class Ratio(Estimate):
    """How many times less `time_us` a side has than side `to`.

    reason: why it is UNSURE or WRONG; otherwise the interval says it.
    """

    to: str
    verdict: Speed
    reason: str = ""


class Kernel(Model):
    """One kernel, copy or fill by name, a call."""

    name: str
    launches: float
    us: float


class Rounds(Model):
    """One median a round, in the order of the rounds, the same for every side.

    call: from an idle GPU until it is idle again; host: until the call returns; added:
    what the route adds to its graph, empty where it has none.
    """

    host: list[float]
    call: list[float]
    added: list[float]


class Timing(Model):
    """One side at one point. What was not measured is null.

    host_us        the replay call, from an idle GPU until it returns
    time_us        until the GPU is idle again, and added_us: what ratios compare
    busy_us        of the GPU: what the call launched, and added_us
    added_us       in a graph: its replay minus one of the same graph with the gate off
    launches       kernels, copies and fills outside the graph, by the profiler
    graph_launches the same that the route adds to its graph
    syncs          operations in which the host waits for the GPU
    bytes_least    read once, written once a destination
    floor_us       bytes_least at the copy rate of this run
    memory_bytes   what init_cuda_graph_state and the capture took on the GPU
    rounds, kernels, graph_kernels   left out of the compact form; the graph's kernels
                   are those that the route adds
    """

    side: str
    status: Status = "ok"
    reason: str = ""
    destinations: int | None = None
    host_us: float | None = None
    time_us: float | None = None
    busy_us: float | None = None
    added_us: Estimate | None = None
    launches: float | None = None
    graph_launches: float | None = None
    syncs: float | None = None
    bytes_least: float | None = None
    floor_us: float | None = None
    memory_bytes: int | None = None
    ratios: tuple[Ratio, ...] = ()
    notes: tuple[str, ...] = ()
    rounds: Rounds | None = None
    kernels: tuple[Kernel, ...] = ()
    graph_kernels: tuple[Kernel, ...] = ()

    @property
    def over_floor(self) -> float | None:
        """busy_us as a multiple of floor_us."""
        if self.busy_us is None or not self.floor_us:
            return None
        return self.busy_us / self.floor_us

    def to(self, side: str) -> Ratio | None:
        return next((ratio for ratio in self.ratios if ratio.to == side), None)


class PointReport(Model):
    """All sides at one point. length: tokens of the longest sequence.

    on_curve_only: not one of the table's; fewer sides and rounds.
    """

    name: str
    on_curve_only: bool = False
    mode: str
    steps: int
    bs: int
    length: int
    page_size: int = Point.page_size
    decode_kernel: str = Point.impl
    draft_tokens: int = Point.draft
    context: int = Point.context
    input_sets: int
    rounds: int
    calls: int
    timings: list[Timing]


class Crossover(Model):
    """Where, along a curve, a side begins or ceases to beat the original."""

    side: str
    at: float | None
    what: str


class CurveReport(Model):
    """Points by name along one axis, and where sides cross."""

    mode: str
    axis: Literal["steps", "bs", "length"]
    points: list[str]
    crossovers: list[Crossover]


class TimedSide(Model):
    """Where a side's code came from, its gates, and the sha256 of what it ran."""

    name: str
    kind: Literal["original", "route", "release"]
    label: str
    release: str
    patches: list[str]
    commit: str
    gates: dict[str, str]
    blocked: list[str]
    files: dict[str, str]
    standins: list[str]


class Machine(Model):
    """Where it ran. times_count is false on a CPU, where times mean nothing."""

    kind: Literal["cpu", "cuda"]
    name: str
    python: str
    torch: str
    triton: str | None
    times_count: bool
    copy_gb_s: float
    cache_bytes: int
    idle_sync_us: float | None


class MinSpeedup(Model):
    """`--min-speedup`: the lowest bound that every route had to reach, and those below."""

    at_least: float
    met: bool
    below: list[str]


class BenchReport(Model):
    """Everything that one run measured.

    incomplete: it was stopped, and has these points only; None: it came to its end.
    """

    schema_version: int
    tool: str
    command: str
    started: str
    seconds: float
    seed: int
    exit_code: int
    incomplete: Incomplete | None = None
    summary: str
    machine: Machine
    sides: list[TimedSide]
    points: list[PointReport]
    curves: list[CurveReport]
    min_speedup: MinSpeedup | None
    notes: list[str]


def read(path: Path) -> BenchReport:
    """A report written before, in either form. Raises pydantic.ValidationError, OSError."""
    return BenchReport.model_validate_json(path.read_text(encoding="utf-8"))


def dump_compact(report: BenchReport) -> str:
    """Medians, intervals and counts: three digits, one line a point, no defaults."""
    values = report.model_dump(exclude_unset=True, exclude_defaults=True, exclude=_RAW)
    points = ",\n".join(_line(point) for point in values.pop("points"))
    return f'{_line(values)[:-1]},"points":[\n{points}\n]}}\n'


def _line(value: Any) -> str:
    return json.dumps(_rounded(value), ensure_ascii=False, separators=(",", ":"))


def _short(value: float) -> float:
    found = float(f"{value:.3g}")
    return int(found) if found.is_integer() else found


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value) if abs(value) >= 1000 else _short(value)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
