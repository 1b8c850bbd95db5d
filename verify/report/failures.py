"""Findings as the report has them: pictures, and the command that shows one again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from verify.outcome import Broken, Case, Difference, Different
from verify.report import model as r
from verify.report.findings import Finding, findings

PICTURED = 12  # failures with pictures
PICTURES = 4  # of each


def failures(cases: Iterable[Case], arguments: Sequence[str]) -> list[r.Failure]:
    """Every finding; pictures only for the first, which are the ones looked at.

    arguments: of the run.
    """
    return [
        _failure(finding, arguments, pictures=PICTURES if number < PICTURED else 0)
        for number, finding in enumerate(findings(cases))
    ]


def _failure(finding: Finding, arguments: Sequence[str], pictures: int) -> r.Failure:
    case, outcome = finding.case, finding.case.outcome
    found: list[r.Found] = []
    kind, side, batch = "different", "candidate", ""
    if isinstance(outcome, Different):
        differences = outcome.differences
        found = [_found(d, drawn=n < pictures) for n, d in enumerate(differences)]
        batch = differences[0].batch
    elif isinstance(outcome, Broken):
        kind, side = outcome.kind, outcome.side
    return r.Failure(
        route=case.route,
        mode=case.mode,
        scenario=case.scenario,
        seed=case.seed,
        poisons=finding.poisons,
        kind=kind,
        side=side,
        cases=len(finding.cases),
        scenarios=finding.scenarios,
        backends=finding.backends,
        places=finding.places,
        batch=batch,
        line=finding.line(),
        detail=finding.detail(),
        reproduce=reproduce(arguments, case),
        found=found,
    )


def reproduce(arguments: Sequence[str], case: Case) -> str:
    """The command that runs just this scenario again.

    Of the arguments given, those that say what is compared and where are kept.
    """
    keep = ("--baseline", "--device", "--python", "--runtime", "--timeout")
    kept: list[str] = []
    rest = list(arguments)
    while rest:
        item = rest.pop(0)
        if not item.startswith("-"):
            kept.append(item)
        elif item.partition("=")[0] in keep:
            kept += [item] if "=" in item else [item, rest.pop(0)]
        elif "=" not in item and item != "--sanitize" and rest:
            rest.pop(0)
    route = case.route.partition(" ")[0]
    return command(
        [*kept, "--route", route, "--scenario", case.scenario, "--seed", str(case.seed)]
    )


def _found(d: Difference, drawn: bool) -> r.Found:
    grid = None
    if drawn and d.spread is not None:
        cells = [list(row) for row in d.spread.cells]
        shape = list(d.spread.shape)
        rows, columns = (1, *shape)[-2:]
        full = -(-rows // len(cells)) * -(-columns // len(cells[0]))
        grid = r.Grid(shape=shape, cells=cells, full=full)
    return r.Found(
        what=d.what,
        owner=d.owner,
        field=d.field,
        replay=d.replay,
        bs=d.bs,
        index=list(d.index),
        old=d.old,
        new=d.new,
        count=d.count,
        total=d.total,
        note=d.note,
        line=d.line(),
        grid=grid,
    )


def command(arguments: Iterable[str]) -> str:
    """The command line, quoted for a shell."""
    return shlex.join(["verify-nsa-opt", *arguments])
