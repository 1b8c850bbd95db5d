"""Manual pages and docs/commands.md out of the commands' own help.

`python -m verify.cli.manual` in the project's root rewrites both; a test holds them
against the commands. pip puts the pages where `man` looks: share/man/man1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from patcher.cli import apply, checkout, rollback, status
from verify.cli import bench, compare, verify

COMMANDS = {
    "checkout-nsa-opt": checkout.app,
    "apply-nsa-opt": apply.app,
    "verify-nsa-opt": verify.app,
    "bench-nsa-opt": bench.app,
    "bench-nsa-opt compare": compare.app,
    "rollback-nsa-opt": rollback.app,
    "status-nsa-opt": status.app,
}
MARK = "<!-- from here on: python -m verify.cli.manual -->\n"
_ENVIRONMENT = {
    "NSA_OPT_CACHE": "the folder of the wheels, and of drawn scenarios that failed; "
    "else nsa-opt in XDG_CACHE_HOME, or in ~/.cache",
    "NO_COLOR": "set to anything: no colours",
}
_FILES = {"sglang/.nsa-opt": "in the tree: what was applied, and the originals"}


def main() -> int:
    """Rewrites `docs/man/*.1` and the end of `docs/commands.md`."""
    for name in COMMANDS:
        file = Path("docs/man", page_of(name))
        file.parent.mkdir(exist_ok=True)
        file.write_text(manual(name), encoding="utf-8")
    file = Path("docs/commands.md")
    file.write_text(described(file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def page_of(name: str) -> str:
    """The file of a command's manual page."""
    return f"{name.replace(' ', '-')}.1"


def manual(name: str) -> str:
    """A command's manual page, for man(7)."""
    command, context = _command(name)
    first, *rest = (command.help or "").strip().split("\n\n")
    lines = [
        f'.TH {page_of(name)[:-2].upper()} 1 "" nsa-opt nsa-opt',
        ".SH NAME", f"{name} \\- {_text(first[0].lower() + first[1:].rstrip('.'))}",
        ".SH SYNOPSIS", f".B {_text(name)}",
        _text(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION", *_paragraphs(rest),
        ".SH OPTIONS", *_listed(_options(command, context)),
        ".SH ENVIRONMENT", *_listed(_ENVIRONMENT.items()),
        ".SH FILES", *_listed(_FILES.items()),
        ".SH SEE ALSO",
        ", ".join(f"{_text(page_of(n)[:-2])}(1)" for n in COMMANDS if n != name),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def described(page: str) -> str:
    """The page with every command's help after the mark."""
    head, mark, _ = page.partition(MARK)
    return head + mark + "".join(_help(name) for name in COMMANDS)


def _help(name: str) -> str:
    command, context = _command(name)
    return f"\n## {name}\n\n```\n{command.get_help(context).rstrip()}\n```\n"


def _command(name: str) -> tuple[Any, Any]:
    """The command, and a context to ask it in, of 90 columns."""
    command: Any = typer.main.get_command(COMMANDS[name])
    # Typer adds these by what shell it finds itself in; a page is the same everywhere.
    shells = ("install_completion", "show_completion")
    command.params = [p for p in command.params if p.name not in shells]
    context = command.context_class(
        command, info_name=name, terminal_width=90, max_content_width=90
    )
    return command, context


def _options(command: Any, context: Any) -> Iterator[tuple[str, str]]:
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is not None and record[0].startswith("-"):
            yield record
    yield "--install-completion", "Install completion for the current shell."


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    """A paragraph keeps its lines where click's mark is at its head."""
    for text in texts:
        yield ".PP"
        if text.startswith("\b\n"):
            yield from (".nf", *map(_text, text[2:].splitlines()), ".fi")
        else:
            yield _text(" ".join(text.split()))


def _listed(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, said in pairs:
        yield from (".TP", f".B {_text(name)}", _text(said))


def _text(text: str) -> str:
    r"""Text for man: `-` as it is typed, and nothing read as a request."""
    found = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{found}" if found.startswith((".", "'")) else found


if __name__ == "__main__":
    sys.exit(main())
