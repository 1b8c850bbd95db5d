"""Writes a report in the formats that were asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from verify.report import formats
from verify.report.model import Report


def write(
    report: Report, folder: Path | None, json: Path | None, junit: Path | None
) -> None:
    """`folder` gets all of them; annotations go to stdout on GitHub."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "report.json", formats.json(report))
        _write(folder / "junit.xml", formats.junit(report))
        _write(folder / "report.html", formats.html(report))
    if json is not None:
        _write(json, formats.json(report))
    if junit is not None:
        _write(junit, formats.junit(report))
    if os.environ.get("GITHUB_ACTIONS"):
        sys.stdout.write(formats.workflow_commands(report))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
