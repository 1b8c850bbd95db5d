"""The command `rollback-nsa-opt`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from patcher.cli import common, options
from patcher.recipe import Discover
from patcher.results import Exit, Result

HELP = """Give an sglang tree its original bytes back, proved by hash.

\b
Examples:
  rollback-nsa-opt ~/sglang                    all patches
  rollback-nsa-opt ~/sglang --patch fan-out    this one, as if it had never been there

\b
Exit codes: 0 done, 2 usage, 3 the tree refuses, 4 the environment can't.
"""


@common.app(HELP)
def app(
    context: typer.Context,
    tree: options.Tree,
    patch: options.Patches = None,
    revert: Annotated[
        bool,
        typer.Option("--revert", help="Commit the rollback of a committed apply."),
    ] = False,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Only remove what an apply left behind."),
    ] = False,
    json: options.Json = None,
    version: options.Version = False,
) -> Exit:
    def make() -> Result:
        from patcher.rollback import rollback
        from patcher.tree.find import find_tree

        return rollback(
            find_tree(tree),
            common.names(patch),
            context.obj.patches,
            revert=revert,
            forget=forget,
            progress=common.progress,
        )

    return common.finish(make, json)


def main(argv: Sequence[str] | None, patches: Discover) -> int:
    """Runs the command and returns its exit code."""
    return common.run(app, "rollback-nsa-opt", argv, patches)
