"""Puts the report together, and decides the exit code."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from patcher import __version__
from patcher.results import SCHEMA_VERSION, Exit
from verify.bench.report.model import Estimate
from verify.bench.stats import Interval, median, ratio_apart, speed, spread
from verify.cli.progress import Stopwatch
from verify.engine import compare
from verify.engine.compare import Run, Soaked, Workload
from verify.engine.environment import Environment
from verify.engine.report.model import (
    CellReport,
    EngineReport,
    Host,
    Result,
    Soak,
    Start,
    Status,
)
from verify.engine.request import Asked
from verify.engine.run.up import Gathered
from verify.engine.sides import ORIGINAL, Sides
from verify.sides.source import commit_of

_VERDICTS = ("FASTER", "SAME", "UNSURE", "SLOWER")
_QUEUED = (
    "A cell has more requests than max_running_requests: its milliseconds a verify step "
    "are of fewer steps than the engine took, and too many."
)


def build(
    asked: Asked,
    found: Sides,
    here: Environment,
    measured: Gathered,
    clock: Stopwatch,
) -> EngineReport:
    """The report of what there is so far, its verdict and exit code."""
    options, runs, starts = asked.options, measured.runs, measured.starts
    turns = found.sides if options.beside else found.turns
    expected = len(turns) * len(asked.steps)
    soaks = [_soak(soaked) for soaked in measured.soaks]
    cells = [
        _cell(cell, runs[cell], starts, found, options.seed)
        for cell in asked.cells
        if runs[cell]
    ]
    code = exit_code(cells, starts, soaks, options.beside)
    summary = _summary(cells, starts, clock.seconds)
    summary += "".join(f"; {soaked.brief}" for soaked in measured.soaks)
    if len(starts) < expected:
        code = Exit.UNAVAILABLE
        summary = f"incomplete, {len(starts)} of {expected} starts: {summary}"
    return EngineReport(
        schema_version=SCHEMA_VERSION,
        tool=f"nsa-opt {__version__}",
        command=shlex.join(["bench-nsa-opt", *options.arguments]),
        started=clock.started,
        seconds=clock.seconds,
        seed=options.seed,
        exit_code=int(code),
        summary=summary,
        machine=Host(
            gpu=here.gpu, python=here.version, torch=here.torch, sglang=here.release
        ),
        tree=str(options.tree),
        commit=commit_of(options.tree),
        release=found.release,
        patches=list(found.patches),
        beside=options.beside,
        gates={side.name: dict(side.gates) for side in found.sides},
        model=options.model,
        new_tokens=options.new_tokens,
        engine_args=dict(asked.given),
        cells=cells,
        soaks=soaks,
        starts=list(starts),
        notes=[_QUEUED] if asked.more_than_slots else [],
    )


def exit_code(
    cells: Sequence[CellReport],
    starts: Sequence[Start],
    soaks: Sequence[Soak] = (),
    beside: bool = False,
) -> Exit:
    """4: nothing differs, and of some cell nothing can be said.

    That is where the original differs from itself, and where a side found no memory
    because others are beside it.
    """
    proof = {"different", "failed", "not run"} | (set() if beside else {"no memory"})
    wrong = any(result.status in proof for result in _others(cells))
    wrong |= any(
        result.status == "other drafts"
        for cell in cells
        if _original(cell).status == "identical"
        for result in _others([cell])
    )
    wrong |= any(side.differing for soak in soaks for side in soak.sides)
    wrong |= any(s.failed and not (beside and s.no_memory) for s in starts)
    if wrong:
        return Exit.DIFFERS
    unknown = any(_original(cell).status != "identical" for cell in cells)
    unknown |= any(start.no_memory for start in starts)
    return Exit.UNAVAILABLE if unknown else Exit.DONE


def _original(cell: CellReport) -> Result:
    return next(result for result in cell.results if result.side == ORIGINAL)


def _others(cells: Iterable[CellReport]) -> list[Result]:
    return [r for cell in cells for r in cell.results if r.side != ORIGINAL]


def _cell(
    cell: Workload,
    runs: Sequence[Run],
    starts: Sequence[Start],
    found: Sides,
    seed: int,
) -> CellReport:
    original = [run for run in runs if run.side == ORIGINAL]
    said = original[0].answers[0]
    varies = compare.other_tokens(said, _answers(original))
    failed = {s.side: s for s in starts if s.failed and s.steps == cell.steps}
    ids = [request["ids"] for request in said]
    return CellReport(
        **asdict(cell),
        ids_sha256=hashlib.sha256(json.dumps(ids).encode()).hexdigest(),
        results=[
            _result(side.name, runs, said, varies, failed.get(side.name), seed)
            for side in found.sides
        ],
    )


def _answers(runs: Iterable[Run]) -> list[list[compare.Json]]:
    return [answer for run in runs for answer in run.answers]


def _result(
    side: str,
    runs: Sequence[Run],
    said: list[compare.Json],
    varies: bool,
    failed: Start | None,
    seed: int,
) -> Result:
    """said: the original's first answer. varies: its ids are others another time."""
    own = [run for run in runs if run.side == side]
    answers = _answers(own)
    status = _status(said, varies, failed, answers)
    every = [ms for run in own for ms in run.step_ms]
    old = [ms for run in runs if run.side == ORIGINAL for ms in run.step_ms]
    ratio = None
    if side != ORIGINAL and every and old and status == "identical":
        ratio = ratio_apart(old, every, seed)
    answer = answers[0] if answers else []
    verify = sum(request["verify"] for request in answer)
    tokens = sum(len(request["ids"]) for request in answer)
    return Result(
        side=side,
        status=status,
        asked=len(answers),
        differences=list(compare.differences(said, answers)),
        verify_steps=verify,
        tokens_a_step=tokens / verify if verify else 0.0,
        accepted=list(_summed(request["accepted"] for request in answer)),
        readings=[run.step_ms for run in own],
        step_ms=_estimate(spread(every, seed)) if every else None,
        gpu_ms=_gpu_ms(own),
        ratio=_estimate(ratio) if ratio else None,
        verdict=speed(ratio, len(every)) if ratio else None,
    )


