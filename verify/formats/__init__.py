"""A report as JSON, JUnit XML, HTML and GitHub annotations."""

from __future__ import annotations

from verify.formats.github import workflow_commands
from verify.formats.junit import junit
from verify.formats.page import html
from verify.report import Report

__all__ = ["html", "json", "junit", "workflow_commands"]


def json(report: Report) -> str:
    return report.model_dump_json(indent=1) + "\n"
