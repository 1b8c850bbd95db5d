"""From what the sides gave to results: checked against the original, then judged."""

from __future__ import annotations

import fnmatch

from verify.bench import stats
from verify.bench.report.model import (
    Estimate,
    Kernel,
    PointReport,
    Ratio,
    Result,
    Rounds,
    Status,
)
from verify.bench.run import Data, Measured, original
from verify.bench.sides import IN_GRAPH_OFF


def point_report(
    measured: Measured, copy_bytes_per_s: float, seed: int, on_gpu: bool
) -> PointReport:
    """A point with its results. Sides whose output differs are not judged."""
    point, effort = measured.job.point, measured.job.effort
    twin = measured.of(IN_GRAPH_OFF)
    base = original(measured)
    shown = [d for d in measured.data if d.side.kind != "twin"]
    results = []
    for data in shown:
        status, reason = check(data, base, point.mode)
        if status == "ok" and data.side.graph:
            status, reason = _graph_timed(data, twin, on_gpu)
        results.append(
            _result(
                data, status, reason, twin, _references(shown, base, data, point.mode),
                copy_bytes_per_s, stats.seed_of(seed, point, data.side.name), on_gpu,
            )
        )  # fmt: skip
    return PointReport(
        name=str(point), on_curve_only=not measured.job.every_side, mode=point.mode, steps=point.steps, bs=point.bs,
        length=point.length, page_size=point.page_size, decode_kernel=point.impl,
        draft_tokens=point.draft, context=point.context, input_sets=measured.sets,
        footprint_bytes=measured.sets * point.bs * point.length * 4,
        rounds=effort.rounds, calls=effort.calls, results=results,
    )  # fmt: skip


def check(data: Data, base: Data, mode: str) -> tuple[Status, str]:
    """Whether a side's figures count: it ran, the way it should, with equal buffers."""
    if data.problem is not None:
        status: Status = "failed" if data.problem[0] == "failed" else "not applicable"
        return status, data.problem[1]
    if base.problem is not None:
        return "wrong", "the original failed, so the outputs were not compared"
    differing = [
        name
        for name, digest in data.digests.items()
        if name in base.digests and base.digests[name] != digest
    ]
    if differing:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        return "wrong", f"{differing[0]}{more} differ from the original's"
    if not set(data.digests) & set(base.digests):
        return "wrong", "no buffer in common with the original's"
    return _ran(data, mode)


def _ran(data: Data, mode: str) -> tuple[Status, str]:
    """Whether the profile shows the route's own kernels: a fallback is not the route."""
    if data.profile.get("launches") is None:
        return "ok", ""
    for pattern in data.side.kernels:
        wanted = pattern.format(mode=mode)
        if not any(fnmatch.fnmatchcase(k, wanted) for k in data.profile["kernels"]):
            return "wrong", f"fell back: the call launched no kernel {wanted}"
    if data.side.graph and data.profile["launches"]:
        return "wrong", "fell back: the call launched work outside the graph"
    return "ok", ""


def _graph_timed(data: Data, twin: Data | None, on_gpu: bool) -> tuple[Status, str]:
    """What a graph adds is a difference: without both of its terms nothing is known."""
    for side in (data, twin):
        if side is None or side.problem is not None or not side.graph:
            why = side.problem[1] if side is not None and side.problem else "not timed"
            return "failed", f"the graph to subtract, or to subtract from: {why}"
        slow = stats.median(side.launch) > 0.9 * stats.median(side.graph)
        if on_gpu and slow:
            return "failed", "the host launched graphs too slowly to time them"
    return "ok", ""


def _references(
    shown: list[Data], base: Data, data: Data, mode: str
) -> list[tuple[str, list[float]]]:
    """(name, cost by round) of what a side is compared to: the original, releases."""
    kinds = ("original", "release") if data.side.kind == "route" else ("original",)
    return [
        (other.side.name, other.total)
        for other in shown
        if other.side.kind in kinds
        and other is not data
        and check(other, base, mode)[0] == "ok"
    ]


def _result(
    data: Data,
    status: Status,
    reason: str,
    twin: Data | None,
    references: list[tuple[str, list[float]]],
    copy_bytes_per_s: float,
    seed: int,
    on_gpu: bool,
) -> Result:
    added = _added(data, twin)
    cost = [t + a for t, a in zip(data.total, added, strict=True)] if added else None
    cost = cost or data.total
    device = data.profile.get("device")
    device_us = stats.median(device) if device else 0.0 if device is not None else None
    least = data.facts.get("bytes_least")
    floor = least / copy_bytes_per_s * 1e6 if least else None
    estimate = (
        _estimate(stats.difference(added, [0.0] * len(added), seed)) if added else None
    )
    busy = (
        device_us + (estimate.value if estimate else 0)
        if device_us is not None
        else None
    )
    return Result(
        side=data.side.name,
        status=status,
        reason=reason,
        backends=data.facts.get("backends"),
        destinations=data.facts.get("destinations"),
        host_us=_median(data.host),
        total_us=_median(data.total),
        device_us=device_us,
        added_us=estimate,
        cost_us=_median(cost),
        launches=data.profile.get("launches"),
        syncs=data.profile.get("syncs"),
        bytes_least=least,
        floor_us=floor,
        over_floor=busy / floor if busy is not None and floor else None,
        memory_bytes=data.facts.get("memory_bytes") if on_gpu else None,
        launch_us=_median(data.launch),
        kernels=_kernels(data.profile.get("kernels", {})),
        graph_kernels=_kernels(data.profile.get("graph_kernels", {})),
        ratios=[
            _ratio(name, costs, cost, status, seed, on_gpu)
            for name, costs in references
            if costs and cost
        ],
        rounds=Rounds(host=data.host, total=data.total, added=added),
        notes=[f"warned: {text}" for text in data.facts.get("warnings", ())],
    )


def _added(data: Data, twin: Data | None) -> list[float]:
    """By round: the graph with the route's kernel minus the graph without it."""
    if not data.side.graph or twin is None or twin.problem or data.problem:
        return []
    return [a - b for a, b in zip(data.graph, twin.graph, strict=True)]


def _ratio(
    name: str,
    reference: list[float],
    cost: list[float],
    status: Status,
    seed: int,
    on_gpu: bool,
) -> Ratio:
    interval = stats.ratio(reference, cost, seed)
    judged = stats.judge(interval, len(cost), on_gpu)
    if status != "ok":
        judged = stats.Judged("WRONG", "its output is wrong: no time of it counts")
    return Ratio(
        to=name,
        ratio=_estimate(interval),
        verdict=judged.verdict,
        reason=judged.reason,
    )


def _kernels(found: dict[str, dict[str, float]]) -> list[Kernel]:
    return [
        Kernel(name=name, launches=k["launches"], us=k["us"])
        for name, k in sorted(found.items(), key=lambda item: -item[1]["us"])
    ]


def _median(values: list[float]) -> float | None:
    return stats.median(values) if values else None


def _estimate(interval: stats.Interval) -> Estimate:
    return Estimate(value=interval.value, low=interval.low, high=interval.high)
