"""Puts the report together, and decides the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from patcher import __version__
from patcher.results import Exit
from verify.bench.judge import point_report
from verify.bench.points import Plan
from verify.bench.report.curves import curve_report
from verify.bench.report.model import (
    SCHEMA_VERSION,
    Asked,
    BenchReport,
    Machine,
    PointReport,
    SideReport,
)
from verify.bench.run import Measured
from verify.bench.sides import ORIGINAL, Side

Json = dict[str, Any]
CPU_NOTE = (
    "This ran on a CPU, kernels in Triton's interpreter: its times mean nothing. "
    "It shows that the tool works and that the outputs are equal."
)


@dataclass(frozen=True)
class Context:
    """What a report says besides what was measured."""

    sides: Sequence[Side]
    used: dict[str, Json]
    about: Json
    rates: Json
    device: str
    seed: int
    arguments: Sequence[str]
    started: str
    seconds: float
    min_speedup: float | None
    notes: Sequence[str] = ()


def build(context: Context, plan: Plan, found: Sequence[Measured]) -> BenchReport:
    on_gpu = context.device != "cpu"
    rate = float(context.rates["copy_bytes_per_s"])
    points = [point_report(m, rate, context.seed, on_gpu) for m in found]
    asked = _asked(points, context)
    code = exit_code(points, asked)
    return BenchReport(
        schema_version=SCHEMA_VERSION,
        tool=f"nsa-opt {__version__}",
        command=shlex.join(["bench-nsa-opt", *context.arguments]),
        started=context.started,
        seconds=context.seconds,
        seed=context.seed,
        exit_code=int(code),
        summary=_summary(points, asked, context),
        machine=_machine(context),
        sides=[_side(s, context.used) for s in context.sides if s.kind != "twin"],
        points=points,
        curves=[curve_report(curve, points, ORIGINAL) for curve in plan.curves],
        min_speedup=asked,
        notes=_notes(context),
    )


def exit_code(points: Sequence[PointReport], asked: Asked | None) -> Exit:
    """1: a side's output is wrong, or slower than asked; 4: a side could not run."""
    statuses = {result.status for point in points for result in point.results}
    if "wrong" in statuses or (asked and not asked.met):
        return Exit.DIFFERS
    return Exit.UNAVAILABLE if "failed" in statuses else Exit.DONE


def _asked(points: Sequence[PointReport], context: Context) -> Asked | None:
    """Routes whose interval's lower end, to the original, is below what was asked."""
    if context.min_speedup is None:
        return None
    routes = {side.name for side in context.sides if side.kind == "route"}
    below = [
        f"{result.side} at {point.name}: {ratio.ratio.low:.2f}x"
        for point in points
        for result in point.results
        for ratio in result.ratios
        if result.side in routes
        and ratio.to == ORIGINAL
        and (ratio.ratio.low < context.min_speedup or ratio.verdict == "WRONG")
    ]
    judged = any(r.ratios for p in points for r in p.results if r.side in routes)
    if not judged:
        below.append("nothing was compared")
    return Asked(at_least=context.min_speedup, met=not below, below=below)


def _summary(
    points: Sequence[PointReport], asked: Asked | None, context: Context
) -> str:
    results = [result for point in points for result in point.results]
    count = {s: sum(r.status == s for r in results) for s in ("wrong", "failed")}
    routes = {side.name for side in context.sides if side.kind == "route"}
    verdicts: list[str] = [
        ratio.verdict
        for result in results
        for ratio in result.ratios
        if ratio.to == ORIGINAL and result.side in routes
    ]
    parts = [f"{n} {v}" for v in _VERDICTS if (n := verdicts.count(v))]
    parts += [
        f"{n} {status}" for status, n in count.items() if n and status == "failed"
    ]
    if asked is not None:
        state = "reached" if asked.met else f"missed {len(asked.below)} times"
        parts.append(f"--min-speedup {asked.at_least:g} {state}")
    head = (
        f"{len(points)} points in {context.seconds:.0f} s, routes against the original"
    )
    return f"{head}: {', '.join(parts) or 'nothing compared'}"


_VERDICTS = ("FASTER", "SAME", "UNSURE", "SLOWER", "WRONG")


def _machine(context: Context) -> Machine:
    about, rates = context.about, context.rates
    return Machine(
        kind="cpu" if context.device == "cpu" else "cuda",
        name=about["device"],
        python=about["python"],
        torch=about["torch"],
        triton=about["triton"],
        times_count=context.device != "cpu",
        copy_gb_s=rates["copy_bytes_per_s"] / 1e9,
        cache_bytes=int(rates["l2_bytes"]),
        idle_sync_us=rates.get("idle_sync_us"),
    )


def _side(side: Side, used: dict[str, Json]) -> SideReport:
    return SideReport(
        name=side.name,
        kind=side.kind,  # type: ignore[arg-type]
        label=side.label,
        release=side.release,
        gates=dict(side.env),
        blocked=list(side.blocked),
        files=dict(side.files),
        standins=list(used.get(side.name, {}).get("standins", ())),
    )


def _notes(context: Context) -> list[str]:
    notes = [] if context.device != "cpu" else [CPU_NOTE]
    notes += context.notes
    stood_in: dict[str, list[str]] = {}
    for side in context.sides:
        if side.kind != "twin":
            for name in context.used.get(side.name, {}).get("standins", ()):
                stood_in.setdefault(name, []).append(side.name)
    notes += [
        f"{', '.join(sides)}: {_describe(name, context.device)}"
        for name, sides in stood_in.items()
    ]
    return notes


def _describe(standin: str, device: str) -> str:
    from verify.worker.tree.standins import DESCRIPTIONS

    if device != "cpu":
        return (
            f"{standin}: a stand-in with as many launches as its kernels; the host time "
            "of those launches is Triton's, not the kernels' own"
        )

    return f"{standin}: {DESCRIPTIONS.get(standin, 'a stand-in')}"
