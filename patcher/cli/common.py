"""What the commands share: running an app, and rendering results. Only this prints."""

from __future__ import annotations

import json
import os
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
    """Runs the app; the exit code comes back instead of ending the process.

    In a git hook, git would look where these variables say, and not in the tree.
    """
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"):
        os.environ.pop(variable, None)
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


def patch_names() -> list[str]:
    """What the shell may complete after `--patch`."""
    return [patch.name for patch in patches()]


def releases() -> list[str]:
    """What the shell may complete for a release."""
    from patcher.pins import pins

    return list(pins())


def patches() -> tuple[Patch, ...]:
    """All patches, in canonical order; loading them takes libcst along."""
    from patches import all_patches

    return all_patches()


def finish(
    make: Callable[[], Result], json_file: Path | None, *, show_diff: bool = False
) -> None:
    """Makes the result, prints it, writes the report, and ends with its exit code."""
    try:
        result = make()
    except Refusal as refusal:
        result = Refused(refusal.reasons, refusal.code)
    except OSError as error:
        result = _unavailable(error)
    _print(result, show_diff)
    if json_file is not None:
        from patcher.report import report

        text = json.dumps(report(result), indent=1) + "\n"
        try:
            json_file.write_text(text, encoding="utf-8")
        except OSError as error:
            result = _unavailable(error)
            _print(result, show_diff)
    raise typer.Exit(int(result.exit))


def _unavailable(error: OSError) -> Refused:
    what = f"cannot be used: {error.strerror or error}"
    return Refused((Reason(str(error.filename or ""), "", what),), Exit.UNAVAILABLE)


def _print(result: Result, show_diff: bool) -> None:
    """Results on stdout; refusals, and what stands beside a diff, on stderr."""
    beside = show_diff and isinstance(result, WouldApply)
    if beside and isinstance(result, WouldApply):
        typer.echo(coloured(result.diff), nl=False)
    typer.echo(render(result), err=beside or isinstance(result, Refused))


def coloured(diff: str) -> str:
    """The diff in colour on a terminal, unless NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return diff
    colours = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}
    return "".join(
        typer.style(line, fg=colours.get(line[:1]))
        for line in diff.splitlines(keepends=True)
    )


def progress(line: str) -> None:
    """One line of progress, on stderr."""
    typer.echo(line, err=True)


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
            rest = f"; still there: {_names(result.left)}" if result.left else ""
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
            return _reasons(result.reasons)
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


def _reasons(reasons: Sequence[Reason]) -> str:
    """Every reason with its lines; advice that several share stands once, last."""
    rows: list[str] = []
    for reason, following in zip(reasons, [*reasons[1:], None], strict=True):
        rows.append(f"error: {_what(reason)}")
        rows += [f"    {line}" for line in reason.lines]
        if reason.todo and (following is None or following.todo != reason.todo):
            rows.append(f"  {reason.todo}")
    return "\n".join(rows)


def _what(reason: Reason) -> str:
    symbol = "" if reason.symbol in reason.what else reason.symbol
    return ": ".join(part for part in (reason.file, symbol, reason.what) if part)
