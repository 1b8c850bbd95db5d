"""Writes payload files for the tests of the steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

WritePayload = Callable[[str], Path]


def payload_writer(folder: Path) -> WritePayload:
    """A function that writes a payload file and returns its path."""
    count = iter(range(1000))

    def write(text: str) -> Path:
        path = folder / f"payload_{next(count)}.py"
        path.write_text(dedent(text))
        return path

    return write
