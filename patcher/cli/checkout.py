"""The command `checkout-nsa-opt`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from patcher.cli import common, options
from patcher.results import Exit, Result

HELP = """Get a pinned sglang release as a git repository with one commit.

The release's wheel comes from pip's package index, is checked against the pinned hash,
and is kept in the user's cache (NSA_OPT_CACHE, or nsa-opt in XDG_CACHE_HOME).

\b
Example:
  checkout-nsa-opt 0.5.6.post2 ~/sglang

\b
Exit codes: 0 done, 2 usage, 4 the environment can't (no network, no git).
"""


@common.app(HELP)
def app(
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", autocompletion=common.releases)
    ],
    dest: Annotated[Path, typer.Argument(metavar="DEST")],
    json: options.Json = None,
    version: options.Version = False,
) -> Exit:
    def make() -> Result:
        from patcher.checkout import checkout

        return checkout(release, dest, common.progress)

    return common.finish(make, json, following=("apply-nsa-opt", dest))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return common.run(app, "checkout-nsa-opt", argv)


if __name__ == "__main__":
    sys.exit(main())
