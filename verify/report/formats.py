"""A report as JSON, JUnit XML, HTML and GitHub annotations."""

from __future__ import annotations

from verify.report.github import workflow_commands
from verify.report.html import html
from verify.report.junit import junit
from verify.report.model import Report

__all__ = ["html", "json", "junit", "workflow_commands"]


def json(report: Report) -> str:
    return report.model_dump_json(indent=1) + "\n"
