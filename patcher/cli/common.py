"""What the commands share: running an app and printing its result; only this prints."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from patcher import __version__
from patcher.cli.render import coloured, render
from patcher.results import Exit, Reason, Refusal, Refused, Result, WouldApply

if TYPE_CHECKING:
    from patcher.recipe import Patch

Discover = Callable[[], "tuple[Patch, ...]"]


@dataclass(frozen=True)
class Invocation:
    """What a command gets beside its options: the `obj` of its context.

    arguments  the command line, for reports
    patches    finds the patches, in canonical order; loading them takes libcst along
    """

    arguments: tuple[str, ...]
    patches: Discover


def app(help: str) -> Callable[[Callable[..., Exit]], typer.Typer]:
    """Makes a one-command app of a function that returns its exit code, or refuses.

    Its help keeps its line breaks.
    """

    def make(function: Callable[..., Exit]) -> typer.Typer:
        @functools.wraps(function)
        def answered(*args: object, **options: object) -> None:
            try:
                code = function(*args, **options)
            except Refusal as refusal:
                code = refused(refusal)
            raise typer.Exit(int(code))

        made = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        made.command(help=help)(answered)
        return made

    return make


def run(
    app: typer.Typer, name: str, argv: Sequence[str] | None, patches: Discover = tuple
) -> int:
    """Runs the app; the exit code comes back instead of ending the process.

    In a git hook, git would look where these variables say, and not in the tree.
    """
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"):
        os.environ.pop(variable, None)
    invocation = Invocation(tuple(sys.argv[1:] if argv is None else argv), patches)
    try:
        app(args=list(invocation.arguments), prog_name=name, obj=invocation)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return int(Exit.DONE)


def refused(refusal: Refusal) -> Exit:
    """Says why, in the one form that every command has; the exit code comes back."""
    typer.echo(render(Refused(refusal.reasons, refusal.code)), err=True)
    return refusal.code


def show_version(asked: bool) -> None:
    """The callback of `--version`."""
    if asked:
        typer.echo(f"nsa-opt {__version__}")
        raise typer.Exit


def names(texts: Sequence[str] | None) -> tuple[str, ...]:
    """What a repeatable option named: `a,b` is two names."""
    return tuple(name.strip() for text in texts or () for name in text.split(","))


def patch_names(context: typer.Context) -> list[str]:
    """What the shell may complete after `--patch`."""
    return [patch.name for patch in context.obj.patches()]


def releases() -> list[str]:
    """What the shell may complete for a release."""
    from patcher.tree.pins import pins

    return list(pins())


def finish(
    make: Callable[[], Result], json_file: Path | None, *, show_diff: bool = False
) -> Exit:
    """Makes the result, prints it, writes the report; the exit code comes back."""
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
    return result.exit


def _unavailable(error: OSError) -> Refused:
    what = f"cannot be used: {error.strerror or error}"
    return Refused((Reason(str(error.filename or ""), "", what),), Exit.UNAVAILABLE)


def _print(result: Result, show_diff: bool) -> None:
    """Results on stdout; refusals, and what stands beside a diff, on stderr."""
    beside = show_diff and isinstance(result, WouldApply)
    if beside and isinstance(result, WouldApply):
        typer.echo(coloured(result.diff), nl=False)
    typer.echo(render(result), err=beside or isinstance(result, Refused))


def progress(line: str) -> None:
    """One line of progress, on stderr."""
    typer.echo(line, err=True)
