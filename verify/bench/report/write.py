"""Writes what was asked for: the full JSON, and a folder with page and plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from patcher.cli.outputs import Output
from patcher.results import Exit, Reason, Refusal
from verify.bench.report import plots
from verify.bench.report.console import heads, rows
from verify.bench.report.html import headline, html
from verify.bench.report.model import BenchReport, dump_compact
from verify.report.github import summarise, table
from verify.report.model import dump


def write(
    report: BenchReport,
    folder: Path | None,
    json_file: Path | None,
    progress: Callable[[str], None],
) -> None:
    """`folder` gets the compact JSON, `json_file` every round and kernel.

    Raises `Refusal` where a file cannot be written.
    """
    try:
        if json_file is not None:
            Output(json_file).write(dump(report))
        if folder is not None:
            _folder(report, folder, progress)
        summarise(step_summary(report))
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        reason = Reason(str(error.filename or folder or json_file), "", what)
        raise Refusal(reason, code=Exit.UNAVAILABLE) from error


def step_summary(report: BenchReport) -> str:
    """Markdown for a GitHub job's page: the headline, and each mode's table."""
    title, _ = headline(report)
    text = f"### {title}\n\n{report.summary}\n"
    points = [point for point in report.points if not point.on_curve_only]
    for mode in dict.fromkeys(point.mode for point in points):
        lines = [
            [*cells, verdict]
            for point in points
            if point.mode == mode
            for cells, verdict, _ in rows(report, point)
        ]
        text += f"\n{mode}\n\n{table(heads(report, mode), lines)}"
    return text


def _folder(report: BenchReport, folder: Path, progress: Callable[[str], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    drawn = plots.draw(report)
    files = {
        "report.json": dump_compact(report).encode(),
        "report.html": html(report, drawn).encode(),
        **{f"{plot.name}.svg": plot.svg.encode() for plot in drawn},
        **{f"{plot.name}.png": plot.png for plot in drawn},
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    progress(f"wrote {folder}: {', '.join(files)}")
    if not drawn:
        progress(plots.MISSING)
