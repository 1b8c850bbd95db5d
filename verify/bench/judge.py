"""From what the sides gave to timings: checked against the original, then judged."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

from verify.bench import stats
from verify.bench.report.model import (
    Estimate,
    Kernel,
    PointReport,
    Ratio,
    Rounds,
    Status,
    Timing,
)
from verify.bench.run import Measured, Samples, original, reference
from verify.bench.sides import Side
from verify.worker.bench.messages import KernelTime

_REFERENCES = {"route": ("original", "release")}  # of other kinds: the original alone


@dataclass(frozen=True)
class Judge:
    """Judges one point. copy_bytes_per_s: of large copies on this device."""

    measured: Measured
    copy_bytes_per_s: float
    seed: int
    on_gpu: bool

    def report(self) -> PointReport:
        """The point's timings. Sides whose output differs are not judged."""
        planned = self.measured.planned
        point, effort = planned.point, planned.effort
        shown = [found for found in self.measured.samples if found.side.kind != "twin"]
        return PointReport(
            name=str(point), on_curve_only=not planned.every_side, mode=point.mode,
            steps=point.steps, bs=point.bs, length=point.length,
            page_size=point.page_size, decode_kernel=point.impl,
            draft_tokens=point.draft, context=point.context,
            input_sets=self.measured.sets,
            rounds=effort.rounds, calls=effort.calls,
            timings=[self._timing(found, shown) for found in shown],
        )  # fmt: skip

    def check(self, found: Samples) -> tuple[Status, str]:
        """Whether a side's figures count: it ran as it should, with equal buffers."""
        base = reference(self.measured)
        if found.problem is not None:
            return found.problem
        if found is original(self.measured):
            return "ok", self._stale(found, base)
        if base.problem is not None:
            return "wrong", "the original failed, so the outputs were not compared"
        if not set(found.digests) & set(base.digests):
            return "wrong", f"no buffer in common with {base.side.name}'s"
        differing = _differing(found, base)
        if differing:
            more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
            whose = "the original's" if not base.side.mended else f"{base.side.name}'s"
            return "wrong", f"{differing[0]}{more} differ from {whose}"
        fallen = self._fallen_back(found)
        if fallen:
            return "wrong", f"fell back: the call launched {fallen}"
        untimed = self._graph_untimed(found) if found.side.twin else ""
        return ("failed", untimed) if untimed else ("ok", "")

    def _stale(self, found: Samples, base: Samples) -> str:
        """What the release itself leaves wrong, for a reader of its time."""
        stale = _differing(found, base)
        return f"leaves {len(stale)} buffers stale, {stale[0]} first" if stale else ""

    def _fallen_back(self, found: Samples) -> str:
        """What the profile says against the route's own kernels having run."""
        if found.profile is None:
            return ""
        for pattern in found.side.kernels:
            wanted = pattern.format(mode=self.measured.planned.point.mode)
            if not fnmatch.filter(found.profile["kernels"], wanted):
                return f"no kernel {wanted}"
        outside = found.side.graph and found.profile["launches"]
        return "work outside the graph" if outside else ""

    def _graph_untimed(self, found: Samples) -> str:
        """What a graph adds is a difference: without both of its terms it is unknown."""
        for side in (found, self.measured.of(found.side.twin)):
            if side is None or side.problem or not side.graph:
                why = side.problem[1] if side and side.problem else "not timed"
                return f"the graph to subtract, or to subtract from: {why}"
            slow = stats.median(side.launch) > 0.9 * stats.median(side.graph)
            if self.on_gpu and slow:
                return "the host launched graphs too slowly to time them"
        return ""

    def _added(self, found: Samples) -> list[float]:
        """By round: the graph with the route's kernel minus the graph without it."""
        twin = self.measured.of(found.side.twin)
        if twin is None or twin.problem or found.problem:
            return []
        return [a - b for a, b in zip(found.graph, twin.graph, strict=True)]

    def _in_graph(self, found: Samples) -> dict[str, KernelTime] | None:
        """What the route's graph runs and the graph without it does not, by name."""
        twin = self.measured.of(found.side.twin)
        if not (twin and twin.profile and found.profile):
            return None
        added = {}
        for name, kernel in found.profile["graph_kernels"].items():
            own = twin.profile["graph_kernels"].get(name, KernelTime(launches=0, us=0))
            launches = kernel["launches"] - own["launches"]
            if launches > 0:
                added[name] = KernelTime(launches=launches, us=kernel["us"] - own["us"])
        return added

    def _times(self, found: Samples) -> list[float]:
        """By round: the call until the GPU is idle, and what it adds to its graph."""
        added = self._added(found) or [0.0] * len(found.call)
        return [a + b for a, b in zip(found.call, added, strict=True)]

    def _timing(self, found: Samples, shown: list[Samples]) -> Timing:
        status, reason = self.check(found)
        added, times = self._added(found), self._times(found)
        zeros = [0.0] * len(added)
        extra = stats.difference(added, zeros, self.seed) if added else None
        facts, profile = found.facts, found.profile
        inside = self._in_graph(found)
        busy = stats.median(profile["device"] or [0.0]) if profile else None
        if busy is not None and extra is not None:
            busy += extra.value
        least = facts["bytes_least"] if facts else None
        return Timing(
            side=found.side.name,
            status=status,
            reason=reason,
            destinations=facts["destinations"] if facts else None,
            host_us=_median(found.host),
            time_us=_median(times),
            busy_us=busy,
            added_us=_estimate(extra) if extra else None,
            launches=profile["launches"] if profile else None,
            graph_launches=None
            if inside is None
            else sum(kernel["launches"] for kernel in inside.values()),
            syncs=profile["syncs"] if profile else None,
            bytes_least=least,
            floor_us=least / self.copy_bytes_per_s * 1e6 if least else None,
            memory_bytes=facts["memory_bytes"] if facts and self.on_gpu else None,
            ratios=tuple(
                self._ratio(other, times, status)
                for other in shown
                if other is not found
                and self._refers(found.side, other.side)
                and self.check(other)[0] == "ok"
                and times
            ),
            notes=tuple(f"warned: {text}" for text in facts["warnings"])
            if facts
            else (),
            rounds=Rounds(host=found.host, call=found.call, added=added),
            kernels=_kernels(profile["kernels"]) if profile else (),
            graph_kernels=_kernels(inside or {}),
        )

    @staticmethod
    def _refers(side: Side, other: Side) -> bool:
        """Whether a side's time is set against the other's."""
        if side.kind == "route" and other.mended:
            return True
        return other.kind in _REFERENCES.get(side.kind, ("original",))

    def _ratio(self, other: Samples, times: list[float], status: Status) -> Ratio:
        interval = stats.ratio(self._times(other), times, self.seed)
        judged = stats.judge(interval, len(times), self.on_gpu)
        if status != "ok":
            judged = stats.Judged("WRONG", "its output is wrong: no time of it counts")
        return Ratio(
            **vars(_estimate(interval)),
            to=other.side.name,
            verdict=judged.verdict,
            reason=judged.reason,
        )


def _differing(found: Samples, base: Samples) -> list[str]:
    """Names of the buffers that both have, and that are not the same."""
    return [
        name
        for name, digest in found.digests.items()
        if base.digests.get(name, digest) != digest
    ]


def _kernels(found: Mapping[str, KernelTime]) -> tuple[Kernel, ...]:
    return tuple(
        Kernel(name=name, launches=k["launches"], us=k["us"])
        for name, k in sorted(found.items(), key=lambda item: -item[1]["us"])
    )


def _median(values: list[float]) -> float | None:
    return stats.median(values) if values else None


def _estimate(interval: stats.Interval) -> Estimate:
    return Estimate(value=interval.value, low=interval.low, high=interval.high)
