"""The report of a bench: one schema for the table, JSON, HTML and plots. Times are µs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("bench.schema.json")
Status = Literal["ok", "wrong", "failed", "not applicable"]
Verdict = Literal["FASTER", "SAME", "SLOWER", "UNSURE", "WRONG"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Estimate(Model):
    """A median (or difference of medians) and its 95% bootstrap interval."""

    value: float
    low: float
    high: float


class Ratio(Model):
    """How many times less `cost_us` a side has than side `to`."""

    to: str
    ratio: Estimate
    verdict: Verdict
    reason: str


class Kernel(Model):
    """One kernel, copy or fill by name, a call."""

    name: str
    launches: float
    us: float


class Rounds(Model):
    """One median a round, in the order of the rounds, the same for every side."""

    host: list[float]
    total: list[float]
    added: list[float]


class Result(Model):
    """One side at one point. What was not measured is null.

    host_us        the replay call, from an idle GPU until it returns
    total_us       host_us and the wait until the GPU is idle again
    device_us      the summed busy time of what the call launched
    added_us       in-graph: a graph replay minus one of the same graph without it
    cost_us        total_us + added_us: what ratios compare
    launches       kernels, copies and fills outside the graph
    syncs          operations in which the host waits for the GPU
    bytes_least    read once, written once a destination
    floor_us       bytes_least at the copy rate of this run
    over_floor     (device_us + added_us) / floor_us
    memory_bytes   what init_cuda_graph_state and the capture took on the GPU
    launch_us      host time to launch the graph, where there is one
    kernels        of the call; graph_kernels: of the graph, the bench's own included
    """

    side: str
    status: Status
    reason: str
    backends: int | None
    destinations: int | None
    host_us: float | None
    total_us: float | None
    device_us: float | None
    added_us: Estimate | None
    cost_us: float | None
    launches: float | None
    syncs: float | None
    bytes_least: float | None
    floor_us: float | None
    over_floor: float | None
    memory_bytes: int | None
    launch_us: float | None
    kernels: list[Kernel]
    graph_kernels: list[Kernel]
    ratios: list[Ratio]
    rounds: Rounds
    notes: list[str]


class PointReport(Model):
    """All sides at one point. length: tokens of the longest sequence.

    on_curve_only: not one of the table's; fewer sides and rounds.
    """

    name: str
    on_curve_only: bool
    mode: str
    steps: int
    bs: int
    length: int
    page_size: int
    decode_kernel: str
    draft_tokens: int
    context: int
    input_sets: int
    footprint_bytes: int
    rounds: int
    calls: int
    results: list[Result]


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


class SideReport(Model):
    """Where a side's code came from, its gates, and the sha256 of what it ran."""

    name: str
    kind: Literal["original", "route", "release"]
    label: str
    release: str
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


class Asked(Model):
    """`--min-speedup`: the lowest bound that every route had to reach, and those below."""

    at_least: float
    met: bool
    below: list[str]


class BenchReport(Model):
    """Everything that one run measured."""

    schema_version: int
    tool: str
    command: str
    started: str
    seconds: float
    seed: int
    exit_code: int
    summary: str
    machine: Machine
    sides: list[SideReport]
    points: list[PointReport]
    curves: list[CurveReport]
    min_speedup: Asked | None
    notes: list[str]


def busy(result: Result) -> float | None:
    """GPU µs that a side takes: what the call launched, and what it adds to its graph."""
    if result.device_us is None:
        return None
    return result.device_us + (result.added_us.value if result.added_us else 0.0)


def schema() -> dict[str, Any]:
    """The JSON schema that ships as bench.schema.json."""
    return BenchReport.model_json_schema()


def schema_text() -> str:
    return json.dumps(schema(), indent=1) + "\n"


def read(path: Path) -> BenchReport:
    """A report that was written before. Raises pydantic.ValidationError, OSError."""
    return BenchReport.model_validate_json(path.read_text(encoding="utf-8"))


def dump(report: BenchReport) -> str:
    return report.model_dump_json(indent=1) + "\n"
