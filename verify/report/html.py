"""The verification's page: verdict, matrix, failures with pictures, environment."""

from __future__ import annotations

from verify.report.model import Report
from verify.report.page import render

_HEADLINES = {
    "identical": ("Identical", "good"),
    "different": ("Not identical", "bad"),
    "unverified": ("Not verified", "bad"),
}


def html(report: Report) -> str:
    """One page that needs nothing else; amber where only a CPU said so."""
    headline, tone = _HEADLINES[report.verdict]
    if report.incomplete is not None:
        headline, tone = "Stopped: no verdict", "bad" if report.failures else "warn"
    if report.device.logic_only and tone == "good":
        headline, tone = "Identical on a CPU: the logic, not the GPU", "warn"
    worker = report.workers[0] if report.workers else None
    software = (
        f", torch {worker.torch}, Triton {worker.triton or 'none'}" if worker else ""
    )
    new, old = report.candidate, report.baseline
    return render(
        "verify.html",
        report=report,
        headline=headline,
        tone=tone,
        facts=[
            ("Tree", new.label),
            ("Release", new.release),
            ("Patches", ", ".join(new.patches)),
            ("Commit", new.commit),
            ("Compared with", f"{old.label} ({old.release})"),
            ("Machine", f"{report.device.name}{software}"),
            ("Started", f"{report.started}, {report.totals.seconds:.0f} s"),
            ("Tool", report.tool),
        ],
        modes=list(dict.fromkeys(cell.mode for cell in report.matrix)),
        routes=list(dict.fromkeys(cell.route for cell in report.matrix)),
        cells={(cell.route, cell.mode): cell for cell in report.matrix},
    )
