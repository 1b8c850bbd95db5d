"""All sides' engines up at once, on one machine: they take turns request by request.

While one is timed the others are idle. For tokens alone all of them are asked at once.
"""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from verify.cli.progress import say
from verify.engine.compare import Run, Workload
from verify.engine.environment import Environment
from verify.engine.request import Asked, EngineOptions
from verify.engine.run import soak
from verify.engine.run.up import Gathered, Up, process
from verify.engine.sides import Package, Sides


def measure(
    asked: Asked, found: Sides, here: Environment, folder: Path, model: str
) -> Iterator[Gathered]:
    """Every side at every cell; what there is, after every cell and every soak's round.

    Raises `Refusal`.
    """
    measured = Gathered()
    packages = []
    for i, side in enumerate(found.sides):
        packages.append(Package(here.package, folder / str(i), found.paths))
        packages[i].lay(side)
    for steps in asked.steps:
        say(f"{steps} steps, {len(packages)} sides beside each other")
        with contextlib.ExitStack() as stack:
            engines = [
                stack.enter_context(process(asked, side, i, packages[i], here.python))
                for i, side in enumerate(found.sides)
            ]
            at_once(engines, functools.partial(Up.start, model=model, steps=steps))
            for cell in asked.cells:
                if cell.steps == steps:
                    measured.runs[cell] = _cell(engines, asked.options, cell)
                    yield measured
            stopped = False
            if asked.options.soak:
                soaked = soak.Soaking(engines, asked, steps, at_once)
                measured.soaks.append(soaked.found)
                for _ in soaked.rounds():
                    yield measured
                stopped = soaked.stopped
            measured.starts += [up.told(steps) for up in engines]
        yield measured
        if stopped:
            return


def at_once(engines: Sequence[Up], action: Callable[[Up], None]) -> None:
    """The same of all engines, each in a thread of its own. Raises `Refusal`."""
    with ThreadPoolExecutor(len(engines)) as pool:
        for done in [pool.submit(up.attempt, action) for up in engines]:
            done.result()


def _cell(engines: Sequence[Up], options: EngineOptions, cell: Workload) -> list[Run]:
    runs: dict[int, Run] = {}

    def tokens(up: Up) -> None:
        warm(up)
        for _ in range(1 if cell.load else options.rounds):
            up.again(runs[up.turn], cell)

    def warm(up: Up) -> None:
        runs[up.turn] = up.warm(cell)

    if options.quick or cell.load:
        at_once(engines, tokens)
    else:
        at_once(engines, warm)
        draw = random.Random(options.seed)
        for _ in range(options.rounds):
            for up in draw.sample(engines, len(engines)):
                up.attempt(lambda up: up.time(runs[up.turn], cell))
        for up in engines if options.gpu_time else ():
            up.attempt(lambda up: up.profile(runs[up.turn], cell))
    kept = [runs[up.turn] for up in engines if up.turn in runs]
    for run in kept:
        say(f"  {run.side}: {run.brief(cell)}")
    return kept
