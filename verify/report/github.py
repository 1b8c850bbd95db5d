"""GitHub's workflow commands: one a failure, and a notice with the verdict."""

from __future__ import annotations

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


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
