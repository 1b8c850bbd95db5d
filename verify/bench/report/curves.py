"""Where sides cross along a curve: the point from which on one costs less."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from verify.bench.points import Curve
from verify.bench.report.model import Crossover, CurveReport, PointReport, Timing


def curve_report(
    curve: Curve, points: Sequence[PointReport], original: str
) -> CurveReport:
    """A curve's points in order, and where sides cross along it."""
    by_name = {point.name: point for point in points}
    along = [by_name[str(p)] for p in curve.points if str(p) in by_name]
    names = dict.fromkeys(r.side for p in along for r in p.timings)
    crossovers = [
        found
        for name in names
        if name != original
        for found in crossings(name, _gains(along, curve.axis, name, original))
    ]
    return CurveReport(
        mode=curve.mode,
        axis=curve.axis,  # type: ignore[arg-type]
        points=[p.name for p in along],
        crossovers=crossovers,
    )


def crossings(side: str, gains: Sequence[tuple[float, float]]) -> list[Crossover]:
    """Crossings of gain 1 in (axis value, original / side) pairs, in axis order.

    Between two points the crossing is interpolated, both scales logarithmic.
    """
    if not gains:
        return []
    found = []
    for (x0, g0), (x1, g1) in itertools.pairwise(gains):
        if (g0 > 1) != (g1 > 1):
            share = math.log(g0) / (math.log(g0) - math.log(g1))
            at = x0 * (x1 / x0) ** share
            what = "costs less from here on" if g1 > 1 else "costs more from here on"
            found.append(Crossover(side=side, at=at, what=what))
    if not found:
        always = "always costs less" if gains[0][1] > 1 else "never costs less"
        found.append(Crossover(side=side, at=None, what=always))
    return found


def _gains(
    points: Sequence[PointReport], axis: str, side: str, original: str
) -> list[tuple[float, float]]:
    gains = []
    for point in points:
        new, old = _find(point, side), _find(point, original)
        if new and old and new.time_us and old.time_us and new.status == "ok":
            gains.append((float(getattr(point, axis)), old.time_us / new.time_us))
    return gains


def _find(point: PointReport, side: str) -> Timing | None:
    return next((r for r in point.timings if r.side == side), None)
