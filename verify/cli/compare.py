"""The command `bench-nsa-opt compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from patcher.cli import common, outputs
from patcher.cli import options as shared
from patcher.results import Exit, misused

NAME = "bench-nsa-opt compare"
HELP = """Set bench reports beside each other: what became of each ratio over time.

A.json, B.json, ... are what `bench-nsa-opt --json` or `--report` wrote, in order. The
change is the last one's ratio to its original over the first one's: FASTER or SLOWER
where the two 95% intervals do not meet, SAME within 3%. A report of a bench that was
stopped is marked, and not taken with --max-slowdown.

\b
Examples:
  bench-nsa-opt compare monday/report.json today/report.json
  bench-nsa-opt compare main.json branch.json --max-slowdown 5

\b
Exit codes: 0 done; 1 a ratio fell by more than --max-slowdown; 2 usage; 4 a file
cannot be read.
"""


@common.app(HELP, undone="nothing was compared")
def app(
    files: Annotated[list[Path], typer.Argument(metavar="REPORT.json...")],
    max_slowdown: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Exit 1 where a ratio surely fell more."),
    ] = None,
    json: shared.Json = None,
    version: shared.Version = False,
) -> Exit:
    outputs.require_writable((json,))
    with common.refusals_in(json):
        if len(files) < 2:
            what = "one report alone compares with nothing"
            raise misused(str(files[0]), what, f"see {NAME} --help")
        from verify.bench.report import compare
        from verify.report.console import terminal
        from verify.report.model import dump

        found = compare.compare(files, whole=max_slowdown is not None)
    beside = json == outputs.STDOUT
    compare.render(found, terminal(beside=beside, width=200))
    if json:
        outputs.Output(json).write(dump(found))
    slower = found.slower_by(max_slowdown) if max_slowdown is not None else []
    for row in slower:
        outputs.complain(f"slower than allowed: {row.side} at {row.point}")
    return Exit.DIFFERS if slower else Exit.DONE


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    return common.run(app, NAME, argv)
