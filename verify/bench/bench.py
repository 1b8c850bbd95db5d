"""What `bench-nsa-opt` does once its options are read."""

from __future__ import annotations

import datetime
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patcher.cli.outputs import STDOUT
from patcher.results import Exit, Reason, Refusal, require_known
from verify.bench import sides
from verify.bench.points import Plan, PointError, Request, plan
from verify.bench.report.build import Provenance, build
from verify.bench.report.console import render
from verify.bench.report.model import BenchReport
from verify.bench.report.write import write
from verify.bench.run import Workers, run
from verify.cli.options import DEVICES
from verify.cli.progress import Progress
from verify.routes import unfit
from verify.sides.probe import has_cuda, require_interpreter
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
    render(report, _console(beside=options.json == STDOUT))
    write(report, options.report, options.json, progress)
    return Exit(report.exit_code)


def bench(options: BenchOptions) -> BenchReport:
    """Run what the options ask for. Raises `Refusal`."""
    device = _device(options)
    began, started = time.monotonic(), datetime.datetime.now(datetime.timezone.utc)
    with tempfile.TemporaryDirectory(prefix="nsa-bench-") as folder:
        found = sides.resolve(
            options.tree, options.against, options.routes, Path(folder), progress,
            quick=options.request.quick, kernels=device != "cpu",
        )  # fmt: skip
        planned = _plan(options.request, device, found)
        with Workers(found, device, options.seed, options.python, progress) as workers:
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
                started=started.isoformat(timespec="seconds"),
                seconds=time.monotonic() - began,
                min_speedup=options.min_speedup,
                notes=(*workers.notes, *unfit(found[0].source.release)),
            )
    return build(provenance, planned, measured)


def _plan(request: Request, device: str, found: tuple[sides.Side, ...]) -> Plan:
    routed = {mode for s in found if s.kind == "route" for mode in s.modes}
    try:
        return plan(request, device, routed)
    except PointError as error:
        raise Refusal(
            Reason("", "", str(error), "see --help"), code=Exit.USAGE
        ) from None


def _device(options: BenchOptions) -> str:
    """cpu or cuda, as the workers' own interpreter can do it."""
    require_known([options.device], DEVICES, "device", "--device")
    if options.device == "cpu":
        require_interpreter(options.python)
    found = options.device != "cpu" and has_cuda(options.python)
    if options.device == "cuda" and not found:
        what = "--device cuda: torch sees no CUDA device"
        raise Refusal(Reason("", "", what, "use --device cpu"), code=Exit.UNAVAILABLE)
    if not found and options.min_speedup is not None:
        what = "--min-speedup: there is no GPU here, and a CPU's times mean nothing"
        raise Refusal(Reason("", "", what), code=Exit.UNAVAILABLE)
    return "cuda" if found else "cpu"


def _no_worker(death: WorkerDied) -> Refusal:
    lines = " | ".join(death.broken.where)
    what = f"the original's worker failed: {death.broken.message}"
    return Refusal(Reason("", "", what, lines), code=Exit.UNAVAILABLE)


def _console(*, beside: bool) -> Any:
    """As wide as a terminal; in a pipe wide enough that nothing is cut.

    beside: on stderr, for stdout has the report.
    """
    from rich.console import Console

    if (sys.stderr if beside else sys.stdout).isatty():
        return Console(stderr=beside)
    return Console(width=200, stderr=beside)


def progress(line: str) -> None:
    """One line of progress, on stderr."""
    print(line, file=sys.stderr, flush=True)
