"""The bench's page: the one number, plots, tables, where the GPU time goes, the sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from verify.bench.report.console import findings, heads, number, rows
from verify.bench.report.figures import middle
from verify.bench.report.model import BenchReport, TimedSide, Timing
from verify.bench.report.plots import MISSING, Plot
from verify.report.page import render

KERNELS = 8


def html(report: BenchReport, plots: Sequence[Plot]) -> str:
    """One page that needs nothing else; amber where only a CPU was timed."""
    title, tone = headline(report)
    machine = report.machine
    patched = next((s for s in report.sides if s.kind == "route"), report.sides[0])
    modes = dict.fromkeys(point.mode for point in report.points)
    return render(
        "bench.html",
        report=report,
        headline=title,
        tone=tone,
        facts=[
            ("Tree", patched.label),
            ("Release", patched.release),
            ("Patches", ", ".join(patched.patches)),
            ("Commit", patched.commit),
            ("Machine", f"{machine.name}, Python {machine.python}, torch "
             f"{machine.torch}, Triton {machine.triton or 'none'}"),
            ("Started", f"{report.started}, {report.seconds:.0f} s"),
            ("Tool", report.tool),
        ],
        svgs=[Markup(plot.svg) for plot in plots],
        missing=MISSING,
        tables=[(mode, heads(report, mode), _rows(report, mode)) for mode in modes],
        findings=findings(report),
        kernels=[(p.name, lines) for p in report.points if (lines := _kernels(p.timings))],
        sides=[(side, _side(side)) for side in report.sides],
    )  # fmt: skip


def headline(report: BenchReport) -> tuple[str, str]:
    """The best route at the middle of the first mode: decode's, if that was measured."""
    if report.incomplete is not None:
        done, of = report.incomplete.done, report.incomplete.of
        bad = {t.status for p in report.points for t in p.timings} & {"wrong", "failed"}
        return f"Stopped: {done} of {of} points were timed", "bad" if bad else "warn"
    if not report.machine.times_count:
        return "Timed on a CPU: no time here counts", "warn"
    if report.exit_code:
        return {1: "Not as it should be", 4: "Not all sides ran"}[
            report.exit_code
        ], "bad"
    routes = {side.name for side in report.sides if side.kind == "route"}
    first = [point for point in report.points if point.mode == report.points[0].mode]
    point = middle(first)
    found = [
        (ratio.value, timing, ratio)
        for timing in point.timings
        if timing.side in routes and (ratio := timing.to("original"))
    ]
    if not found:
        return "Nothing was compared", "warn"
    value, timing, ratio = max(found, key=lambda one: one[0])
    times = "less time" if ratio.verdict == "FASTER" else f"({ratio.verdict})"
    return (
        f"{number(value)}x {times} a replay call: {timing.side}, {point.name}",
        "good",
    )


def _rows(
    report: BenchReport, mode: str
) -> dict[bool, list[tuple[list[str], str, str]]]:
    """The table's rows, and apart those of points that only a curve asked for."""
    found: dict[bool, list[tuple[list[str], str, str]]] = {False: [], True: []}
    for point in report.points:
        if point.mode == mode:
            found[point.on_curve_only] += rows(report, point)
    return found


def _kernels(timings: Iterable[Timing]) -> str:
    """The longest of each side, and of its graph: the bench's own are among those."""
    return "\n".join(
        f"{timing.side:14} {kernel.launches:6g}x {kernel.us:10.2f} µs  {where}{kernel.name[:100]}"
        for timing in timings
        for where, kernels in (("", timing.kernels), ("graph: ", timing.graph_kernels))
        for kernel in kernels[:KERNELS]
    )


def _side(side: TimedSide) -> str:
    lines = [f"{gate}={value}" for gate, value in side.gates.items()]
    lines += [f"blocked: {name}" for name in side.blocked]
    lines += [f"stand-in: {name}" for name in side.standins]
    return "\n".join([*lines, *(f"{sha}  {name}" for name, sha in side.files.items())])
