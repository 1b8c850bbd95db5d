"""What `bench-nsa-opt --engine` does: start every side, ask it, report."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from patcher.cli.outputs import STDOUT, Output
from patcher.results import Exit
from verify.cli.progress import Stopwatch
from verify.engine import environment, request, sides
from verify.engine.environment import Environment
from verify.engine.report import build, console, write
from verify.engine.report.model import EngineReport
from verify.engine.request import TINY, Asked, EngineOptions
from verify.engine.run import beside, turns
from verify.engine.run.up import Gathered
from verify.engine.sides import Sides
from verify.engine.tiny import checkpoint
from verify.report.console import terminal
from verify.report.model import dump


def work(options: EngineOptions) -> Exit:
    """Measure, write, print. Raises `Refusal`."""
    report = bench(options)
    aside = options.json == STDOUT
    if aside:
        Output(STDOUT).write(dump(report))
    console.render(report, terminal(beside=aside, width=200))
    return Exit(report.exit_code)


def bench(options: EngineOptions) -> EngineReport:
    """Run what the options ask for; the report is written again and again.

    Raises `Refusal`.
    """
    clock = Stopwatch()
    asked = request.read(options)
    found = sides.resolve(options.tree, options.quick, options.without)
    here = environment.look(options.python or sys.executable, found.release)
    sides.check(here.package, found)
    here.require_memory(asked.needs, len(found.sides) if asked.options.beside else 1)
    write.reserve(options.report, options.json)
    with tempfile.TemporaryDirectory(prefix="nsa-engine-") as name:
        folder, model = Path(name), options.model
        if asked.layers:
            model = str(checkpoint.write(folder / TINY, options.seed, asked.layers))
        for measured in measure(asked, found, here, folder / "package", model):
            report = build.build(asked, found, here, measured, clock)
            write.write(report, options.report, options.json)
    return report


def measure(
    asked: Asked, found: Sides, here: Environment, folder: Path, model: str
) -> Iterator[Gathered]:
    """Every side at every cell; what there is so far, again and again. Raises `Refusal`."""
    how = beside.measure if asked.options.beside else turns.measure
    return how(asked, found, here, folder, model)
