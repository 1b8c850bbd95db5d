"""Where a command writes: files opened before its work, and streams that are looked after.

Everything here ends in `OSError` or in written bytes; nothing is lost in silence.
"""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import typer

STDOUT = Path("-")
"""What stands for the standard output where a file is asked for."""


class Output:
    """A file that a command writes at its end. Made before the work, or it is refused.

    What stands in the file already stays until then. Raises `OSError`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1
        if path != STDOUT:
            self._new = not path.exists()
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
                self._handle = os.open(path, flags, 0o666)
            except OSError as error:
                error.filename = str(path)
                raise

    def write(self, text: str) -> None:
        """Makes `text` all that is in the file."""
        if self._path == STDOUT:
            typer.echo(text, nl=False)
            return
        try:
            with contextlib.suppress(OSError):  # a pipe, a device
                os.ftruncate(self._handle, 0)
            rest = memoryview(text.encode())
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as error:
            error.filename = str(self._path)
            raise
        finally:
            os.close(self._handle)
            self._handle = -1

    def drop(self) -> None:
        """Leaves the file as it was before."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            if self._new:
                with contextlib.suppress(OSError):
                    self._path.unlink()


def require_writable(files: Iterable[Path | None], folder: Path | None = None) -> None:
    """Sees that these files can be written, and files in the folder, which is made.

    Raises `OSError`.
    """
    for path in files:
        if path is not None:
            Output(path).drop()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        Output(folder / f".nsa-opt.{os.getpid()}").drop()


def require_streams() -> None:
    """Raises `OSError` when there is no standard output to write to."""
    if sys.stdout is None:
        raise OSError("the standard output is closed")


def columns(stream: TextIO | None) -> int | None:
    """How wide the terminal is that a stream goes to; None if it goes elsewhere."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream else None
    except (OSError, ValueError):
        return None


def fitted(text: str, stream: TextIO | None) -> str:
    """The text with lines that a terminal would break inside a word broken before it.

    What is longer than a line, a path or a command to copy, stays in one piece.
    """
    width = columns(stream)
    if not width:
        return text
    rows: list[str] = []
    for line in text.split("\n"):
        if len(line) <= width or line.lstrip().startswith("next: "):
            rows.append(line)
            continue
        indent = line[: len(line) - len(line.lstrip())] + "    "
        rows += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(rows)


def settle() -> None:
    """Brings what was printed to where it goes. Raises `OSError`."""
    if sys.stdout is not None:
        sys.stdout.flush()


def silence() -> None:
    """After an error of the standard output: nothing more goes there, nor at the end."""
    if sys.stdout is None:
        return
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def complain(text: str) -> None:
    """A line on stderr, if that can be written."""
    with contextlib.suppress(OSError, ValueError):
        typer.echo(fitted(text, sys.stderr), err=True)
        if sys.stderr is not None:
            sys.stderr.flush()
