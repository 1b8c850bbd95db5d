"""Writes a report as JSON, JUnit XML and HTML, and as annotations on GitHub."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from patcher.cli.outputs import STDOUT, Output
from verify.report.github import step_summary, summarise, workflow_commands
from verify.report.html import html
from verify.report.junit import junit
from verify.report.model import Report, dump


def write(
    report: Report, folder: Path | None, json_file: Path | None, junit_file: Path | None
) -> None:
    """`folder` gets all of them; on GitHub there are annotations and a summary too."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "report.json", dump(report))
        _write(folder / "junit.xml", junit(report))
        _write(folder / "report.html", html(report))
    if json_file is not None:
        _write(json_file, dump(report))
    if junit_file is not None:
        _write(junit_file, junit(report))
    if os.environ.get("GITHUB_ACTIONS"):
        # GitHub reads both streams; what is asked for on stdout stays alone there.
        stream = sys.stderr if STDOUT in (json_file, junit_file) else sys.stdout
        stream.write(workflow_commands(report))
    summarise(step_summary(report))


def _write(path: Path, text: str) -> None:
    Output(path).write(text)
