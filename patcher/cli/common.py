"""What the commands share: running an app and printing its result; only this prints."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from patcher import __version__
from patcher.cli import outputs
from patcher.cli.render import coloured, render
from patcher.disk.signals import as_interrupts
from patcher.results import (
    Applied,
    CheckedOut,
    Exit,
    Interrupted,
    Reason,
    Refusal,
    Refused,
    Result,
    WouldApply,
)

if TYPE_CHECKING:
    from patcher.about import About
    from patcher.recipe import Discover


# Typer brings click along in some versions and depends on it in others.
_Misuse: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


WIDE = 120
"""Columns of a terminal that tables fit."""
HELP = 90
"""Columns that help's examples fit."""


@dataclass(frozen=True)
class Invocation:
    """What a command gets beside its options: the `obj` of its context.

    arguments  the command line, for reports
    patches    finds the patches, in canonical order; loading them takes libcst along
    abouts     finds what they say of themselves, which is quick
    """

    arguments: tuple[str, ...]
    patches: Discover = tuple
    abouts: Callable[[], tuple[About, ...]] = tuple


def app(
    help: str, undone: str = "nothing was changed"
) -> Callable[[Callable[..., Exit]], typer.Typer]:
    """Makes a one-command app of a function that returns its exit code, or refuses.

    Its help keeps its line breaks. `undone` is what an interrupt leaves.
    """

    def make(function: Callable[..., Exit]) -> typer.Typer:
        @functools.wraps(function)
        def answered(*args: object, **options: object) -> None:
            work = functools.partial(function, *args, **options)
            raise typer.Exit(int(_answer(work, undone)))

        made = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        made.command(help=help)(answered)
        return made

    return make


def run(
    app: typer.Typer,
    name: str,
    argv: Sequence[str] | None,
    patches: Discover = tuple,
    abouts: Callable[[], tuple[About, ...]] = tuple,
) -> int:
    """Runs the app; the exit code comes back instead of ending the process.

    In a git hook, git would look where these variables say, and not in the tree.
    """
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"):
        os.environ.pop(variable, None)
    arguments = tuple(sys.argv[1:] if argv is None else argv)
    width = outputs.columns(sys.stdout)
    if width is not None and width < HELP:
        for command in app.registered_commands:
            command.help = _narrow(command.help or "")
    invocation = Invocation(arguments, patches, abouts)

    def work() -> Exit | int:
        outputs.require_streams()
        try:
            code = app(
                args=list(arguments),
                prog_name=name,
                obj=invocation,
                standalone_mode=False,
            )
        except _Misuse as misuse:
            raise _misused(misuse, name) from None
        except SystemExit as stop:
            if isinstance(stop.__context__, OSError):
                raise stop.__context__ from None
            return stop.code if isinstance(stop.code, int) else 1
        return code if isinstance(code, int) else Exit.DONE

    with as_interrupts():
        return int(_answer(work, ""))


def _narrow(help: str) -> str:
    """Help whose examples have what they do below them, and whose text may be wrapped."""
    wrapped = help.replace("\b\nExit codes", "Exit codes")
    return re.sub(r"^(  \S.*?\S) {3,}(?=\S)", r"\1\n      ", wrapped, flags=re.M)


def _answer(work: Callable[[], Exit | int], undone: str) -> Exit | int:
    """What the work returns; or why it did not, in one form, and the code of that."""
    try:
        code = work()
        outputs.settle()
    except Refusal as refusal:
        return refused(refusal)
    except Interrupted as stop:
        outputs.complain(f"interrupted: {stop}")
        return Exit.INTERRUPTED
    except KeyboardInterrupt:
        outputs.complain(f"interrupted: {undone}")
        return Exit.INTERRUPTED
    except OSError as error:
        outputs.silence()
        return refused(_unavailable(error))
    return code


def _misused(misuse: Exception, name: str) -> Refusal:
    """What the command line's parser says, in our form."""
    close = getattr(misuse, "possibilities", None)
    said = misuse.message if close else misuse.format_message()  # type: ignore[attr-defined]
    hint = f"did you mean {' or '.join(close)}?" if close else f"see {name} --help"
    what = said[:1].lower() + said[1:].rstrip(".")
    return Refusal(Reason("", "", what, hint), code=Exit.USAGE)


@contextlib.contextmanager
def refusals_in(*files: Path | None) -> Iterator[None]:
    """A refusal of what runs within becomes a report in these files too."""
    try:
        yield
    except Refusal as refusal:
        from patcher.report import report

        said = report(Refused(refusal.reasons, refusal.code))
        for file in files:
            if file is not None:
                outputs.Output(file).write(json.dumps(said, indent=1) + "\n")
        raise


def refused(refusal: Refusal) -> Exit:
    """Says why, in the one form that every command has; the exit code comes back."""
    outputs.complain(render(Refused(refusal.reasons, refusal.code)))
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
    make: Callable[[], Result],
    json_file: Path | None,
    *,
    show_diff: bool = False,
    following: tuple[str, Path] | None = None,
) -> Exit:
    """Makes the result, prints it, writes the report; the exit code comes back.

    following: the command to run next, and the path that it is for, as it was typed.
    Raises `OSError` when the report cannot be opened, before anything else.
    """
    output = outputs.Output(json_file) if json_file else None
    try:
        result = make()
    except Refusal as refusal:
        result = Refused(refusal.reasons, refusal.code)
    except BaseException:
        if output:
            output.drop()
        raise
    _print(result, show_diff, beside=json_file == outputs.STDOUT)
    if following and isinstance(result, Applied | CheckedOut):
        line = shlex.join(map(str, following))
        typer.echo(f"  next: {line}", err=json_file == outputs.STDOUT)
    if output:
        from patcher.report import report

        output.write(json.dumps(report(result), indent=1) + "\n")
    return result.exit


def _unavailable(error: OSError) -> Refusal:
    what = f"cannot be used: {error.strerror or error}"
    return Refusal(
        Reason(str(error.filename or "output"), "", what), code=Exit.UNAVAILABLE
    )


def _print(result: Result, show_diff: bool, *, beside: bool) -> None:
    """Results on stdout; refusals, and what stands beside other output, on stderr."""
    if isinstance(result, Refused):
        outputs.complain(render(result))
        return
    if show_diff and isinstance(result, WouldApply):
        typer.echo(coloured(result.diff), nl=False, err=beside)
        beside = True
    stream = sys.stderr if beside else sys.stdout
    width = outputs.columns(stream)
    text = render(result, wide=width is None or width >= WIDE)
    typer.echo(outputs.fitted(text, stream), err=beside)


def progress(line: str) -> None:
    """One line of progress, on stderr."""
    typer.echo(line, err=True)
