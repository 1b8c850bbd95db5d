"""One engine at a time: every side, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from verify.cli.progress import say
from verify.engine.compare import Workload
from verify.engine.environment import Environment
from verify.engine.request import Asked
from verify.engine.run.up import Gathered, Up, process
from verify.engine.sides import Package, Sides


def measure(
    asked: Asked, found: Sides, here: Environment, folder: Path, model: str
) -> Iterator[Gathered]:
    """Every side at every cell, there and back; what there is, after every start.

    Raises `Refusal`.
    """
    measured = Gathered()
    package = Package(here.package, folder, found.paths)
    for steps in asked.steps:
        for turn, side in enumerate(found.turns):
            package.lay(side)
            say(f"{steps} steps, {turn + 1} of {len(found.turns)}, {side.name}")
            with process(asked, side, turn, package, here.python) as up:

                def whole(up: Up, steps: int = steps) -> None:
                    up.start(model, steps)
                    for cell in asked.cells:
                        if cell.steps == steps:
                            _cell(up, cell, measured)

                up.attempt(whole)
                measured.starts.append(up.told(steps))
            yield measured


def _cell(up: Up, cell: Workload, measured: Gathered) -> None:
    """A long generation to warm up, then the repetitions: each a short and a long one.

    A load comes twice.
    """
    run = up.warm(cell)
    if cell.load:
        up.again(run, cell)
    else:
        for _ in range(up.asked.options.rounds):
            up.time(run, cell)
        if up.asked.options.gpu_time:
            up.profile(run, cell)
    measured.runs[cell].append(run)
    say(f"  {run.brief(cell)}")
