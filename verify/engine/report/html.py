"""The page of an engine bench: its verdict, the table, what differs."""

from __future__ import annotations

from patcher.results import Exit
from verify.engine.compare import Workload
from verify.engine.report.console import HEADS, row
from verify.engine.report.model import EngineReport
from verify.report.page import render

_HEADLINES = {
    Exit.DONE: ("The same tokens", "good"),
    Exit.DIFFERS: ("Not the same tokens", "bad"),
    Exit.UNAVAILABLE: ("Nothing proved", "warn"),
}


def html(report: EngineReport) -> str:
    """The report as one page that needs nothing else."""
    machine = report.machine
    headline, tone = _HEADLINES[Exit(report.exit_code)]
    wrong = {r.status for cell in report.cells for r in cell.results} - {"identical"}
    if report.exit_code == Exit.DIFFERS and wrong == {"other drafts"}:
        headline, tone = "The same tokens, other drafts", "warn"
    if report.exit_code == 0:
        headline += _best(report)
    return render(
        "engine.html",
        report=report,
        headline=headline,
        tone=tone,
        facts=[
            ("Tree", report.tree),
            ("Release", report.release),
            ("Patches", ", ".join(report.patches)),
            ("Commit", report.commit),
            ("Model", report.model),
            (
                "Machine",
                f"{machine.gpu}, torch {machine.torch}, Python {machine.python}",
            ),
            ("Started", f"{report.started}, {report.seconds:.0f} s"),
            ("Tool", report.tool),
        ],
        heads=HEADS,
        how="beside each other, in turns" if report.beside else "there and back",
        rows=[(r, row(c, r)) for c in report.cells for r in c.results],
    )


def _best(report: EngineReport) -> str:
    """The largest ratio of those that are sure, and where; empty if there is none."""
    sure = [
        (r.ratio.value, Workload.of(c).name)
        for c in report.cells
        for r in c.results
        if r.ratio and r.verdict == "FASTER"
    ]
    value, where = max(sure, default=(0.0, ""))
    return f", {value:.2f}x less time a verify step: {where}" if sure else ""
