"""What the plots show, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from verify.bench.points import MIDDLE, short
from verify.bench.report.model import BenchReport, CurveReport, PointReport, Timing

FLOOR = "floor: bytes at the copy rate"
_AXES = {"steps": "draft steps", "bs": "batch size", "length": "longest length, tokens"}


@dataclass(frozen=True)
class Series:
    """A side's (x, y) points, by x; `colour` is the side's place in the report."""

    name: str
    colour: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Figure:
    """One picture.

    kind: "bars", one y a side; "curves", points joined; "points", only the floor a line.
    Beside bars, y is logarithmic, and x too unless it counts steps.
    """

    kind: str
    name: str
    title: str
    x: str
    y: str
    series: tuple[Series, ...]

    @property
    def plain_x(self) -> bool:
        return self.x == _AXES["steps"]


def figures(report: BenchReport) -> list[Figure]:
    """Those that the report has the numbers for."""
    found = [*_by_mode(report), *(_curve(report, curve) for curve in report.curves)]
    if not any(curve.axis == "steps" for curve in report.curves):
        found += _steps(report)
    fewest = {"bars": 1}
    return [
        figure
        for figure in found
        if any(len(s.points) >= fewest.get(figure.kind, 2) for s in figure.series)
    ]


def middle(points: Sequence[PointReport]) -> PointReport:
    """The point nearest to four steps, a batch of 32 and 16k tokens."""

    def far(point: PointReport) -> int:
        steps, bs, length = MIDDLE
        steps = steps if point.mode == "decode" else point.steps
        return (point.steps != steps) + (point.bs != bs) + (point.length != length)

    return min(points, key=far)


def _by_mode(report: BenchReport) -> Iterator[Figure]:
    """Launches and time at the middle point, and GPU time over bytes."""
    for mode in dict.fromkeys(point.mode for point in report.points):
        points = [p for p in report.points if p.mode == mode]
        shown = middle(points)

        def bars(
            value: Callable[[Timing], float | None], shown: PointReport = shown
        ) -> tuple[Series, ...]:
            return _series(report, [shown], lambda p, t: 0.0, value)

        yield Figure(
            "bars", f"launches-{mode}", f"Launches of one replay call: {shown.name}",
            "kernels, copies and fills", "", bars(lambda t: t.launches),
        )  # fmt: skip
        yield Figure(
            "bars", f"cost-{mode}", f"Time of one replay call: {shown.name}",
            "µs, host and device", "", bars(lambda t: t.time_us),
        )  # fmt: skip
        yield _bytes(report, [p for p in points if not p.on_curve_only], mode)


def _bytes(report: BenchReport, points: Sequence[PointReport], mode: str) -> Figure:
    """GPU time over bytes, with the line that no copy of them gets below."""
    series = _series(
        report, points, lambda p, t: t.bytes_least, lambda t: t.busy_us or None
    )
    moved = [x for one in series for x, _ in one.points]
    if moved:
        rate = report.machine.copy_gb_s * 1e3  # bytes a µs
        floor = tuple((x, x / rate) for x in (min(moved), max(moved)))
        series = (*series, Series(FLOOR, 0, floor))
    return Figure(
        "points", f"bytes-{mode}", f"GPU time over the bytes that must move: {mode}",
        "bytes, read once and written once a destination", "µs", series,
    )  # fmt: skip


def _curve(report: BenchReport, curve: CurveReport) -> Figure:
    points = [p for p in report.points if p.name in set(curve.points)]
    first = points[0]
    held = {"steps": f"N={first.steps}", "bs": f"bs {first.bs}"}
    held["length"] = f"len {short(first.length)}"
    apart = (curve.axis,) if curve.mode == "decode" else (curve.axis, "steps")
    where = ", ".join(text for axis, text in held.items() if axis not in apart)
    what = f"Time of one replay call over {_AXES[curve.axis]}: {curve.mode}, {where}"
    return Figure(
        "curves", f"{curve.axis}-{curve.mode}", what, _AXES[curve.axis],
        "µs, host and device",
        _series(
            report, points, lambda p, t: float(getattr(p, curve.axis)),
            lambda t: t.time_us,
        ),
    )  # fmt: skip


def _steps(report: BenchReport) -> Iterator[Figure]:
    """Without a curve: the first size that was measured at several steps."""
    sizes: dict[tuple[int, int], list[str]] = {}
    for point in report.points:
        if point.mode == "decode":
            sizes.setdefault((point.bs, point.length), []).append(point.name)
    several = [(size, names) for size, names in sizes.items() if len(names) > 1]
    if several:
        _, names = min(several, key=lambda one: one[0][0] != MIDDLE[1])
        curve = CurveReport(mode="decode", axis="steps", points=names, crossovers=[])
        yield _curve(report, curve)


def _series(
    report: BenchReport,
    points: Sequence[PointReport],
    x: Callable[[PointReport, Timing], float | None],
    y: Callable[[Timing], float | None],
) -> tuple[Series, ...]:
    """Of the sides that are right, in the report's order: its place is the colour."""
    found: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        for timing in point.timings:
            place, value = x(point, timing), y(timing)
            if timing.status == "ok" and place is not None and value is not None:
                found.setdefault(timing.side, []).append((place, value))
    colours = {side.name: i for i, side in enumerate(report.sides)}
    return tuple(
        Series(name, colour, tuple(sorted(found[name])))
        for name, colour in colours.items()
        if name in found
    )
