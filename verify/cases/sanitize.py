"""A reduced matrix with the candidate under compute-sanitizer, one tool at a time.

PyTorch's caching allocator is off, so that every buffer is an allocation of its own
and a write past one is an error. Decode kernels of FlashMLA are left out: their plan
would allocate while a graph is captured, which needs the caching allocator.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from patcher.results import Exit, Reason, Refusal
from verify.cases.case import Baseline
from verify.cases.run import Job, Ran, Setup, used, verify_case
from verify.outcome import Broken, Case, Difference, Different, Identical
from verify.routes import GATES, Route
from verify.sides.process import threads
from verify.worker.scenario import Scenario

Json = dict[str, Any]

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
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


def scenarios(mode: str) -> tuple[Scenario, ...]:
    """A short one a mode: a tool may slow a kernel down a thousandfold."""
    steps = 2 if mode in ("decode", "runner") else 1
    return (Scenario(mode, steps, 64, "fa3", 64, 64, (1, 8), 2304, script="tour3"),)


def run(
    setup: Setup,
    routes: tuple[Route, ...],
    progress: Callable[[Case], None] = lambda case: None,
) -> Ran:
    """Every route that launches kernels of its own, under every tool, side by side.

    A tool's finding is a difference.
    """
    tool = find()
    jobs = [
        (name, route)
        for name in TOOLS
        for route in routes
        if route.kernels and not route.pair
    ]
    if not jobs:
        what = "no chosen route launches a kernel of its own"
        raise Refusal(Reason("--sanitize", "", what, "see --help"), code=Exit.USAGE)
    with (
        setup.session("baseline", dict.fromkeys(GATES, "0")) as session,
        threads(max(len(TOOLS), os.cpu_count() or 1)) as pool,
    ):
        baseline = Baseline(session)
        runs = [
            pool.submit(_under, name, route, tool, setup, baseline, progress)
            for name, route in jobs
        ]
        found, candidates = zip(*(run.result() for run in runs), strict=True)
        return Ran(sum(found, ()), used(session), candidates)


def _under(
    name: str,
    route: Route,
    tool: str,
    setup: Setup,
    baseline: Baseline,
    progress: Callable[[Case], None],
) -> tuple[tuple[Case, ...], Json]:
    """One route under one tool: the cases, and what its worker used."""
    log = baseline.session.folder / f"{name}-{route.name}-{route.modes[0]}.log"
    wrapped = replace(setup, wrapper=_command(tool, name, log))
    env = route.env | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    with wrapped.session("candidate", env, route.blocked) as candidate:
        cases = [
            verify_case(wrapped, baseline, candidate, Job(route, s), 1)
            for mode in route.modes
            for s in scenarios(mode)
        ]
        use = used(candidate) | {"gates": route.env}
        candidate.finish()
    cases.append(_verdict(setup, route, name, log, cases))
    found = tuple(replace(case, route=f"{route.label} ({name})") for case in cases)
    for case in found:
        progress(case)
    return found, use


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
