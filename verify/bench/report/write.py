"""Writes what was asked for: the JSON report, and a folder with page and plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from patcher.results import Exit, Reason, Refusal
from verify.bench.report import html as page
from verify.bench.report.model import BenchReport, dump


def write(
    report: BenchReport,
    folder: Path | None,
    json_file: Path | None,
    progress: Callable[[str], None],
) -> None:
    """Raises `Refusal` where a file cannot be written."""
    try:
        if json_file is not None:
            json_file.write_text(dump(report), encoding="utf-8")
        if folder is not None:
            _folder(report, folder, progress)
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        reason = Reason(str(error.filename or folder or json_file), "", what)
        raise Refusal(reason, code=Exit.UNAVAILABLE) from error


def _folder(report: BenchReport, folder: Path, progress: Callable[[str], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(dump(report), encoding="utf-8")
    (folder / "report.html").write_text(page.render(report), encoding="utf-8")
    try:
        from verify.bench.report import plots

        files = plots.write(report, folder)
    except ImportError:
        progress(
            "no PNG or SVG plots: matplotlib is not installed here "
            "(pip install 'nsa-opt[plots]'); report.html has its own"
        )
        return
    progress(f"wrote {folder}: report.html, report.json, {', '.join(files)}")
