"""What the commands share: running an app, and rendering results. Only this prints."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from patcher import __version__
from patcher.results import (
    AlreadyApplied,
    Applied,
    CheckedOut,
    Exit,
    FileEdit,
    NothingToDo,
    Reason,
    Refusal,
    Refused,
    Result,
    RolledBack,
    WouldApply,
)

if TYPE_CHECKING:
    from patcher.recipe import Patch


def app(help: str) -> Callable[[Callable[..., None]], typer.Typer]:
    """Makes a one-command app of a function; its help keeps its line breaks."""

    def make(function: Callable[..., None]) -> typer.Typer:
        made = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        made.command(help=help)(function)
        return made

    return make


def run(app: typer.Typer, name: str, argv: Sequence[str] | None) -> int:
    """Runs the app; the exit code comes back instead of ending the process."""
    try:
        app(args=sys.argv[1:] if argv is None else list(argv), prog_name=name)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return int(Exit.DONE)


def show_version(asked: bool) -> None:
    """The callback of `--version`."""
    if asked:
        typer.echo(f"nsa-opt {__version__}")
        raise typer.Exit


def patches() -> tuple[Patch, ...]:
    """All patches, in canonical order; loading them takes libcst along."""
    from patches import all_patches

    return all_patches()


def finish(make: Callable[[], Result], json_file: Path | None) -> None:
    """Makes the result, prints it, writes the report, and ends with its exit code."""
    try:
        result = make()
    except Refusal as refusal:
        result = Refused(refusal.reasons, refusal.code)
    typer.echo(render(result), err=isinstance(result, Refused))
    if json_file is not None:
        write_report(result, json_file)
    raise typer.Exit(int(result.exit))


def progress(line: str) -> None:
    """One line of progress, on stderr."""
    typer.echo(line, err=True)


def write_report(result: Result, path: Path) -> None:
    """The result as JSON; `report.schema.json` describes it."""
    report = {"result": type(result).__name__, **dataclasses.asdict(result)}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def render(result: Result) -> str:
    """The result as a person reads it."""
    match result:
        case Applied():
            head = f"applied {_names(result.patches)} to sglang {result.release}"
            rows = [*_files(result.files), *_commit(result.commit)]
            rows.append(f"next: verify-nsa-opt {result.tree}")
        case WouldApply():
            head = f"would apply {_names(result.patches)} to sglang {result.release}"
            rows = _files(result.files)
        case AlreadyApplied():
            head = (
                f"nothing to do: sglang {result.release} has {_names(result.patches)}"
            )
            rows = []
        case RolledBack():
            head = f"rolled back {_names(result.patches)}"
            rest = f"; {_names(result.left)} stay" if result.left else ""
            head += rest or f": sglang {result.release} has its original bytes, by hash"
            rows = [*_files(result.files), *_commit(result.commit)]
        case NothingToDo():
            head, rows = f"nothing to do: {result.what}", []
        case CheckedOut():
            head = (
                f"sglang {result.release} is at {result.dest}, commit {result.commit}"
            )
            rows = []
        case Refused():
            return "\n".join(_reason(reason) for reason in result.reasons)
    notes = getattr(result, "notes", ())
    return "\n".join(
        [head, *(f"  {row}" for row in rows), *(f"note: {n}" for n in notes)]
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "nothing"


def _commit(commit: str | None) -> list[str]:
    return [f"commit {commit}"] if commit else []


def _files(files: Sequence[FileEdit]) -> list[str]:
    width = max((len(file.path) for file in files), default=0)
    rows = []
    for file in files:
        kind = " (new)" if file.created else " (removed)" if file.deleted else ""
        rows.append(f"{file.path:{width}}  +{file.added} -{file.removed}{kind}")
    return rows


def _reason(reason: Reason) -> str:
    place = reason.file
    if reason.symbol and reason.symbol not in reason.what:
        place += f": {reason.symbol}" if place else reason.symbol
    head = f"error: {place}: {reason.what}" if place else f"error: {reason.what}"
    if reason.file and not reason.symbol:
        head = f"error: {place} {reason.what}"
    rows = [head, *(f"    {line}" for line in reason.lines)]
    return "\n".join([*rows, *([f"  {reason.todo}"] if reason.todo else [])])
