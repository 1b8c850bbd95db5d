"""The command `verify-nsa-opt`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from patcher.cli import common, outputs
from patcher.cli import options as shared
from patcher.results import Exit
from verify.cli import options

HELP = """Prove that a patched sglang tree leaves the same NSA metadata, bit for bit.

TREE is a git checkout of sglang, a site-packages folder, an unpacked wheel, or the
sglang package itself; the current directory if left out. The baseline, what it is
compared with, is its own originals, which apply has kept, unless --baseline names
another tree, a release, or in-tree: the tree's own loop over step backends.

\b
Examples:
  verify-nsa-opt ~/sglang                             every route, every mode
  verify-nsa-opt ~/sglang --route fan-out             one route
  verify-nsa-opt ~/sglang --baseline in-tree          a tree that nobody here patched
  verify-nsa-opt ~/sglang --baseline 0.5.6.post2      against a release
  verify-nsa-opt ~/sglang --cases 200 --seed 7        drawn scenarios, shrunk failures
  verify-nsa-opt ~/sglang --report out                out/report.html, .json, junit.xml

\b
Exit codes: 0 identical, 1 not identical (or only the candidate crashes, hangs
or falls back), 2 usage, 3 the tree refuses, 4 the environment can't (no GPU, no
torch, a baseline that died), 130 stopped: what was judged by then is shown, marked
incomplete, and is no verdict.
"""


@common.app(HELP, undone="there is no verdict")
def app(
    context: typer.Context,
    tree: Annotated[Path, typer.Argument(metavar="TREE", show_default=False)] = Path(
        "."
    ),
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="TREE|RELEASE|in-tree|originals",
            help="What to compare with.",
            autocompletion=options.baselines,
        ),
    ] = None,
    route: options.Routes = None,
    device: options.Device = "auto",
    python: options.Python = None,
    runtime: Annotated[
        str,
        typer.Option(
            metavar="isolated|installed",
            help="Only what metadata needs, or the sglang of --python.",
            autocompletion=options.runtimes,
        ),
    ] = "isolated",
    seed: options.Seed = 0,
    cases: Annotated[
        int, typer.Option(metavar="N", help="N random scenarios a route instead.")
    ] = 0,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="Only this one, as a report names it; repeatable."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds a scenario may take.")
    ] = 120.0,
    sanitize: Annotated[
        bool,
        typer.Option("--sanitize", help="Fewer scenarios, under compute-sanitizer."),
    ] = False,
    report: options.Report = None,
    json: shared.Json = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit XML here.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what was proved of which bytes here."),
    ] = None,
    version: shared.Version = False,
) -> Exit:
    outputs.require_writable((json, junit, record), report)
    from verify import verify as work

    asked = work.Options(
        tree=tree,
        baseline=baseline,
        routes=common.names(route),
        device=device,
        python=str(python) if python else None,
        runtime=runtime,
        seed=seed,
        cases=cases,
        scenarios=tuple(scenario or ()),
        timeout=timeout,
        sanitize=sanitize,
        report=report,
        json=json,
        junit=junit,
        record=record,
        arguments=context.obj.arguments,
    )
    with common.refusals_in(json, report and report / "report.json"):
        return work.work(asked)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return common.run(app, "verify-nsa-opt", argv)


if __name__ == "__main__":
    sys.exit(main())
