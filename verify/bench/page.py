"""The report as one page that needs nothing else."""

from __future__ import annotations

import html

from verify.bench.report import BenchReport, dump


def render(report: BenchReport) -> str:
    return f"<!doctype html><pre>{html.escape(dump(report))}</pre>\n"
