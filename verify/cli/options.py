"""Options that both commands have, for their signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Routes = Annotated[
    list[str] | None, typer.Option(metavar="NAME,...", help="Only these routes.")
]
Device = Annotated[
    str, typer.Option(metavar="auto|cpu|cuda", help="Where workers run.")
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
