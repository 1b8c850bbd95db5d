"""One engine at a time: every side, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from verify.engine.compare import Workload
from verify.engine.request import Asked
from verify.engine.run.up import Gathered, Up, progress
from verify.engine.server import Server
from verify.engine.sides import Package, Sides


def measure(
    asked: Asked, found: Sides, installed: Path, folder: Path, python: str, model: str
) -> Iterator[Gathered]:
    """Every side at every cell, there and back; what there is, after every start.

    Raises `Refusal`.
    """
    measured = Gathered()
    package = Package(installed, folder, found.paths)
    for steps in asked.steps:
        for turn, side in enumerate(found.turns):
            package.lay(side)
            progress(f"{steps} steps, {turn + 1} of {len(found.turns)}, {side.name}")
            environment = package.environment(side, asked.environment)
            with Server(python, package.place / "run", environment) as server:
                up = Up(side, turn, package, server)

                def whole(up: Up, steps: int = steps) -> None:
                    up.start(asked, model, steps)
                    for cell in asked.cells:
                        if cell.steps == steps:
                            _cell(up, asked, cell, measured)

                up.attempt(whole)
                measured.starts.append(up.told(steps))
            yield measured


def _cell(up: Up, asked: Asked, cell: Workload, measured: Gathered) -> None:
    """A long generation to warm up, then the repetitions: each a short and a long one.

    A load comes twice.
    """
    run = up.warm(asked, cell)
    if cell.load:
        up.again(asked, run, cell)
    else:
        for _ in range(asked.repetitions):
            up.time(asked, run, cell)
        if asked.gpu_time:
            up.profile(asked, run, cell)
    measured.runs[cell].append(run)
    progress(f"  {run.brief(cell)}")
