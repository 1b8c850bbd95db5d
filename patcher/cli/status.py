"""The command `status-nsa-opt`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patcher.cli import common, options
from patcher.results import Exit, Result

if TYPE_CHECKING:
    from patcher.about import About

HELP = """Say what is in an sglang tree: its release, its patches, and whose bytes those are.

The state is one of: original, patched, half (patched in part: the next command finishes),
restored (somebody else brought the originals back), orphaned (patched, but nothing tells
by whom), edited, unknown. Nothing is written.

\b
Examples:
  status-nsa-opt ~/sglang                         state, release, patches, hashes
  status-nsa-opt ~/sglang --json -                the same for a machine
  status-nsa-opt ~/sglang --require record.json   are these the bytes that were proved?

\b
Exit codes: 0 done, 1 not as the record says, 2 usage, 3 it cannot be told,
4 the environment can't.
"""


@common.app(HELP)
def app(
    context: typer.Context,
    tree: options.Tree,
    require: Annotated[
        Path | None,
        typer.Option(
            metavar="RECORD", help="Exit 1 unless these bytes are the record's."
        ),
    ] = None,
    json: options.Json = None,
    version: options.Version = False,
) -> Exit:
    def make() -> Result:
        from patcher.status import status
        from patcher.tree.find import find_tree

        return status(find_tree(tree), context.obj.abouts(), require)

    return common.finish(make, json)


def main(argv: Sequence[str] | None, abouts: Callable[[], tuple[About, ...]]) -> int:
    """Runs the command and returns its exit code."""
    return common.run(app, "status-nsa-opt", argv, abouts=abouts)
