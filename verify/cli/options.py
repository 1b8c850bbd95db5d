"""Options that both commands have, for their signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RUNTIMES = ("isolated", "installed")


def route_names() -> list[str]:
    """What the shell may complete after `--route`."""
    from verify import routes

    return list(routes.NAMES)


def devices() -> list[str]:
    """What the shell may complete after `--device`."""
    from verify.sides.probe import DEVICES

    return list(DEVICES)


def runtimes() -> list[str]:
    """What the shell may complete after `--runtime`."""
    return list(RUNTIMES)


def baselines() -> list[str]:
    """What the shell may complete after `--baseline`, paths aside."""
    from patcher.tree.pins import pins

    return ["in-tree", "originals", *pins()]


Routes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME,...", help="Only these routes.", autocompletion=route_names
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda", help="Where workers run.", autocompletion=devices
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
Report = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write the report here, in every format."),
]
Python = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="The workers' interpreter (needs torch)."),
]
