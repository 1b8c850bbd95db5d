"""What `verify-nsa-opt` does once its options are read."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from patcher.cli.outputs import STDOUT, Output
from patcher.record import dump
from patcher.results import Exit, Reason, Refusal, misused, require_known
from verify import routes
from verify.cases import launches
from verify.cases.matrix import Matrix, matrix
from verify.cases.run import Job, Ran, Setup, run
from verify.cli.options import RUNTIMES
from verify.cli.progress import Progress, Stopwatch, say
from verify.outcome import Case
from verify.report import console
from verify.report.build import Context, build
from verify.report.junit import refused
from verify.report.model import Counters, Report
from verify.report.record import record
from verify.report.write import write
from verify.sides import probe
from verify.sides.snapshot import snapshot
from verify.sides.source import Pair, resolve
from verify.sides.stop import Stoppable
from verify.worker.scenario import ScenarioError, parse
from verify.worker.tree import tails


@dataclass(frozen=True)
class Options:
    """The command line."""

    tree: Path
    baseline: str | None
    routes: tuple[str, ...]
    device: str
    python: str | None
    runtime: str
    seed: int
    cases: int
    scenarios: tuple[str, ...]
    timeout: float
    sanitize: bool
    report: Path | None
    json: Path | None
    junit: Path | None
    record: Path | None
    arguments: tuple[str, ...]


def work(options: Options) -> Exit:
    """Verify, print, write; a record only of a whole run. Raises `Refusal`."""
    try:
        report = verify(options)
    except Refusal as refusal:
        beside_html = options.report and options.report / "junit.xml"
        for file in filter(None, (options.junit, beside_html)):
            Output(file).write(refused(refusal))
        raise
    beside = STDOUT in (options.json, options.junit, options.record)
    console.render(report, console.terminal(beside=beside, width=120))
    write(report, options.report, options.json, options.junit)
    if options.record is not None and report.incomplete is not None:
        say(f"{options.record}: no record is written of an incomplete run")
    elif options.record is not None:
        Output(options.record).write(dump(record(report)))
    return Exit(report.exit_code)


def verify(options: Options) -> Report:
    """Run what the options ask for; stopped, the report is of what was judged by then.

    Raises `Refusal`, and KeyboardInterrupt if that is nothing.
    """
    _check(options)
    device = probe.device(options.device, options.python)
    if options.sanitize:
        _can_sanitize(device)
    clock = Stopwatch()
    pair = resolve(options.tree, options.baseline, say)
    asked = _routes(options, pair)
    chosen = tuple(r for r in asked if device != "cpu" or _compiles(r))
    if not chosen:
        _needs_compiler()
    plan = _plan(options, pair, chosen, device)
    plan = replace(plan, reduced=(*plan.reduced, *_uncompiled(asked, chosen)))
    with tempfile.TemporaryDirectory(prefix="nsa-verify-") as folder:
        old, new = Path(folder) / "baseline", Path(folder) / "candidate"
        hashes = {
            "baseline": snapshot(pair.baseline, pair.candidate, old),
            "candidate": snapshot(pair.candidate, pair.baseline, new),
        }
        contract = tails.contract(new) if pair.candidate.dsa else ()
        setup = Setup(
            old,
            new,
            in_tree=pair.in_tree,
            device=device,
            python=options.python,
            runtime=options.runtime,
            timeout=options.timeout,
            seed=options.seed,
            # A GPU's machine has the cores; on a laptop the interpreter takes two.
            workers=8 if device == "cuda" else 2,
        )
        ran, counters = _found(options, setup, chosen, plan)
    context = Context(
        pair=pair,
        hashes=hashes,
        setup=setup,
        arguments=options.arguments,
        reduced=plan.reduced,
        started=clock.started,
        seconds=clock.seconds,
        contract=contract,
        planned=_planned(plan),
    )
    return build(context, ran, counters)


def _found(
    options: Options,
    setup: Setup,
    chosen: tuple[routes.Route, ...],
    plan: Matrix,
) -> tuple[Ran[Case], list[Counters]]:
    """The cases, and on a GPU what is launched, where it is not stopped before."""
    ran = _run(options, setup, chosen, plan)
    if ran.stopped and not ran.results:
        raise KeyboardInterrupt
    if setup.device != "cuda" or options.sanitize or ran.stopped:
        return ran, []
    with Stoppable():
        return ran, launches.count(setup, chosen)
    return replace(ran, stopped=True), []


def _run(
    options: Options,
    setup: Setup,
    chosen: tuple[routes.Route, ...],
    plan: Matrix,
) -> Ran[Case]:
    """The matrix, the scenarios asked for, drawn ones, or a few under the sanitizer."""
    if options.sanitize:
        from verify.cases import sanitize

        with Progress("verifying", None) as bar:
            return sanitize.run(setup, chosen, bar)
    if options.cases and not options.scenarios:
        from verify.cases import fuzz

        with Progress("verifying", None) as bar:
            return fuzz.run(setup, chosen, options.cases, bar)
    with Progress("verifying", _planned(plan)) as bar:
        return run(setup, list(plan.jobs), bar)


def _planned(plan: Matrix) -> int | None:
    """How many cases there will be, where that is known before."""
    return sum(len(job.poisons) for job in plan.jobs) or None


def _plan(
    options: Options, pair: Pair, chosen: tuple[routes.Route, ...], device: str
) -> Matrix:
    if options.sanitize:
        words = "all but a short scenario a mode of each route with kernels of its own"
        return Matrix((), (words,))
    if options.cases and not options.scenarios:
        words = f"the matrix: {options.cases} drawn scenarios a route and mode instead"
        return Matrix((), (words,))
    if not options.scenarios:
        plan = matrix(chosen, device)
        never = (*routes.unfit(pair.candidate.release), *_unseen(pair))
        return replace(plan, reduced=(*plan.reduced, *never))
    try:
        wanted = [parse(text) for text in options.scenarios]
    except ScenarioError as error:
        raise misused("--scenario", str(error)) from None
    jobs = [
        Job(route, scenario)
        for route in chosen
        for scenario in wanted
        if scenario.kind in route.modes
    ]
    if not jobs:
        raise misused("--scenario", "no chosen route runs a scenario of this mode")
    return Matrix(tuple(jobs), ("all but the scenarios asked for",))


def _unseen(pair: Pair) -> tuple[str, ...]:
    if pair.candidate.dsa:
        return tails.NOT_COVERED
    if pair.in_tree and pair.candidate.foreign:
        return ("EAGLEDraftCudaGraphRunner: driven only in a tree patched by nsa-opt",)
    return ()


def _routes(options: Options, pair: Pair) -> tuple[routes.Route, ...]:
    """The routes asked for that the candidate has; all of them if none was asked for."""
    candidate = pair.candidate
    if pair.in_tree and candidate.family in ("B", "C"):
        found = routes.upstream(candidate.family, candidate.patches())
        if pair.baseline is candidate:  # which has no originals to equal
            found = tuple(route for route in found if not route.released)
    else:
        found = routes.available(
            candidate.patches(), pair.in_tree, candidate.foreign, candidate.family
        )
    if not options.routes:
        return found
    there = dict.fromkeys(route.name for route in found)
    known = dict.fromkeys((*routes.NAMES, *there))
    require_known(options.routes, known, "route", "--route")
    for name in options.routes:
        if name not in there:
            what = f"has no route {name!r}: its patch is not in the tree"
            hint = f"it has: {', '.join(there)}"
            raise Refusal(Reason(str(options.tree), "", what, hint))
    return tuple(route for route in found if route.name in options.routes)


def _compiles(route: routes.Route) -> bool:
    """Whether a CPU can run the route: what a tree compiles, g++ compiles for it."""
    return not route.compiles or shutil.which("g++") is not None


def _uncompiled(
    asked: tuple[routes.Route, ...], chosen: tuple[routes.Route, ...]
) -> tuple[str, ...]:
    names = dict.fromkeys(route.name for route in asked if route not in chosen)
    return tuple(f"{name}: no g++ to compile its CUDA for the CPU" for name in names)


def _needs_compiler() -> None:
    what = "only routes that compile CUDA were asked for, and there is no g++"
    hint = "install g++, or verify on a machine with a GPU and nvcc"
    raise Refusal(Reason("--route", "", what, hint), code=Exit.UNAVAILABLE)


def _check(options: Options) -> None:
    require_known([options.runtime], RUNTIMES, "runtime", "--runtime")
    if options.cases < 0:
        raise misused("--cases", "must not be negative")
    if options.timeout <= 0:
        raise misused("--timeout", "must be positive")


def _can_sanitize(device: str) -> None:
    if device != "cuda":
        what = "--sanitize needs a CUDA device"
        raise Refusal(Reason("", "", what), code=Exit.UNAVAILABLE)
    from verify.cases.sanitize import find

    find()
