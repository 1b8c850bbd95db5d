"""GitHub: annotations, one a finding and one with the verdict; a job's summary."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from verify.report.model import Report

LIMIT = 10  # GitHub shows no more of one kind


def workflow_commands(report: Report) -> str:
    """One line a finding, and one with the verdict; newlines are escaped."""
    lines = [
        f"::error title=verify-nsa-opt::{_escape(failure.line)}%0A"
        f"{_escape('reproduce: ' + failure.reproduce)}"
        for failure in report.failures[: LIMIT - 1]
    ]
    kind = "notice" if report.verdict == "identical" else "error"
    lines.append(f"::{kind} title=verify-nsa-opt::{_escape(report.summary)}")
    return "\n".join(lines) + "\n"


def step_summary(report: Report) -> str:
    """Markdown for the job's page: the verdict, the matrix, every finding."""
    rows = [
        (c.mode, c.route, str(c.identical), str(c.different + c.broken))
        for c in report.matrix
    ]
    head = f"### {report.summary}\n"
    lines = [head, table(("mode", "route", "identical", "not"), rows)]
    for failure in report.failures:
        text = "\n".join([failure.line, *failure.detail, failure.reproduce])
        lines += ["", "```", text, "```"]
    return "\n".join(lines) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["-"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def summarise(text: str) -> None:
    """Adds Markdown to the job's page, where there is one. Raises `OSError`."""
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(text)


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
