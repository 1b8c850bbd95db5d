"""Puts the report together, and decides the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from patcher import __version__
from patcher.results import SCHEMA_VERSION, Exit
from verify.bench.judge import Judge
from verify.bench.points import Plan
from verify.bench.report.curves import curve_report
from verify.bench.report.model import (
    BenchReport,
    Machine,
    MinSpeedup,
    PointReport,
    Ratio,
    TimedSide,
    Timing,
)
from verify.bench.run import Measured
from verify.bench.sides import ORIGINAL, Side
from verify.report.model import Incomplete
from verify.worker.bench.messages import Rates
from verify.worker.protocol import STANDINS, Hello, UsedModules

CPU_NOTE = (
    "This ran on a CPU, kernels in Triton's interpreter: its times mean nothing. "
    "It shows that the tool works and that the outputs are equal."
)
_SPEEDS = ("FASTER", "SAME", "UNSURE", "SLOWER", "WRONG", "EQUAL")  # of a CPU: EQUAL


@dataclass(frozen=True)
class Provenance:
    """What a report says besides what was measured.

    used: by side, what its worker imported; about: what the original's worker says of
    its machine; rates: of copies and synchronisations there; stopped: before its end.
    """

    sides: Sequence[Side]
    used: Mapping[str, UsedModules | None]
    about: Hello
    rates: Rates
    device: str
    seed: int
    arguments: Sequence[str]
    started: str
    seconds: float
    min_speedup: float | None
    notes: Sequence[str] = ()
    stopped: bool = False

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    def shown(self) -> list[Side]:
        return [side for side in self.sides if side.kind != "twin"]

    def standins(self, side: Side) -> list[str]:
        used = self.used.get(side.name)
        return used["standins"] if used else []


def build(run: Provenance, plan: Plan, found: Sequence[Measured]) -> BenchReport:
    """The report of a run: every point judged, the curves, the exit code."""
    rate = run.rates["copy_bytes_per_s"]
    points = [Judge(m, rate, run.seed, run.on_gpu).report() for m in found]
    stopped = Incomplete(done=len(points), of=len(plan.points)) if run.stopped else None
    asked = None if stopped else _min_speedup(points, run)
    code = Exit.INTERRUPTED if stopped else exit_code(points, asked)
    return BenchReport(
        schema_version=SCHEMA_VERSION,
        tool=f"nsa-opt {__version__}",
        command=shlex.join(["bench-nsa-opt", *run.arguments]),
        started=run.started,
        seconds=run.seconds,
        seed=run.seed,
        exit_code=int(code),
        incomplete=stopped,
        summary=_summary(points, asked, run, stopped),
        machine=_machine(run),
        sides=[_side(side, run) for side in run.shown()],
        points=points,
        curves=[curve_report(curve, points, ORIGINAL) for curve in plan.curves],
        min_speedup=asked,
        notes=[
            *([] if run.on_gpu else [CPU_NOTE]),
            *(_left(run, found) if stopped else ()),
            *run.notes,
            *_standins(run),
            *_real(run),
        ],
    )


def exit_code(points: Sequence[PointReport], asked: MinSpeedup | None) -> Exit:
    """1: a side's output is wrong, or slower than asked; 4: a side could not run."""
    statuses = {timing.status for point in points for timing in point.timings}
    if "wrong" in statuses or (asked and not asked.met):
        return Exit.DIFFERS
    return Exit.UNAVAILABLE if "failed" in statuses else Exit.DONE


def _routes(
    points: Sequence[PointReport], run: Provenance
) -> Iterator[tuple[PointReport, Timing, Ratio]]:
    """The routes' timings that were compared with the original's."""
    routes = {side.name for side in run.sides if side.kind == "route"}
    for point in points:
        for timing in point.timings:
            ratio = timing.to(ORIGINAL)
            if timing.side in routes and ratio is not None:
                yield point, timing, ratio


