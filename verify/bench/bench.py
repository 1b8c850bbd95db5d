"""What `bench-nsa-opt` does once its options are read."""

from __future__ import annotations

import datetime
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patcher.results import Exit, Reason, Refusal
from verify.bench import sides
from verify.bench.points import MODES, Plan, PointError, Request, numbers, plan
from verify.bench.report import build
from verify.bench.report import console as table
from verify.bench.report import write as outputs
from verify.bench.report.model import BenchReport
from verify.bench.run import Runner, run
from verify.sides.process import WorkerDied


@dataclass(frozen=True)
class Options:
    """The command line."""

    tree: Path
    against: tuple[str, ...]
    modes: tuple[str, ...]
    routes: tuple[str, ...]
    steps: tuple[str, ...]
    bs: tuple[str, ...]
    lengths: tuple[str, ...]
    impl: str
    rounds: int
    seed: int
    device: str
    python: str | None
    quick: bool
    curves: bool
    min_speedup: float | None
    json: Path | None
    report: Path | None
    arguments: tuple[str, ...]


def work(options: Options) -> Exit:
    """Measure, print, write. Raises `Refusal`."""
    report = bench(options)
    table.render(report, _console())
    outputs.write(report, options.report, options.json, progress)
    return Exit(report.exit_code)


def bench(options: Options) -> BenchReport:
    """Run what the options ask for. Raises `Refusal`."""
    request = _request(options)
    device = _device(options)
    began, started = time.monotonic(), datetime.datetime.now(datetime.timezone.utc)
    with tempfile.TemporaryDirectory(prefix="nsa-bench-") as folder:
        found = sides.resolve(
            options.tree, options.against, options.routes, Path(folder), progress,
            quick=options.quick,
        )  # fmt: skip
        planned = _plan(request, device, found)
        with Runner(found, device, options.seed, options.python, progress) as runner:
            try:
                about = runner.start()
            except WorkerDied as death:
                raise _no_worker(death) from None
            measured = run(runner, planned.jobs)
            context = build.Context(
                sides=found,
                used={side.name: runner.used(side) for side in found},
                about=about,
                rates=runner.rates,
                device=device,
                seed=options.seed,
                arguments=options.arguments,
                started=started.isoformat(timespec="seconds"),
                seconds=time.monotonic() - began,
                min_speedup=options.min_speedup,
                notes=runner.notes,
            )
    return build.build(context, planned, measured)


def _plan(request: Request, device: str, found: Sequence[sides.Side]) -> Plan:
    routed = {mode for s in found if s.kind == "route" for mode in s.modes}
    try:
        return plan(request, device, routed)
    except PointError as error:
        raise _usage("", str(error)) from None


def _request(options: Options) -> Request:
    if options.rounds < 0:
        raise _usage("--rounds", "must be positive")
    if options.impl not in ("fa3", "flashmla_kv"):
        raise _usage("--decode-kernel", f"{options.impl!r} is not fa3 or flashmla_kv")
    for mode in options.modes:
        if mode not in MODES:
            raise _usage("--mode", f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    try:
        return Request(
            modes=options.modes,
            steps=numbers(options.steps, "--steps"),
            bs=numbers(options.bs, "--bs"),
            lengths=numbers(options.lengths, "--len"),
            impl=options.impl,
            quick=options.quick,
            curves=options.curves,
            rounds=options.rounds,
        )
    except PointError as error:
        raise _usage("", str(error)) from None


def _device(options: Options) -> str:
    """cpu or cuda, as the workers' own interpreter can do it."""
    from verify.sides.probe import has_cuda

    if options.device not in ("auto", "cpu", "cuda"):
        raise _usage("--device", f"{options.device!r} is not auto, cpu or cuda")
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


def _usage(option: str, what: str) -> Refusal:
    return Refusal(Reason(option, "", what, "see --help"), code=Exit.USAGE)


def _console() -> Any:
    """As wide as a terminal; in a pipe wide enough that nothing is cut."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=200)


def progress(line: str) -> None:
    """One line of progress, on stderr."""
    print(line, file=sys.stderr, flush=True)
