"""What a person reads: a table a mode, losses included, and one line that says it all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from verify.bench.points import short
from verify.bench.report.model import BenchReport, PointReport, Timing
from verify.report.console import narrowed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLES = {
    "FASTER": "green", "SLOWER": "red", "UNSURE": "yellow", "WRONG": "bold red",
    "FAILED": "bold red",
}  # fmt: skip
_FIGURES = (
    "time µs", "host µs", "GPU µs", "launches", "in graph", "syncs", "floor µs", "x floor", "MB",
)  # fmt: skip


def render(report: BenchReport, console: Console) -> None:
    """The machine and its limits, the tables, curves, what failed, the summary."""
    from rich.table import Table

    machine = report.machine
    console.print(
        f"{machine.name}, torch {machine.torch}, triton {machine.triton}, "
        f"copies {machine.copy_gb_s:,.0f} GB/s",
        highlight=False,
    )
    for i, note in enumerate(report.notes):
        red = i == 0 and not machine.times_count
        console.print(note, style="bold red" if red else "", highlight=False)
    points = [point for point in report.points if not point.on_curve_only]
    for mode in dict.fromkeys(point.mode for point in points):
        table = Table(box=None, pad_edge=False, header_style="bold", title=mode)
        table.title_justify = "left"
        console.print()
        shown = [p for p in points if p.mode == mode]
        console.print(_filled(table, report, shown, console.width))
    if len(points) < len(report.points):
        more = len(report.points) - len(points)
        console.print(f"\n{more} more points along curves: in --json and --report")
    console.print()
    for line in findings(report):
        console.print(line, highlight=False)
    style = "bold green" if report.exit_code == 0 else "bold red"
    console.print(report.summary, style=style, highlight=False)


def _filled(
    table: Table, report: BenchReport, points: list[PointReport], width: int
) -> Table:
    """The table with as many columns as the terminal has room for."""
    names = heads(report, points[0].mode)
    lines = [[*cells, verdict] for p in points for cells, verdict, _ in rows(report, p)]
    shown = narrowed(names, lines, ("N", "bs", "len", "side", "verdict"), width)
    for place in shown:
        left = names[place] == "side"
        table.add_column(
            names[place], justify="left" if left else "right", no_wrap=True
        )
    for line in lines:
        cells = [line[place].replace("[", r"\[") for place in shown]
        table.add_row(*cells, style=_STYLES.get(line[-1], ""))
    if len(shown) < len(names):
        table.caption = "more columns: a wider terminal, --json, --report"
    return table


def heads(report: BenchReport, mode: str) -> list[str]:
    """The columns of a mode's table; where times count, what compares comes first."""
    place = ["N", "bs", "len"] if mode == "decode" else ["bs", "len"]
    ratios = [f"x {name}" for name in _references(report)]
    return [*place, "side", *ratios, *_columns(report), "verdict"]


def _columns(report: BenchReport) -> Sequence[str]:
    return _FIGURES if report.machine.times_count else _FIGURES[:2]


def rows(
    report: BenchReport, point: PointReport
) -> Iterator[tuple[list[str], str, str]]:
    """Cells, verdict and its reason, a side; only the first row says the place."""
    place = [str(point.bs), short(point.length)]
    if point.mode == "decode":
        place.insert(0, str(point.steps))
    for timing in point.timings:
        if timing.status == "not applicable":
            continue
        ratios = [_ratio(timing, name) for name in _references(report)]
        original = timing.to("original")
        verdict, reason = timing.status.upper(), timing.reason
        if timing.status == "ok":
            verdict, reason = (
                (original.verdict, original.reason) if original else ("", "")
            )
            if original and not report.machine.times_count:
                verdict, reason = "EQUAL", "its buffers are the original's, by hash"
        figures = _figures(timing)[: len(_columns(report))]
        yield [*place, timing.side, *ratios, *figures], verdict, reason
        place = [""] * len(place)


def _references(report: BenchReport) -> Sequence[str]:
    """What sides are compared with: nothing on a CPU, whose ratios mean nothing."""
    if not report.machine.times_count:
        return ()
    return [side.name for side in report.sides if side.kind != "route"]


def _figures(timing: Timing) -> list[str]:
    if timing.status != "ok":
        return ["-"] * len(_FIGURES)
    memory = timing.memory_bytes
    values = (
        timing.time_us, timing.host_us, timing.busy_us, timing.launches,
        timing.graph_launches, timing.syncs, timing.floor_us, timing.over_floor, None if memory is None else memory / 1e6,
    )  # fmt: skip
    return [number(value) for value in values]


def _ratio(timing: Timing, name: str) -> str:
    found = timing.to(name)
    if found is None or timing.status != "ok":
        return "-"
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def number(value: float | None) -> str:
    """Three figures that matter, `-` for what was not measured."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if value == int(value):
        return str(int(value))
    if abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def findings(report: BenchReport) -> list[str]:
    """Crossovers, what could not be measured, what is wrong, notes on single sides."""
    lines = []
    if report.machine.times_count:
        lines = [
            f"{curve.mode} by {curve.axis}: {c.side} {c.what}"
            + (f": {c.at:,.1f}" if c.at is not None else "")
            for curve in report.curves
            for c in curve.crossovers
        ]
    for point in report.points:
        for timing in point.timings:
            where = f"{timing.side} at {point.name}"
            if timing.status != "ok":
                lines.append(f"{timing.status}: {where}: {timing.reason}")
            lines += [
                f"unsure: {where} to {ratio.to}: {ratio.reason}"
                for ratio in timing.ratios
                if ratio.verdict == "UNSURE" and report.machine.times_count
            ]
    lines += dict.fromkeys(
        f"note: {timing.side}: {note}"
        for point in report.points
        for timing in point.timings
        for note in timing.notes
    )
    if report.min_speedup is not None:
        lines += [f"below --min-speedup: {text}" for text in report.min_speedup.below]
    return lines
