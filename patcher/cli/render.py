"""Results as a person reads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from patcher.results import (
    AlreadyApplied,
    Applied,
    CheckedOut,
    FileEdit,
    Forgotten,
    Listed,
    NothingToDo,
    Reason,
    Refused,
    Result,
    RolledBack,
    Status,
    WouldApply,
)


def coloured(diff: str) -> str:
    """The diff in colour on a terminal, unless NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return diff
    colours = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}
    return "".join(
        typer.style(line, fg=colours.get(line[:1]))
        for line in diff.splitlines(keepends=True)
    )


def render(result: Result, *, wide: bool = True) -> str:
    """The result as a person reads it; what is a table if wide is a list if not."""
    match result:
        case Applied():
            head = f"applied {_names(result.patches)} to sglang {result.release}"
            rows = [*_files(result.files), *_commit(result.commit)]
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
        case Forgotten():
            head = f"{result.what}; forgot {_names(result.patches)}"
            rows = [*_files(result.files), *_commit(result.commit)]
        case NothingToDo():
            head, rows = f"nothing to do: {result.what}", []
        case Listed():
            from patcher.cli import table

            return table.text(result) if wide else table.lines(result)
        case Status():
            head, rows = _status(result)
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


def _status(status: Status) -> tuple[str, list[str]]:
    release = f"sglang {status.release}" if status.release else "no known release"
    near = "" if status.exact or not status.release else "near "
    width = max((len(file.path) for file in status.files), default=0)
    rows = [f"{name} {version}" for name, version in status.patches]
    rows += [f"{gate}: {value}" for gate, value in status.gates.items()]
    rows += [
        f"{file.path:{width}}  {(file.sha256 or 'missing')[:12]:12}  {file.kind}"
        for file in status.files
    ]
    if status.required:
        said = (
            "does not speak for this tree" if status.unmet else "speaks for this tree"
        )
        rows += [f"{status.required} {said}", *(f"  {why}" for why in status.unmet)]
    return f"{status.state}: {near}{release}", rows


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
        rows.append(f"error: {_printable(_what(reason))}")
        rows += [f"    {_printable(line)}" for line in reason.lines]
        if reason.hint and (following is None or following.hint != reason.hint):
            rows.append(f"  {reason.hint}")
    return "\n".join(rows)


def _what(reason: Reason) -> str:
    symbol = "" if reason.symbol in reason.what else reason.symbol
    return ": ".join(part for part in (reason.file, symbol, reason.what) if part)


def _printable(text: str) -> str:
    """The text with what would move a terminal's cursor, or cannot be said, escaped."""
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text)