def _min_speedup(points: Sequence[PointReport], run: Provenance) -> MinSpeedup | None:
    """Routes whose interval's lower end, to the original, is below what was asked."""
    if run.min_speedup is None:
        return None
    found = list(_routes(points, run))
    below = [
        f"{timing.side} at {point.name}: {ratio.low:.2f}x"
        for point, timing, ratio in found
        if ratio.low < run.min_speedup or ratio.verdict == "WRONG"
    ]
    if not found:
        below.append("nothing was compared")
    return MinSpeedup(at_least=run.min_speedup, met=not below, below=below)


def _summary(
    points: Sequence[PointReport],
    asked: MinSpeedup | None,
    run: Provenance,
    stopped: Incomplete | None,
) -> str:
    speeds: list[str] = [ratio.verdict for _, _, ratio in _routes(points, run)]
    failed = sum(t.status == "failed" for point in points for t in point.timings)
    if not run.on_gpu:
        speeds = ["EQUAL" if speed == "UNSURE" else speed for speed in speeds]
    parts = [f"{n} {speed}" for speed in _SPEEDS if (n := speeds.count(speed))]
    parts += [f"{failed} failed"] if failed else []
    if asked is not None:
        state = "reached" if asked.met else f"missed {len(asked.below)} times"
        parts.append(f"--min-speedup {asked.at_least:g} {state}")
    done = stopped.words("points") if stopped else f"{len(points)} points"
    head = f"{done} in {run.seconds:.0f} s, routes against the original"
    return f"{head}: {', '.join(parts) or 'nothing compared'}"


def _left(run: Provenance, found: Sequence[Measured]) -> Iterator[str]:
    """What a run that was stopped does not say."""
    uncounted = sum(any(not d.profile for d in m.running) for m in found)
    if run.on_gpu and uncounted:
        yield (
            f"stopped before {uncounted} of {len(found)} points were counted: no launches "
            "and no GPU time there, and nothing shows whether a route fell back"
        )
    if run.min_speedup is not None:
        yield f"--min-speedup {run.min_speedup:g}: not judged, the run was stopped"


def _machine(run: Provenance) -> Machine:
    about, rates = run.about, run.rates
    return Machine(
        kind="cuda" if run.on_gpu else "cpu",
        name=about["device"],
        python=about["python"],
        torch=about["torch"],
        triton=about["triton"],
        times_count=run.on_gpu,
        copy_gb_s=rates["copy_bytes_per_s"] / 1e9,
        cache_bytes=rates["l2_bytes"],
        idle_sync_us=rates["idle_sync_us"],
    )


def _side(side: Side, run: Provenance) -> TimedSide:
    return TimedSide(
        name=side.name,
        kind=side.kind,  # type: ignore[arg-type]
        label=side.source.label,
        release=side.source.release,
        patches=list(side.source.applied),
        commit=side.source.commit,
        gates=side.env,
        blocked=list(side.blocked),
        files=dict(side.files),
        standins=run.standins(side),
    )


def _real(run: Provenance) -> Iterator[str]:
    """Kernels outside the tree, or compiled by it, that ran; and why others did not."""
    found: dict[str, dict[str, None]] = {}
    for side in run.shown():
        used = run.used.get(side.name)
        for name, what in (used["kernels"] if used else {}).items():
            if what != "stand-in":
                found.setdefault(what, {})[name] = None
    for what, names in sorted(found.items()):
        yield f"{what}: {', '.join(names)}"


def _standins(run: Provenance) -> Iterator[str]:
    """What stood in for a kernel that is not here, and on which sides."""
    stood_in: dict[str, list[str]] = {}
    for side in run.shown():
        for name in run.standins(side):
            stood_in.setdefault(name, []).append(side.name)
    for name, sides in stood_in.items():
        what = STANDINS.get(name, "a stand-in")
        if run.on_gpu:
            what = (
                "a stand-in with as many launches as its kernels; the host time of "
                "those launches is Triton's, not the kernels' own"
            )
        yield f"{', '.join(sides)}: {name}: {what}"
