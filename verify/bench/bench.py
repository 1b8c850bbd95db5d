"""What `bench-nsa-opt` does once its options are read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from patcher.cli.outputs import STDOUT
from patcher.results import Exit, Reason, Refusal, misused
from verify.bench import sides
from verify.bench.points import Plan, PointError, Request, plan
from verify.bench.report.build import Provenance, build
from verify.bench.report.console import render
from verify.bench.report.model import BenchReport
from verify.bench.report.write import write
from verify.bench.run import Workers, run
from verify.cli.progress import Progress, Stopwatch, say
from verify.report.console import terminal
from verify.routes import unfit
from verify.sides import probe
from verify.sides.process import WorkerDied


@dataclass(frozen=True)
class BenchOptions:
    """The command line."""

    tree: Path
    against: tuple[str, ...]
    routes: tuple[str, ...]
    request: Request
    seed: int
    device: str
    python: str | None
    min_speedup: float | None
    json: Path | None
    report: Path | None
    arguments: tuple[str, ...]


def work(options: BenchOptions) -> Exit:
    """Measure, print, write. Raises `Refusal`."""
    report = bench(options)
    render(report, terminal(beside=options.json == STDOUT, width=200))
    write(report, options.report, options.json, say)
    return Exit(report.exit_code)


def bench(options: BenchOptions) -> BenchReport:
    """Run what the options ask for; stopped, the report is of the points timed by then.

    Raises `Refusal`, and KeyboardInterrupt if there are none.
    """
    device = probe.device(options.device, options.python)
    if device == "cpu" and options.min_speedup is not None:
        what = "--min-speedup: there is no GPU here, and a CPU's times mean nothing"
        raise Refusal(Reason("", "", what), code=Exit.UNAVAILABLE)
    clock = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="nsa-bench-") as folder:
        found = sides.resolve(
            options.tree, options.against, options.routes, Path(folder), say,
            quick=options.request.quick, kernels=device != "cpu",
        )  # fmt: skip
        planned = _plan(options.request, device, found)
        with Workers(found, device, options.seed, options.python, say) as workers:
            try:
                about = workers.start()
            except WorkerDied as death:
                raise _no_worker(death) from None
            with Progress("timing", len(planned.points)) as bar:
                measured = run(workers, planned.points, bar.step)
            provenance = Provenance(
                sides=found,
                used={side.name: workers.used(side) for side in found},
                about=about,
                rates=workers.rates,
                device=device,
                seed=options.seed,
                arguments=options.arguments,
                started=clock.started,
                seconds=clock.seconds,
                min_speedup=options.min_speedup,
                stopped=workers.stopped,
                notes=(*workers.notes, *unfit(found[0].source.release)),
            )
    return build(provenance, planned, measured)


def _plan(request: Request, device: str, found: tuple[sides.Side, ...]) -> Plan:
    routed = {mode for s in found if s.kind == "route" for mode in s.modes}
    try:
        return plan(request, device, routed)
    except PointError as error:
        raise misused("", str(error)) from None


def _no_worker(death: WorkerDied) -> Refusal:
    lines = " | ".join(death.broken.where)
    what = f"the original's worker failed: {death.broken.message}"
    return Refusal(Reason("", "", what, lines), code=Exit.UNAVAILABLE)
