"""What `bench-nsa-opt --engine` does: start every side, ask it, report."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from patcher.cli.outputs import STDOUT, Output
from patcher.results import Exit
from verify.engine import environment, memory, request, sides, tiny
from verify.engine.report import build, show
from verify.engine.report.model import EngineReport, dump
from verify.engine.request import TINY, Asked, EngineOptions
from verify.engine.run import beside, turns
from verify.engine.run.up import Gathered
from verify.engine.sides import Sides


def work(options: EngineOptions) -> Exit:
    """Measure, write, print. Raises `Refusal`."""
    from rich.console import Console

    report = bench(options)
    aside = options.json == STDOUT
    if aside:
        Output(STDOUT).write(dump(report))
    shown = (sys.stderr if aside else sys.stdout).isatty()
    show.console(
        report, Console(stderr=aside) if shown else Console(stderr=aside, width=200)
    )
    return Exit(report.exit_code)


def bench(options: EngineOptions) -> EngineReport:
    """Run what the options ask for; the report is written again and again.

    Raises `Refusal`.
    """
    clock = build.Stopwatch()
    asked = request.read(options)
    found = sides.resolve(options.tree, options.quick, options.without)
    here = environment.look(options.python or sys.executable, found.release)
    sides.check(here.package, found)
    engines = len(found.sides) if asked.beside else 1
    memory.check(asked.needs, engines, here.gpu_free, here.gpu_total, here.gpu)
    show.reserve(options.report, options.json)
    with tempfile.TemporaryDirectory(prefix="nsa-engine-") as name:
        folder = Path(name)
        model = options.model
        if layers := request.layers(model):
            model = str(tiny.write(folder / TINY, options.seed, layers))
        for measured in measure(
            asked, found, here.package, folder / "package", here.python, model
        ):
            report = build.build(options, asked, found, here, measured, clock)
            show.write(report, options.report, options.json)
    return report


def measure(
    asked: Asked, found: Sides, installed: Path, folder: Path, python: str, model: str
) -> Iterator[Gathered]:
    """Every side at every cell; what there is so far, again and again. Raises `Refusal`."""
    how = beside.measure if asked.beside else turns.measure
    return how(asked, found, installed, folder, python, model)
