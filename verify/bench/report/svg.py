"""Draws a figure as inline SVG; colours come from the page, so they follow its theme."""

from __future__ import annotations

import math
from html import escape

from verify.bench.report.console import number
from verify.bench.report.figures import FLOOR, Bars, Figure, Lines

_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 190, 16, 44
_BAR = 26


def draw(figure: Figure) -> str:
    """An <svg> element; series k has the classes `c<k>`."""
    return _bars(figure) if isinstance(figure, Bars) else _lines(figure)


def _svg(width: int, height: int, title: str, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _bars(figure: Bars) -> str:
    most = max(bar.value for bar in figure.bars) or 1
    left, room = 150, _WIDTH - 150 - 90
    parts = []
    for i, bar in enumerate(figure.bars):
        y = 8 + i * _BAR
        width = max(1.0, bar.value / most * room)
        parts += [
            _text(left - 8, y + 15, bar.name, "end"),
            f'<rect class="c{bar.colour % 10} fill" x="{left}" y="{y}" '
            f'width="{width:.1f}" height="{_BAR - 8}"/>',
            _text(left + width + 6, y + 15, number(bar.value)),
        ]
    height = 8 + len(figure.bars) * _BAR + 22
    parts.append(_text(left, height - 6, figure.unit))
    return _svg(_WIDTH, height, figure.title, parts)


def _lines(figure: Lines) -> str:
    points = [p for series in figure.series for p in series.points]
    x0, x1 = _range([x for x, _ in points], not figure.plain_x)
    y0, y1 = _range([y for _, y in points], True)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(x: float) -> float:
        return _LEFT + _share(x, x0, x1, not figure.plain_x) * wide

    def down(y: float) -> float:
        return _TOP + (1 - _share(y, y0, y1, True)) * high

    parts = []
    for tick in _ticks(x0, x1, not figure.plain_x):
        at = across(tick)
        parts.append(f'<path class="grid" d="M{at:.1f} {_TOP}V{_TOP + high}"/>')
        parts.append(_text(at, _TOP + high + 16, _short(tick), "middle"))
    for tick in _ticks(y0, y1, True):
        at = down(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{_LEFT + wide}"/>')
        parts.append(_text(_LEFT - 6, at + 4, _short(tick), "end"))
    for i, series in enumerate(figure.series):
        style = "floor" if series.name == FLOOR else f"c{series.colour % 10}"
        places = [f"{across(x):.1f} {down(y):.1f}" for x, y in series.points]
        if figure.joined or series.name == FLOOR:
            parts.append(f'<path class="line {style}" d="M{"L".join(places)}"/>')
        if series.name != FLOOR:
            parts += [
                f'<circle class="{style} fill" cx="{place.split()[0]}" '
                f'cy="{place.split()[1]}" r="3"/>'
                for place in places
            ]
        y = _TOP + 12 + i * 18
        start = _WIDTH - _RIGHT + 12
        parts.append(f'<path class="line {style}" d="M{start} {y - 4}h18"/>')
        parts.append(_text(start + 24, y, series.name))
    parts.append(_text(_LEFT + wide / 2, _HEIGHT - 6, figure.x, "middle"))
    parts.append(_text(6, _TOP + 4, figure.y))
    return _svg(_WIDTH, _HEIGHT, figure.title, parts)


def _range(values: list[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        return low / 1.25, high * 1.25
    margin = (high - low or 1) * 0.04
    return low - margin, high + margin


def _share(value: float, low: float, high: float, log: bool) -> float:
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _ticks(low: float, high: float, log: bool) -> list[float]:
    if not log:
        return [float(n) for n in range(math.ceil(low), math.floor(high) + 1)]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    tens = [10.0**n for n in range(first, last + 1)]
    inside = [t for t in tens if low <= t <= high]
    if len(inside) > 2:
        return inside
    finer = [ten * n for ten in tens for n in (1, 2, 5)]
    return [t for t in finer if low <= t <= high]


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
