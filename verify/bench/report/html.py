"""The report as one page that needs nothing else; light or dark as the reader has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from verify.bench.points import short
from verify.bench.report import svg
from verify.bench.report.console import findings, number
from verify.bench.report.figures import figures
from verify.bench.report.model import (
    BenchReport,
    Kernel,
    PointReport,
    Ratio,
    Result,
    busy,
)

_HEADS = (
    "host µs", "host+device µs", "GPU µs", "launches", "host syncs", "floor µs",
    "× floor", "memory MB",
)  # fmt: skip


def render(report: BenchReport) -> str:
    """The whole page as text."""
    style = (
        files("verify.bench.report").joinpath("page.css").read_text(encoding="utf-8")
    )
    modes = dict.fromkeys(point.mode for point in report.points)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width">',
        f"<title>bench-nsa-opt: {escape(report.machine.name)}</title>",
        f"<style>{style}</style><body>",
        _head(report),
        *(_mode(report, mode) for mode in modes),
        "<h2>Plots</h2>",
        *(
            f"<figure><h3>{escape(f.title)}</h3>{svg.draw(f)}</figure>"
            for f in figures(report)
        ),
        _found(report),
        _kernels(report),
        _sides(report),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _head(report: BenchReport) -> str:
    machine = report.machine
    alarm = (
        "" if machine.times_count else f'<p class="alarm">{escape(report.notes[0])}</p>'
    )
    notes = report.notes[0 if machine.times_count else 1 :]
    verdict = "FASTER" if report.exit_code == 0 else "WRONG"
    idle = (
        f" An idle synchronisation takes {machine.idle_sync_us:.1f} µs; every "
        "host+device time contains one."
        if machine.idle_sync_us
        else ""
    )
    return f"""<h1>bench-nsa-opt</h1>
<p class="dim">{escape(machine.name)} · torch {escape(machine.torch)} · Triton
{escape(machine.triton or "-")} · Python {escape(machine.python)} · {escape(report.started)}
· {escape(report.tool)}</p>
{alarm}
<p class="{verdict}">{escape(report.summary)}</p>
<p>Each side has a process of its own; they took turns in shuffled rounds (seed
{report.seed}). Figures are medians over rounds; brackets hold the 95% bootstrap interval of
a ratio, rounds resampled. Copies here run at {machine.copy_gb_s:,.0f} GB/s, read and write
together: the floor is the least bytes at that rate.{idle} The route in-graph is charged
what it adds to its graph.</p>
<pre>{escape(report.command)}</pre>
{_list(notes)}"""


def _mode(report: BenchReport, mode: str) -> str:
    others = [side.name for side in report.sides if side.kind == "release"]
    ratios = ["× original", *(f"× {name}" for name in others)]
    first = (["N"] if mode == "decode" else []) + ["bs", "len"]
    heads = "".join(f"<th>{escape(name)}</th>" for name in first)
    heads += '<th class="name">side</th>'
    heads += "".join(
        f"<th>{escape(name)}</th>" for name in (*_HEADS, *ratios, "verdict")
    )

    def table(on_curve_only: bool) -> str:
        rows = [
            row
            for point in report.points
            if point.mode == mode and point.on_curve_only == on_curve_only
            for row in _rows(point, others)
        ]
        lines = "\n".join([f"<tr>{heads}</tr>", *rows])
        return f'<div class="scroll"><table>{lines}</table></div>' if rows else ""

    more = table(True)
    if more:
        more = f"<details><summary>Points along curves</summary>{more}</details>"
    return f"<h2>{escape(mode)}</h2>{table(False)}{more}"


def _rows(point: PointReport, others: Sequence[str]) -> Iterable[str]:
    place = [str(point.bs), short(point.length)]
    if point.mode == "decode":
        place.insert(0, str(point.steps))
    kind = ' class="point"'
    for result in point.results:
        if result.status == "not applicable":
            continue
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in place)
        cells += f'<td class="name">{escape(result.side)}</td>'
        cells += "".join(f"<td>{number(v)}</td>" for v in _values(result))
        for name in ("original", *others):
            ratio = next((r for r in result.ratios if r.to == name), None)
            cells += f"<td>{_ratio(ratio, result)}</td>"
        yield f"<tr{kind}>{cells}{_verdict(result)}</tr>"
        place, kind = [""] * len(place), ""


def _values(result: Result) -> tuple[float | None, ...]:
    if result.status != "ok":
        return (None,) * len(_HEADS)
    memory = result.memory_bytes
    return (
        result.host_us, result.total_us, busy(result), result.launches, result.syncs,
        result.floor_us, result.over_floor, None if memory is None else memory / 1e6,
    )  # fmt: skip


def _ratio(ratio: Ratio | None, result: Result) -> str:
    if ratio is None or result.status != "ok":
        return "-"
    found = ratio.ratio
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def _verdict(result: Result) -> str:
    ratio = next((r for r in result.ratios if r.to == "original"), None)
    text = str(ratio.verdict) if ratio else ""
    reason = ratio.reason if ratio else ""
    if result.status != "ok":
        text, reason = result.status.upper(), result.reason
    return f'<td class="{text}" title="{escape(reason, quote=True)}">{text}</td>'


def _found(report: BenchReport) -> str:
    lines = findings(report)
    return f"<h2>Crossovers, notes, failures</h2>{_list(lines)}" if lines else ""


def _kernels(report: BenchReport) -> str:
    """Where the GPU time of each call goes."""
    parts = []
    for point in report.points:
        rows = [
            f"{result.side:14} {kernel.launches:6g}x {kernel.us:10.2f} µs  {kernel.name}"
            for result in point.results
            for kernel in (*result.kernels[:8], *_inside(result))
        ]
        if rows:
            text = escape("\n".join(rows))
            parts.append(
                f"<details><summary>{escape(point.name)}</summary><pre>{text}</pre></details>"
            )
    return (
        "<h2>Kernels of a call, the longest eight</h2>" + "".join(parts)
        if parts
        else ""
    )


def _inside(result: Result) -> list[Kernel]:
    """The graph's kernels, named as such; the bench's own consumer is among them."""
    return [
        kernel.model_copy(update={"name": f"in the graph: {kernel.name}"})
        for kernel in result.graph_kernels[:8]
    ]


def _sides(report: BenchReport) -> str:
    parts = []
    for side in report.sides:
        rows = [f"{gate}={value}" for gate, value in side.gates.items()]
        rows += [f"blocked: {name}" for name in side.blocked]
        rows += [f"stand-in: {name}" for name in side.standins]
        rows += [f"{digest}  {name}" for name, digest in side.files.items()]
        head = f"{side.name}: {side.label} ({side.release})"
        text = escape("\n".join(rows))
        parts.append(
            f"<details><summary>{escape(head)}</summary><pre>{text}</pre></details>"
        )
    return "<h2>Sides</h2>" + "".join(parts)


def _list(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""
