"""The bench's part of verify.worker.protocol: every message of a measurement.

    bench-rates                        ->  Rates
    Prepare                            ->  Prepared, or NotApplicable
    bench-round   calls: int           ->  Times
    bench-graph   replays: int         ->  GraphTimes
    bench-outputs                      ->  Digests
    bench-attach                       ->  Attached           (CUDA only)
    bench-profile calls: int, graph: bool  ->  Profiled       (CUDA only)

All but the first three are about the point that was prepared last. Times are in µs.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class Rates(TypedDict):
    """Of a large copy, read and write together; the last cache; an idle wait for it."""

    copy_bytes_per_s: float
    l2_bytes: int
    idle_sync_us: float | None


class Prepare(TypedDict):
    """Build and capture a point; graph: through the tree's own draft runner.

    point: the fields of verify.worker.bench.inputs.Place.
    """

    op: Literal["bench-prepare"]
    point: dict[str, Any]
    seed: int
    graph: bool


class Prepared(TypedDict):
    """destinations: page tables that a replay writes; bytes_least: that it must move.

    memory_bytes: what the capture took; warnings: what the tree logged.
    """

    destinations: int
    memory_bytes: int
    bytes_least: float
    warnings: list[str]


class Times(TypedDict):
    """One figure a call: until it returns, and until the device is idle again."""

    host: list[float]
    total: list[float]


class GraphTimes(TypedDict):
    """A replay among many, and what the host took to launch it."""

    graph: float
    launch: float


class Digests(TypedDict):
    """sha256 of every buffer, by "backend N: path"."""

    digests: dict[str, str]


class Attached(TypedDict):
    """How many records of two launches the profiler made."""

    records: int


class KernelTime(TypedDict):
    """Launches and time a call."""

    launches: float
    us: float


class Profiled(TypedDict):
    """A call: launches, host synchronisations; device: busy time call by call."""

    launches: float
    syncs: float
    device: list[float]
    kernels: dict[str, KernelTime]
    graph_kernels: dict[str, KernelTime]
