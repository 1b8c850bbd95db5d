"""A reduced matrix with the candidate under compute-sanitizer, one tool at a time.

PyTorch's caching allocator is off, so that every buffer is an allocation of its own
and a write past one is an error. Decode kernels of FlashMLA are left out: their plan
would allocate while a graph is captured, which needs the caching allocator.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from patcher.results import Exit, Reason, Refusal, misused
from verify.cases.run import Job, Ran, Setup, Table, play_all
from verify.outcome import Broken, Case, Difference, Different, Identical
from verify.routes import Route
from verify.worker.scenario import Scenario, of_kind

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
_OWN_ALLOCATIONS = (("PYTORCH_NO_CUDA_MEMORY_CACHING", "1"),)
_SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)")


def find() -> str:
    """compute-sanitizer's path. Raises `Refusal` where it is not installed."""
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    for name in ("compute-sanitizer", f"{home}/bin/compute-sanitizer"):
        found = shutil.which(name)
        if found:
            return found
    what = "--sanitize: compute-sanitizer is not installed"
    hint = "it comes with the CUDA toolkit; put it on PATH or set CUDA_HOME"
    raise Refusal(Reason("", "", what, hint), code=Exit.UNAVAILABLE)


def scenarios(mode: str, *, dsa: bool) -> tuple[Scenario, ...]:
    """A short one a mode: a tool may slow a kernel down a thousandfold.

    On family C a draft's kernel has another tiling above 32 rows: 3 tiles of them.
    """
    steps = 2 if mode.startswith("decode") else 1
    usual = of_kind(mode, steps, 64, "fa3", 64, 64, (1, 8), 2304, script="tour3")
    if not dsa or steps == 1:
        return (usual,)
    wide = of_kind(mode, steps, 64, "fa3", 64, 64, (33,), 4224, script="tour1")
    return (usual, wide)


def run(
    setup: Setup,
    routes: tuple[Route, ...],
    progress: Callable[[Case], None] = lambda case: None,
) -> Ran[Case]:
    """Every route that launches kernels of its own, under every tool, side by side.

    No guard bands: a tool must see where a buffer ends. A finding is a difference.
    """
    tool = find()
    with TemporaryDirectory(prefix="nsa-verify-") as folder:
        logs = {
            Job(
                route,
                wrapper=_command(tool, name, log),
                extra=() if _plans_in_graph(setup, route) else _OWN_ALLOCATIONS,
            ): (name, log)
            for name in TOOLS
            for number, route in enumerate(routes)
            if route.kernels and not route.pair
            if (log := Path(folder) / f"{name}-{route.name}-{number}.log")
        }
        if not logs:
            what = "no chosen route launches a kernel of its own"
            raise misused("--sanitize", what)
        workers = max(len(TOOLS), os.cpu_count() or 1)
        bare = replace(setup, workers=workers, guarded=False)

        def judged(table: Table, job: Job) -> Iterator[Case]:
            name, log = logs[job]
            cases = []
            for mode in job.route.modes:
                for scenario in scenarios(mode, dsa=job.route.dsa):
                    cases.append(table.verify(job, scenario, 1))
                    yield cases[-1]
            table.candidate.finish()
            yield _verdict(setup, job.route, name, log, cases)

        def play(table: Table, job: Job) -> Iterator[Case]:
            for case in judged(table, job):
                named = replace(case, route=f"{job.route.label} ({logs[job][0]})")
                progress(named)
                yield named

        return play_all(bare, list(logs), play)


def _plans_in_graph(setup: Setup, route: Route) -> bool:
    """From 0.5.7 on; what a kernel plans inside a graph is allocated there."""
    fills = any(must.startswith("graph kernel") for must in route.must)
    return route.dsa or (setup.in_tree and fills)


def _command(tool: str, name: str, log: Path) -> tuple[str, ...]:
    options = ["--target-processes", "all", "--log-file", str(log)]
    if name == "memcheck":
        options += ["--padding", "64"]
    if name == "initcheck":
        # The observer copies whole allocations to the host, unwritten parts included.
        options += ["--check-api-memory-access", "no"]
    return (tool, "--tool", name, *options)


def _verdict(
    setup: Setup, route: Route, name: str, log: Path, cases: list[Case]
) -> Case:
    """What the tool's log says of the whole session."""
    text = log.read_text(errors="replace") if log.exists() else ""
    counts = [int(n) for n in _SUMMARY.findall(text)]
    outcome: Identical | Different | Broken
    if not counts:
        message = f"{name} left no summary in its log"
        outcome = Broken(
            "sanitizer", "candidate", message, tuple(text.splitlines()[-5:])
        )
    elif sum(counts):
        lines = [line for line in text.splitlines() if line.strip("= ")]
        first = next((line for line in lines if "at " in line or "Error" in line), "")
        outcome = Different(
            (
                Difference(
                    name, "the candidate", "device memory", 0, 0,
                    old="0 errors", new=f"{sum(counts)} errors", note=first.strip("= "),
                ),
            )
        )  # fmt: skip
    else:
        outcome = Identical(0, 0, 0)
    mode = cases[0].mode if cases else route.modes[0]
    scenario = cases[0].scenario if cases else ""
    return Case(route.label, mode, scenario, setup.seed, 1, outcome)
