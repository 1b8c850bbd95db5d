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

from verify.engine.compare import Run, Workload
from verify.engine.request import Asked
from verify.engine.run import soak
from verify.engine.run.up import Gathered, Up, progress
from verify.engine.server import Server
from verify.engine.sides import EngineSide, Package, Sides


def measure(
    asked: Asked, found: Sides, installed: Path, folder: Path, python: str, model: str
) -> Iterator[Gathered]:
    """Every side at every cell; what there is, after every cell and every soak's round.

    Raises `Refusal`.
    """
    measured = Gathered()
    packages = [
        Package(installed, folder / str(i), found.paths)
        for i in range(len(found.sides))
    ]
    for side, package in zip(found.sides, packages, strict=True):
        package.lay(side)
    for steps in asked.steps:
        progress(f"{steps} steps, {len(packages)} sides beside each other")
        with contextlib.ExitStack() as stack:
            engines = [
                _up(stack, python, side, turn, package, asked)
                for turn, (side, package) in enumerate(
                    zip(found.sides, packages, strict=True)
                )
            ]
            at_once(
                engines,
                functools.partial(Up.start, asked=asked, model=model, steps=steps),
            )
            for cell in asked.cells:
                if cell.steps == steps:
                    measured.runs[cell] = _cell(engines, asked, cell)
                    yield measured
            stopped = False
            if asked.soak:
                soaked = soak.Soaking(engines, asked, steps, at_once)
                measured.soaks.append(soaked.found)
                for _ in soaked.rounds():
                    yield measured
                stopped = soaked.stopped
            measured.starts += [up.told(steps) for up in engines]
        yield measured
        if stopped:
            return


def _up(
    stack: contextlib.ExitStack,
    python: str,
    side: EngineSide,
    turn: int,
    package: Package,
    asked: Asked,
) -> Up:
    environment = package.environment(side, asked.environment)
    run = Server(python, package.place / "run", environment)
    return Up(side, turn, package, stack.enter_context(run))


def at_once(engines: Sequence[Up], action: Callable[[Up], None]) -> None:
    """The same of all engines, each in a thread of its own. Raises `Refusal`."""
    with ThreadPoolExecutor(len(engines)) as pool:
        for done in [pool.submit(up.attempt, action) for up in engines]:
            done.result()


def _cell(engines: Sequence[Up], asked: Asked, cell: Workload) -> list[Run]:
    runs: dict[int, Run] = {}

    def tokens(up: Up) -> None:
        runs[up.turn] = up.warm(asked, cell)
        for _ in range(1 if cell.load else asked.repetitions):
            up.again(asked, runs[up.turn], cell)

    def warm(up: Up) -> None:
        runs[up.turn] = up.warm(asked, cell)

    if asked.tokens_only or cell.load:
        at_once(engines, tokens)
    else:
        at_once(engines, warm)
        draw = random.Random(asked.seed)
        for _ in range(asked.repetitions):
            for up in draw.sample(engines, len(engines)):
                up.attempt(lambda up: up.time(asked, runs[up.turn], cell))
        for up in engines if asked.gpu_time else ():
            up.attempt(lambda up: up.profile(asked, runs[up.turn], cell))
    kept = [runs[up.turn] for up in engines if up.turn in runs]
    for run in kept:
        progress(f"  {run.side}: {run.brief(cell)}")
    return kept
