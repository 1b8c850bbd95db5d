"""GitHub's workflow commands: one a finding, and a notice with the verdict."""

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


def step_summary(report: Report) -> str:
    """Markdown for the job's page: the verdict, the matrix, every finding."""
    lines = [
        f"### {report.summary}",
        "",
        "| mode | route | identical | not |",
        "|-|-|-|-|",
    ]
    lines += [
        f"| {c.mode} | {c.route} | {c.identical} | {c.different + c.broken} |"
        for c in report.matrix
    ]
    for failure in report.failures:
        text = "\n".join([failure.line, *failure.detail, failure.reproduce])
        lines += ["", "```", text, "```"]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
