"""PNG and SVG plots for a README, drawn with matplotlib (the extra `plots`)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from verify.bench.report.build import CPU_NOTE
from verify.bench.report.console import number
from verify.bench.report.figures import FLOOR, Bars, Figure, Lines, figures
from verify.bench.report.model import BenchReport

COLOURS = (
    "#8b949e", "#3b82c4", "#c98a16", "#2f9e6e", "#d1495b",
    "#8a63d2", "#13a0b0", "#b0609f", "#7a8b1f", "#a0522d",
)  # fmt: skip
"""By a side's place in the report; page.css has the same."""


def write(report: BenchReport, folder: Path) -> list[str]:
    """The names of the files written below `folder`. Raises ImportError, OSError."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")

    names = []
    # No date and no random ids: the same report gives the same files.
    settings = {"svg.hashsalt": "nsa-opt", "font.size": 10}
    with matplotlib.rc_context(settings):
        for figure in figures(report):
            canvas, axes = pyplot.subplots(figsize=_size(figure), layout="constrained")
            _draw(figure, axes)
            _sign(report, canvas)
            for ending, extra in (("png", {}), ("svg", {"metadata": {"Date": None}})):
                names.append(f"{figure.name}.{ending}")
                canvas.savefig(folder / names[-1], dpi=160, **extra)
            pyplot.close(canvas)
    return names


def _size(figure: Figure) -> tuple[float, float]:
    if isinstance(figure, Bars):
        return 7.2, 1.1 + 0.34 * len(figure.bars)
    return 7.2, 4.2


def _sign(report: BenchReport, canvas: Any) -> None:
    """Where it was measured, below; in red where it means nothing."""
    on_cpu = not report.machine.times_count
    text = CPU_NOTE.split(":", maxsplit=1)[0] if on_cpu else report.machine.name
    colour = "red" if on_cpu else "gray"
    canvas.supxlabel(text, fontsize=8, color=colour, x=0.99, ha="right")


def _draw(figure: Figure, axes: Any) -> None:
    axes.set_title(figure.title, fontsize=10, loc="left")
    if isinstance(figure, Bars):
        _bars(figure, axes)
    else:
        _lines(figure, axes)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _bars(figure: Bars, axes: Any) -> None:
    names = [bar.name for bar in figure.bars]
    values = [bar.value for bar in figure.bars]
    colours = [COLOURS[bar.colour % 10] for bar in figure.bars]
    drawn = axes.barh(names, values, color=colours, height=0.7)
    axes.bar_label(drawn, [number(value) for value in values], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(figure.unit)


def _lines(figure: Lines, axes: Any) -> None:
    for series in figure.series:
        x, y = zip(*series.points, strict=True)
        if series.name == FLOOR:
            axes.plot(x, y, "--", color="gray", label=series.name)
        else:
            style = ".-" if figure.joined else "."
            colour = COLOURS[series.colour % 10]
            axes.plot(x, y, style, color=colour, label=series.name)
    if not figure.plain_x:
        axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(figure.x)
    axes.set_ylabel(figure.y)
    axes.grid(alpha=0.3)
    beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    axes.legend(fontsize=8, frameon=False, **beside)
