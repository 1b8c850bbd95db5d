"""Writes what was asked for: the JSON, and a folder with JSON and page."""

from __future__ import annotations

from pathlib import Path

from patcher.cli.outputs import STDOUT
from patcher.results import Exit, Reason, Refusal
from verify.engine.report.html import html
from verify.engine.report.model import EngineReport
from verify.report.model import dump

_JSON = "engine.json"


def reserve(folder: Path | None, json_file: Path | None) -> None:
    """Opens what will be written, before anything is started. Raises `Refusal`."""
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        for file in (json_file, folder / _JSON if folder else None):
            if file is not None and file != STDOUT:
                file.open("a").close()
    except OSError as error:
        raise _unwritable(error) from error


def write(report: EngineReport, folder: Path | None, json_file: Path | None) -> None:
    """Raises `Refusal` where a file cannot be written."""
    text = dump(report)
    try:
        if json_file is not None and json_file != STDOUT:
            json_file.write_text(text, encoding="utf-8")
        if folder is not None:
            (folder / _JSON).write_text(text, encoding="utf-8")
            (folder / "engine.html").write_text(html(report), encoding="utf-8")
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> Refusal:
    what = f"cannot be written: {error.strerror or error}"
    reason = Reason(str(error.filename or ""), "", what)
    return Refusal(reason, code=Exit.UNAVAILABLE)
