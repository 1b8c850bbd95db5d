"""Turns cases into a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from patcher import __version__
from patcher.results import SCHEMA_VERSION, Exit
from verify.cases.run import POISONS, Ran, Setup
from verify.outcome import Broken, Case, Different, Identical, NotRun
from verify.report import model as r
from verify.report.failures import command, failures
from verify.sides.source import Pair, Source
from verify.worker.protocol import STANDINS

_VERDICTS: dict[Exit, r.Verdict] = {
    Exit.DONE: "identical",
    Exit.DIFFERS: "different",
}


@dataclass(frozen=True)
class Context:
    """What a report says beside the cases. planned: how many of them, where known."""

    pair: Pair
    hashes: Mapping[str, Mapping[str, str]]
    setup: Setup
    arguments: tuple[str, ...]
    reduced: tuple[str, ...]
    started: str
    seconds: float
    contract: tuple[str, ...] = ()
    planned: int | None = None


def build(
    context: Context, ran: Ran[Case], counters: Iterable[r.Counters] = ()
) -> r.Report:
    """The report of a run. Nothing compared, or not all of it, is never a pass."""
    cells = list(_cells(ran.results))
    totals = _totals(ran.results, cells, context.seconds)
    code = Exit.INTERRUPTED if ran.stopped else _exit(ran.results, totals)
    stopped = (
        r.Incomplete(done=totals.cases, of=context.planned) if ran.stopped else None
    )
    device = _device(context.setup, ran)
    verdict = _VERDICTS.get(code, "unverified")
    return r.Report(
        schema_version=SCHEMA_VERSION,
        tool=f"nsa-opt {__version__}",
        verdict=verdict,
        exit_code=int(code),
        incomplete=stopped,
        summary=_sentence(
            verdict, totals, device, _out_of_memory(ran.results), stopped
        ),
        command=command(context.arguments),
        started=context.started,
        device=device,
        runtime=context.setup.runtime,
        baseline=_side(context, "baseline", context.pair.baseline),
        candidate=_side(context, "candidate", context.pair.candidate),
        workers=list(_workers(ran)),
        seed=context.setup.seed,
        poisons=list(POISONS),
        matrix=cells,
        failures=failures(ran.results, context.arguments),
        counters=list(counters),
        not_run=[*_not_run(context, device), *_left(stopped), *_reasons(cells)],
        standins=list(_standins(ran)),
        notes=[*_notes(context, cells), *_unsaid(ran)],
        totals=totals,
    )


def _exit(cases: tuple[Case, ...], totals: r.Totals) -> Exit:
    """What only the candidate does (a crash, a hang, another route) is a difference."""
    broken = [c.outcome for c in cases if isinstance(c.outcome, Broken)]
    if totals.different or any(outcome.of_the_candidate for outcome in broken):
        return Exit.DIFFERS
    if totals.broken or not totals.identical:
        return Exit.UNAVAILABLE
    return Exit.DONE


def _out_of_memory(cases: Iterable[Case]) -> str:
    """How many cases gave no verdict because memory was full; empty: none."""
    broken = [c.outcome for c in cases if isinstance(c.outcome, Broken)]
    count = sum(outcome.kind == "memory" for outcome in broken)
    return f" ({count} out of memory)" if count else ""


def _sentence(
    verdict: str,
    totals: r.Totals,
    device: r.Device,
    full: str,
    stopped: r.Incomplete | None,
) -> str:
    where = f"{device.name}, logic only" if device.logic_only else device.name
    end = f"in {totals.seconds:.0f} s on {where}"
    not_run = f", {totals.not_run} cases not run" if totals.not_run else ""
    if verdict == "identical":
        return (
            f"identical: every byte of {totals.buffers:,} buffers "
            f"({_amount(totals.bytes)} a side) after {totals.replays:,} replays"
            f"{not_run}, {end}"
        )
    broken = f", {totals.broken} broken{full}" if totals.broken else ""
    if stopped is not None:
        differ = f"{totals.different} of {totals.cases} differ{broken}{not_run}"
        return f"{stopped.words('cases')}: {differ}; there is no verdict, {end}"
    if verdict == "different":
        differ = f"{totals.different} of {totals.cases} cases differ{broken}"
        return f"NOT identical: {differ}{not_run}, {end}"
    if totals.broken:
        broken = f"{totals.broken} of {totals.cases} cases gave no verdict{full}"
        return f"NOT verified: {broken}, {end}"
    return f"NOT verified: nothing could be compared, {end}"


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _totals(cases: tuple[Case, ...], cells: list[r.Cell], seconds: float) -> r.Totals:
    same = [c.outcome for c in cases if isinstance(c.outcome, Identical)]
    summed = ("identical", "different", "broken", "not_run", "replays")
    return r.Totals(
        cases=len(cases),
        **{name: sum(getattr(cell, name) for cell in cells) for name in summed},
        buffers=sum(o.buffers for o in same),
        bytes=sum(o.bytes for o in same),
        seconds=round(seconds, 1),
    )


def _device(setup: Setup, ran: Ran[Case]) -> r.Device:
    hello = ran.baseline.hello
    name = hello["device"] if hello else setup.device
    on_cpu = setup.device == "cpu"
    return r.Device(kind=setup.device, name=name, logic_only=on_cpu)


def _side(context: Context, side: str, source: Source) -> r.SideReport:
    return r.SideReport(
        label=source.label,
        release=source.release,
        patches=list(source.applied),
        commit=source.commit,
        files=dict(context.hashes[side]),
        edited=list(source.edited),
    )


def _workers(ran: Ran[Case]) -> Iterable[r.WorkerReport]:
    for about in (ran.baseline, *ran.candidates):
        if about.hello is not None:
            yield r.WorkerReport(
                side=about.side,
                gates=dict(about.gates),
                blocked=list(about.blocked),
                python=about.hello["python"],
                torch=about.hello["torch"],
                triton=about.hello["triton"],
                cuda=about.hello["cuda"],
                driver=about.hello["driver"],
                platform=about.hello["platform"],
                device=about.hello["device"],
                standins=about.standins,
            )


def _cells(cases: tuple[Case, ...]) -> Iterable[r.Cell]:
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.route, case.mode), []).append(case)
    for (route, mode), members in groups.items():
        outcomes = [case.outcome for case in members]
        same = [o for o in outcomes if isinstance(o, Identical)]
        reasons = dict.fromkeys(o.reason for o in outcomes if isinstance(o, NotRun))
        yield r.Cell(
            route=route,
            mode=mode,
            identical=len(same),
            different=sum(isinstance(o, Different) for o in outcomes),
            broken=sum(isinstance(o, Broken) for o in outcomes),
            not_run=sum(isinstance(o, NotRun) for o in outcomes),
            replays=sum(o.replays for o in same),
            seconds=round(sum(case.seconds for case in members), 2),
            reasons=list(reasons),
            notes=list(dict.fromkeys(note for o in same for note in o.notes)),
        )


def _not_run(context: Context, device: r.Device) -> Iterable[str]:
    if device.logic_only:
        yield "CUDA: a CPU run proves the logic, not the GPU"
        yield "CUDA graph capture and replay: the captured function is run again instead"
        yield "what Triton compiles: kernels are interpreted, also those that a tree keeps"
    yield from context.reduced


def _left(stopped: r.Incomplete | None) -> Iterable[str]:
    if stopped is None:
        return
    if stopped.done == stopped.of:
        yield "launches and host syncs: it was stopped before they were counted"
    else:
        left = "all" if stopped.of is None else f"{stopped.of - stopped.done:,} cases"
        yield f"{left} that would have come after it was stopped"


def _reasons(cells: list[r.Cell]) -> Iterable[str]:
    for cell in cells:
        for reason in cell.reasons:
            yield f"{cell.mode}/{cell.route}: {cell.not_run} cases: {reason}"


def _standins(ran: Ran[Case]) -> Iterable[str]:
    used: dict[str, str] = {}
    for about in (ran.baseline, *ran.candidates):
        used.update(about.modules["kernels"] if about.modules else {})
    for name, kind in used.items():
        why = "" if kind in ("real", "stand-in") else f" ({kind})"
        words = STANDINS.get(name, "a stand-in")
        yield f"{name}: {'none, the real one' if kind == 'real' else words}{why}"


def _unsaid(ran: Ran[Case]) -> Iterable[str]:
    """A worker says what it used at its end: one that was ended has not said it."""
    abouts = (ran.baseline, *ran.candidates)
    if ran.stopped and not all(about.modules for about in abouts):
        yield "stand-ins: those of the workers that were ended are not known"


def _notes(context: Context, cells: list[r.Cell]) -> Iterable[str]:
    edited = context.pair.candidate.edited
    if edited:
        yield f"edited since the apply: {', '.join(edited)}"
    if (
        not context.pair.in_tree
        and context.hashes["baseline"] == context.hashes["candidate"]
    ):
        yield "both sides have the same files: this compares a tree with itself"
    yield from context.contract
    for cell in cells:
        for note in cell.notes:
            yield f"{cell.mode}/{cell.route}: {note}"
