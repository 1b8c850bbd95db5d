"""Draws the figures with matplotlib (the extra `plots`): SVG for page and README, PNG."""

from __future__ import annotations

import importlib
import io
import re
from dataclasses import dataclass
from html import escape
from typing import Any

from verify.bench.report.console import number
from verify.bench.report.figures import FLOOR, Figure, figures
from verify.bench.report.model import BenchReport

MISSING = (
    "no plots: matplotlib is not installed here (pip install 'nsa-opt[plots]'); "
    "`python -m verify.bench REPORT.json DIR` draws them where it is"
)
COLOURS = (
    "#8b949e", "#3b82c4", "#c08312", "#2f9e6e", "#d1495b",
    "#8a63d2", "#13a0b0", "#b0609f", "#7a8b1f", "#a0522d",
)  # fmt: skip
"""By a side's place in the report."""
_INK = "#787f87"  # reads on white and on black; in an SVG the reader's own colour
_THEMES = (
    "svg{color:#1c2024;font-family:'DejaVu Sans',sans-serif}"
    "@media(prefers-color-scheme:dark){svg{color:#e6e9ec}}"
)
_STYLE = {
    "font.size": 10, "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"],
    "svg.fonttype": "none", "savefig.transparent": True, "text.color": _INK,
    "axes.labelcolor": _INK, "axes.edgecolor": _INK, "xtick.color": _INK,
    "ytick.color": _INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 10, "axes.titlelocation": "left", "legend.fontsize": 8,
    "legend.frameon": False, "lines.markersize": 3.5,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A figure, drawn; `svg` is an element that can stand in a page or in a file."""

    name: str
    svg: str
    png: bytes


def draw(report: BenchReport) -> list[Plot]:
    """The report's figures; none without matplotlib. The same report gives the same."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ImportError:
        return []
    canvas: Any = importlib.import_module("matplotlib.figure").Figure
    machine = report.machine
    place = (
        machine.name if machine.times_count else "on a CPU: these times mean nothing"
    )
    plots = []
    for figure in figures(report):
        with matplotlib.rc_context({**_STYLE, "svg.hashsalt": figure.name}):
            bars = figure.kind == "bars"
            high = 1.0 + 0.3 * len(figure.series) if bars else 3.4
            drawn = canvas(figsize=(6.4, high), layout="constrained")
            axes = drawn.subplots()
            axes.set(title=figure.title, xlabel=figure.x, ylabel=figure.y)
            (_bars if bars else _lines)(figure, axes)
            drawn.supxlabel(place, fontsize=8, x=0.99, ha="right")
            plots.append(Plot(figure.name, _svg(figure, drawn), _saved(drawn, "png")))
    return plots


def _saved(drawn: Any, form: str, **extra: Any) -> bytes:
    out = io.BytesIO()
    drawn.savefig(out, format=form, dpi=160, **extra)
    return out.getvalue()


def _svg(figure: Figure, drawn: Any) -> str:
    """Text as text, in the reader's light or dark; no date and no ids of groups."""
    unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    text = _saved(drawn, "svg", metadata=unsaid).decode()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r"(\d\.\d\d)\d+", r"\1", re.sub(r"\s*\n\s*", "\n", text))
    text = re.sub(
        r"font-family: [^;]*; |; stroke-linecap: square| transform=\"rotate\(-0 [^\"]*\"",
        "",
        text,
    )
    named = f'<svg role="img" aria-label="{escape(figure.title)}" '
    text = text.replace("<svg ", named, 1)
    return text.replace("</style>", f"{_THEMES}</style>", 1)


def _bars(figure: Figure, axes: Any) -> None:
    values = [series.points[0][1] for series in figure.series]
    drawn = axes.barh(
        [series.name for series in figure.series], values, height=0.7,
        color=[COLOURS[series.colour % 10] for series in figure.series],
    )  # fmt: skip
    axes.bar_label(drawn, [number(value) for value in values], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.12)


def _lines(figure: Figure, axes: Any) -> None:
    for series in figure.series:
        x, y = zip(*series.points, strict=True)
        if series.name == FLOOR:
            axes.plot(x, y, "--", color=_INK, label=series.name)
        else:
            style = "s-" if figure.kind == "curves" else "s"
            colour = COLOURS[series.colour % 10]
            axes.plot(x, y, style, color=colour, label=series.name, mew=0)
    points = [point for series in figure.series for point in series.points]
    if not figure.plain_x:
        axes.set_xscale("log")
        _ticks(axes.xaxis, [x for x, _ in points])
    axes.set_yscale("log")
    _ticks(axes.yaxis, [y for _, y in points])
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _ticks(axis: Any, values: list[float]) -> None:
    """At powers of ten; where there are few of those, at twice and five times them."""
    ticker: Any = importlib.import_module("matplotlib.ticker")
    few = max(values) < 100 * min(values)
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(lambda value, _: short(value))
    axis.set_minor_locator(ticker.NullLocator())


def short(value: float) -> str:
    """1000 as `1k`, and so on."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
