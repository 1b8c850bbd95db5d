"""PNG and SVG plots for a README, drawn with matplotlib (the extra `plots`)."""

from __future__ import annotations

from pathlib import Path

from verify.bench.report import BenchReport


def write(report: BenchReport, folder: Path) -> list[str]:
    """The names of the files written below `folder`."""
    return []
