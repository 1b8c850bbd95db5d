"""The command `apply-nsa-opt`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from patcher.cli import common, options
from patcher.recipe import Discover
from patcher.results import Exit, Reason, Refusal, Result, WouldApply

HELP = """Put the NSA replay-metadata patches into an sglang tree: all or nothing.

TREE is a git checkout of sglang, a site-packages folder, an unpacked wheel, or the
sglang package itself.

\b
Examples:
  apply-nsa-opt ~/sglang                       all patches that fit
  apply-nsa-opt ~/sglang --diff                show the change, write nothing
  apply-nsa-opt ~/sglang --patch in-graph      one patch, and what it requires
  apply-nsa-opt ~/sglang --commit              and commit it
  apply-nsa-opt --list                         patches, releases, what fits what

\b
Exit codes: 0 done, 1 would change (--check), 2 usage, 3 the tree refuses,
4 the environment can't.
"""


@common.app(HELP)
def app(
    context: typer.Context,
    tree: Annotated[
        Path | None, typer.Argument(metavar="TREE", show_default=False)
    ] = None,
    patch: options.Patches = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show the change as a diff; write nothing.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if it would change.")
    ] = False,
    allow_drift: Annotated[
        bool,
        typer.Option("--allow-drift", help="Patch beside edits of your own."),
    ] = False,
    allow_dirty: Annotated[
        bool,
        typer.Option("--allow-dirty", help="Patch files with uncommitted edits too."),
    ] = False,
    commit: Annotated[
        bool, typer.Option("--commit", help="Commit the change with git.")
    ] = False,
    list_: Annotated[
        bool,
        typer.Option("--list", help="List what fits what; with TREE, what fits it."),
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="With --list: the table in Markdown.")
    ] = False,
    json: options.Json = None,
    version: options.Version = False,
) -> Exit:
    if markdown:
        if not list_ or tree or json:
            what = "--markdown goes with --list alone"
            raise Refusal(Reason("", "", what, "see --help"), code=Exit.USAGE)
        from patcher.cli import table

        typer.echo(table.markdown(context.obj.patches()))
        return Exit.DONE

    def make() -> Result:
        from patcher.apply import apply
        from patcher.tree.find import find_tree

        if list_:
            from patcher.cli.table import listed

            return listed(context.obj.patches(), find_tree(tree) if tree else None)
        if tree is None:
            raise Refusal(Reason("", "", "which TREE?", "see --help"), code=Exit.USAGE)
        result = apply(
            find_tree(tree),
            common.names(patch),
            context.obj.patches(),
            dry=diff or check,
            allow_drift=allow_drift,
            allow_dirty=allow_dirty,
            commit=commit,
            progress=common.progress,
        )
        if isinstance(result, WouldApply) and not check:
            return replace(result, exit=Exit.DONE)
        return result

    following = ("verify-nsa-opt", tree) if tree else None
    return common.finish(make, json, show_diff=diff, following=following)


def main(argv: Sequence[str] | None, patches: Discover) -> int:
    """Runs the command and returns its exit code."""
    return common.run(app, "apply-nsa-opt", argv, patches)
