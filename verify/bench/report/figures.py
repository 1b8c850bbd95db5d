"""What the plots show, as values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from verify.bench.points import short
from verify.bench.report.model import (
    BenchReport,
    CurveReport,
    PointReport,
    Timing,
)

FLOOR = "floor: bytes at the copy rate"
_AXES = {"steps": "draft steps", "bs": "batch size", "length": "longest length, tokens"}
_MIDDLE = (4, 32, 16 * 1024)


@dataclass(frozen=True)
class Series:
    """A line through (x, y) points, by x; `colour` is the side's place in the report."""

    name: str
    colour: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Lines:
    """A figure of lines; `plain_x` keeps x linear, y is logarithmic.

    joined: a series' points lie on one curve; else only the floor is a line.
    """

    name: str
    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    plain_x: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Bar:
    """One side's value; `colour` as in Series."""

    name: str
    colour: int
    value: float


@dataclass(frozen=True)
class Bars:
    """A figure of bars, one a side."""

    name: str
    title: str
    unit: str
    bars: tuple[Bar, ...]


Figure = Lines | Bars


def figures(report: BenchReport) -> list[Figure]:
    """Those that the report has the numbers for."""
    found: list[Figure] = []
    colours = _colours(report)
    for mode in dict.fromkeys(point.mode for point in report.points):
        points = [p for p in report.points if p.mode == mode]
        shown = middle(points)
        found += [
            Bars(
                f"launches-{mode}",
                f"Launches of one replay call: {shown.name}",
                "kernels, copies and fills",
                _bars(shown, colours, lambda t: t.launches),
            ),
            Bars(
                f"cost-{mode}",
                f"Time of one replay call: {shown.name}",
                "µs, host and device",
                _bars(shown, colours, lambda t: t.time_us),
            ),
            _bytes(report, [p for p in points if not p.on_curve_only], mode),
        ]
    found += [_curve(report, curve) for curve in report.curves]
    if not any(curve.axis == "steps" for curve in report.curves):
        found += _steps(report)
    return [figure for figure in found if not _empty(figure)]


def _colours(report: BenchReport) -> dict[str, int]:
    """The same colour for a side in every figure."""
    return {side.name: i for i, side in enumerate(report.sides)}


def middle(points: Sequence[PointReport]) -> PointReport:
    """The point nearest to four steps, a batch of 32 and 16k tokens."""

    def far(point: PointReport) -> int:
        steps, bs, length = _MIDDLE
        steps = steps if point.mode == "decode" else point.steps
        return (point.steps != steps) + (point.bs != bs) + (point.length != length)

    return min(points, key=far)


def _bars(
    point: PointReport,
    colours: dict[str, int],
    value: Callable[[Timing], float | None],
) -> tuple[Bar, ...]:
    values = [(t.side, value(t)) for t in point.timings if t.status == "ok"]
    return tuple(Bar(side, colours[side], v) for side, v in values if v is not None)


def _bytes(report: BenchReport, points: Sequence[PointReport], mode: str) -> Lines:
    """GPU time over bytes, with the line that no copy of them gets below."""
    series = _series(report, points, lambda p, t: t.bytes_least, lambda t: t.busy_us)
    moved = [x for one in series for x, _ in one.points]
    if moved:
        rate = report.machine.copy_gb_s * 1e3  # bytes a µs
        floor = tuple((x, x / rate) for x in (min(moved), max(moved)))
        series = (*series, Series(FLOOR, 0, floor))
    return Lines(
        f"bytes-{mode}",
        f"GPU time over the bytes that must move: {mode}",
        "bytes, read once and written once a destination",
        "µs",
        series,
        joined=False,
    )


def _curve(report: BenchReport, curve: CurveReport) -> Lines:
    names = set(curve.points)
    points = [p for p in report.points if p.name in names]
    held = ", ".join(_held(points[0], curve.axis)) if points else ""
    return Lines(
        f"{curve.axis}-{curve.mode}",
        f"Time of one replay call over {_AXES[curve.axis]}: {curve.mode}, {held}",
        _AXES[curve.axis],
        "µs, host and device",
        _series(
            report,
            points,
            lambda p, t: float(getattr(p, curve.axis)),
            lambda t: t.time_us,
        ),
        plain_x=curve.axis == "steps",
    )


def _held(point: PointReport, axis: str) -> list[str]:
    found = {"steps": f"N={point.steps}", "bs": f"bs {point.bs}"}
    found["length"] = f"len {short(point.length)}"
    if point.mode != "decode":
        del found["steps"]
    found.pop(axis, None)
    return list(found.values())


def _steps(report: BenchReport) -> list[Figure]:
    """Without a curve: the first size that was measured at several steps."""
    sizes: dict[tuple[int, int], list[PointReport]] = {}
    for point in report.points:
        if point.mode == "decode":
            sizes.setdefault((point.bs, point.length), []).append(point)
    several = [points for points in sizes.values() if len(points) > 1]
    several.sort(key=lambda points: points[0].bs != _MIDDLE[1])
    for points in several[:1]:
        names = [point.name for point in points]
        curve = CurveReport(mode="decode", axis="steps", points=names, crossovers=[])
        return [_curve(report, curve)]
    return []


def _series(
    report: BenchReport,
    points: Sequence[PointReport],
    x: Callable[[PointReport, Timing], float | None],
    y: Callable[[Timing], float | None],
) -> tuple[Series, ...]:
    found: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        for timing in point.timings:
            place, value = x(point, timing), y(timing)
            if timing.status == "ok" and place and value and value > 0:
                found.setdefault(timing.side, []).append((place, value))
    return tuple(
        Series(name, colour, tuple(sorted(found[name])))
        for name, colour in _colours(report).items()
        if name in found
    )


def _empty(figure: Figure) -> bool:
    if isinstance(figure, Bars):
        return not figure.bars
    return not any(len(series.points) > 1 for series in figure.series)
