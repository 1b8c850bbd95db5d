"""The record of a verification: what was proved of which bytes (patcher.record)."""

from __future__ import annotations

from patcher.record import Baseline, Machine, Patched, Record, Scenarios
from verify.report.model import Report


def record(report: Report) -> Record:
    """The report as evidence, for `status-nsa-opt --require`."""
    totals, candidate, baseline = report.totals, report.candidate, report.baseline
    gates = {
        tuple(sorted((g, v) for g, v in worker.gates.items() if v is not None)): None
        for worker in report.workers
        if worker.side == "candidate"
    }
    return Record(
        tool=report.tool,
        release=candidate.release,
        patches=tuple(_patched(text) for text in candidate.patches),
        files=dict(candidate.files),
        baseline=Baseline(
            label=baseline.label, release=baseline.release, files=dict(baseline.files)
        ),
        gates=tuple(dict(pairs) for pairs in gates),
        verdict=report.verdict,
        scenarios=Scenarios(**totals.model_dump(exclude={"buffers", "seconds"})),
        seed=report.seed,
        not_run=tuple(report.not_run),
        machine=_machine(report),
        command=report.command,
        started=report.started,
        seconds=totals.seconds,
    )


def _patched(text: str) -> Patched:
    name, _, version = text.partition(" ")
    return Patched(name=name, version=version)


def _machine(report: Report) -> Machine:
    worker = report.workers[0] if report.workers else None
    return Machine(
        device="cpu" if report.device.kind == "cpu" else "cuda",
        name=report.device.name,
        logic_only=report.device.logic_only,
        driver=worker.driver if worker else None,
        cuda=worker.cuda if worker else None,
        python=worker.python if worker else "",
        torch=worker.torch if worker else "",
        triton=worker.triton if worker else None,
        platform=worker.platform if worker else "",
    )
