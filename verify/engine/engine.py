"""What `bench-nsa-opt --engine` does: start every side, ask it, report."""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from patcher.cli.outputs import STDOUT, Output
from patcher.results import Exit, Reason, Refusal
from verify.engine import environment, request, sides, tiny
from verify.engine.compare import Run, Workload, step_ms
from verify.engine.report import build, show
from verify.engine.report.model import EngineReport, Start, dump
from verify.engine.request import TINY, Asked, EngineOptions
from verify.engine.server import Json, Server, ServerFailed
from verify.engine.sides import ORIGINAL, EngineSide, Package, Sides

SHORT_TOKENS = 8
_TOLD = ("NSA metadata kernel", "falling back to loop")
"""What a line has in it by which a metadata path says that another one runs instead."""


@dataclass
class Gathered:
    """What all starts gave."""

    runs: dict[Workload, list[Run]] = field(default_factory=lambda: defaultdict(list))
    starts: list[Start] = field(default_factory=list)


def work(options: EngineOptions) -> Exit:
    """Measure, write, print. Raises `Refusal`."""
    from rich.console import Console

    report = bench(options)
    beside = options.json == STDOUT
    if beside:
        Output(STDOUT).write(dump(report))
    shown = (sys.stderr if beside else sys.stdout).isatty()
    show.console(
        report, Console(stderr=beside) if shown else Console(stderr=beside, width=200)
    )
    return Exit(report.exit_code)


def bench(options: EngineOptions) -> EngineReport:
    """Run what the options ask for; the report is written after every start.

    Raises `Refusal`.
    """
    clock = build.Stopwatch()
    asked = request.read(options)
    found = sides.resolve(options.tree, options.quick)
    here = environment.look(options.python or sys.executable, found.release)
    sides.check(here.package, found)
    show.reserve(options.report, options.json)
    with tempfile.TemporaryDirectory(prefix="nsa-engine-") as name:
        folder = Path(name)
        model = options.model
        if model == TINY:
            model = str(tiny.write(folder / TINY, options.seed))
        package = Package(here.package, folder / "package")
        for measured in measure(asked, found, package, here.python, model):
            report = build.build(
                options, asked, found, here, measured.runs, measured.starts, clock
            )
            show.write(report, options.report, options.json)
    return report


def measure(
    asked: Asked, found: Sides, package: Package, python: str, model: str
) -> Iterator[Gathered]:
    """Every side at every cell, there and back; what there is, after every start.

    Raises `Refusal`.
    """
    measured = Gathered()
    for steps in dict.fromkeys(cell.steps for cell in asked.cells):
        for turn, side in enumerate(found.turns):
            package.lay(side)
            _progress(f"{steps} steps, {turn + 1} of {len(found.turns)}, {side.name}")
            with Server(
                python, package.home.parent / "run", package.environment(side)
            ) as server:
                start = _start(
                    server, asked, model, steps, side, turn, package, measured
                )
            measured.starts.append(start)
            yield measured


def _start(
    server: Server,
    asked: Asked,
    model: str,
    steps: int,
    side: EngineSide,
    turn: int,
    package: Package,
    measured: Gathered,
) -> Start:
    """One engine at all cells of its steps. Raises `Refusal` where the original fails."""
    seconds, failed = 0.0, ""
    try:
        about = server.start(asked.arguments(model, steps))
        seconds = about["seconds"]
        _same_package(about["folder"], package)
        _progress(f"  up in {seconds:.0f} s")
        for cell in asked.cells:
            if cell.steps == steps:
                run = _run(server, asked, cell, side, turn)
                measured.runs[cell].append(run)
                _progress(f"  {run.brief(cell)}")
    except ServerFailed as failure:
        failed = str(failure)
        _progress(f"  failed: {failed}")
        if side.name == ORIGINAL:
            what = f"the engine of the originals failed: {failure}"
            reason = Reason("", "", what, lines=failure.lines)
            raise Refusal(reason, code=Exit.UNAVAILABLE) from None
        for line in failure.lines:
            _progress(f"    {line}")
    logged = [line for line in server.printed if any(told in line for told in _TOLD)]
    return Start(
        steps=steps, side=side.name, seconds=seconds,
        logged=list(dict.fromkeys(logged)), failed=failed,
    )  # fmt: skip


def _run(
    server: Server, asked: Asked, cell: Workload, side: EngineSide, turn: int
) -> Run:
    """A long generation to warm up, then the repetitions: each a short and a long one."""

    def generate(count: int) -> Json:
        return server.generate(
            seed=asked.seed, lengths=cell.lengths, vocabulary=asked.vocabulary,
            new_tokens=count,
        )  # fmt: skip

    every = SHORT_TOKENS + asked.new_tokens
    if cell.load:
        said = server.load(
            seed=asked.seed, count=cell.load, longest=cell.prompt, new_tokens=every,
            vocabulary=asked.vocabulary, at_once=2 * cell.bs,
        )  # fmt: skip
        return Run(side.name, turn, [said["requests"]])
    run = Run(side.name, turn, [generate(every)["requests"]])
    for _ in range(asked.repetitions):
        short, long = generate(SHORT_TOKENS), generate(every)
        run.answers.append(long["requests"])
        taken = step_ms(short, long)
        if taken is not None:
            run.step_ms.append(taken)
    return run


def _same_package(folder: str, package: Package) -> None:
    if Path(folder).resolve() != (package.home / "sglang").resolve():
        what = "another sglang comes first on the interpreter's path"
        raise Refusal(Reason(folder, "", what), code=Exit.UNAVAILABLE)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
