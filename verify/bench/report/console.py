"""What a person reads: a table a mode, losses included, and one line that says it all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.bench.points import short
from verify.bench.report.model import BenchReport, PointReport, Ratio, Result, busy

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLES = {"FASTER": "green", "SLOWER": "red", "UNSURE": "yellow", "WRONG": "bold red"}
_COLUMNS = (
    "host µs", "host+dev µs", "GPU µs", "launches", "syncs", "floor µs", "x floor", "MB",
    "x original",
)  # fmt: skip


def render(report: BenchReport, console: Console) -> None:
    """The machine and its limits, the tables, curves, what failed, the summary."""
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
        console.print()
        console.print(_table(report, [p for p in points if p.mode == mode]))
    if len(points) < len(report.points):
        more = len(report.points) - len(points)
        console.print(f"\n{more} more points along curves: in --json and --report")
    console.print()
    for line in findings(report):
        console.print(line, highlight=False)
    style = "bold green" if report.exit_code == 0 else "bold red"
    console.print(report.summary, style=style, highlight=False)


def _table(report: BenchReport, points: list[PointReport]) -> Table:
    from rich.table import Table

    others = [side.name for side in report.sides if side.kind == "release"]
    mode = points[0].mode
    table = Table(box=None, pad_edge=False, header_style="bold", title=mode)
    table.title_justify = "left"
    for name in (["N"] if mode == "decode" else []) + ["bs", "len"]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("side", no_wrap=True)
    for name in (*_COLUMNS, *(f"x {other}" for other in others), "verdict"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in points:
        _rows(table, point, others)
    return table


def _rows(table: Table, point: PointReport, others: list[str]) -> None:
    place = [str(point.bs), short(point.length)]
    if point.mode == "decode":
        place.insert(0, str(point.steps))
    for result in point.results:
        if result.status == "not applicable":
            continue
        ratio = _to(result, "original")
        cells = [*place, result.side, *_cells(result)]
        cells += [_ratio(_to(result, name), result) for name in ("original", *others)]
        verdict = result.status.upper() if result.status != "ok" else ""
        verdict = verdict or (ratio.verdict if ratio else "")
        table.add_row(*cells, verdict, style=_STYLES.get(verdict, ""))
        place = [""] * len(place)


def _cells(result: Result) -> list[str]:
    if result.status != "ok":
        return ["-"] * (len(_COLUMNS) - 1)
    return [number(value) for value in _figures(result)]


def _figures(result: Result) -> tuple[float | None, ...]:
    memory = result.memory_bytes
    return (
        result.host_us, result.total_us, busy(result), result.launches, result.syncs,
        result.floor_us, result.over_floor, None if memory is None else memory / 1e6,
    )  # fmt: skip


def _ratio(ratio: Ratio | None, result: Result) -> str:
    if ratio is None or result.status != "ok":
        return "-"
    found = ratio.ratio
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]".replace(
        "[", r"\["
    )


def _to(result: Result, name: str) -> Ratio | None:
    return next((ratio for ratio in result.ratios if ratio.to == name), None)


def number(value: float | None) -> str:
    """Three figures that matter, `-` for what was not measured."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if value == int(value):
        return str(int(value))
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def findings(report: BenchReport) -> list[str]:
    """Crossovers, what could not be measured, what is wrong, notes on single sides."""
    lines = [
        f"{curve.mode} by {curve.axis}: {c.side} {c.what}"
        + (f": {c.at:,.1f}" if c.at is not None else "")
        for curve in report.curves
        for c in curve.crossovers
    ]
    for point in report.points:
        for result in point.results:
            where = f"{result.side} at {point.name}"
            if result.status != "ok":
                lines.append(f"{result.status}: {where}: {result.reason}")
            lines += [
                f"unsure: {where} to {ratio.to}: {ratio.reason}"
                for ratio in result.ratios
                if ratio.verdict == "UNSURE" and report.machine.times_count
            ]
    lines += dict.fromkeys(
        f"note: {result.side}: {note}"
        for point in report.points
        for result in point.results
        for note in result.notes
    )
    if report.min_speedup is not None:
        lines += [f"below --min-speedup: {text}" for text in report.min_speedup.below]
    return lines