def _gpu_ms(own: Sequence[Run]) -> float | None:
    known = [run.gpu_ms for run in own if run.gpu_ms is not None]
    return median(known) if known else None


def _soak(soaked: Soaked) -> Soak:
    found = asdict(soaked)
    sides = [{"side": name, **side} for name, side in found["sides"].items()]
    return Soak.model_validate({**found, "sides": sides})


def _status(
    said: list[compare.Json],
    varies: bool,
    failed: Start | None,
    answers: Sequence[list[compare.Json]],
) -> Status:
    if failed:
        return "no memory" if failed.no_memory else "failed"
    if not answers:
        return "not run"
    if varies:
        return "not comparable"
    if not any(compare.differences(said, answers)):
        return "identical"
    return "different" if compare.other_tokens(said, answers) else "other drafts"


def _summed(histograms: Iterable[list[int]]) -> Iterator[int]:
    """By place; a shorter one has no more."""
    every = list(histograms)
    for i in range(max(map(len, every), default=0)):
        yield sum(h[i] for h in every if i < len(h))


def _estimate(interval: Interval) -> Estimate:
    return Estimate(**asdict(interval))


def _summary(
    cells: Sequence[CellReport], starts: Sequence[Start], seconds: float
) -> str:
    parts = [f"{len(cells)} cells, {len(starts)} starts in {seconds:.0f} s: "]
    others = _others(cells)
    same = sum(r.status == "identical" for r in others)
    parts.append(f"tokens identical in {same} of {len(others)}")
    if drafts := sum(r.status == "other drafts" for r in others):
        parts.append(f", the same tokens with other drafts in {drafts}")
    if unlike := sum(r.status == "not comparable" for r in others):
        parts.append(f", not comparable in {unlike}")
    varying = [cell for cell in cells if _original(cell).differences]
    if varying:
        first = _original(varying[0]).differences[0]
        parts.append(
            f"; the original differs from itself in {len(varying)} of {len(cells)} "
            f"cells, first in {Workload.of(varying[0]).name}, {first}"
        )
    if full := [s for s in starts if s.no_memory]:
        names = dict.fromkeys(f"{s.side} at {s.steps} steps" for s in full)
        parts.append(f"; out of GPU memory: {', '.join(names)}")
    counts = {v: sum(r.verdict == v for r in others) for v in _VERDICTS}
    times = ", ".join(f"{n} {v}" for v, n in counts.items() if n)
    return "".join([*parts, f"; {times or 'no times'}"])
