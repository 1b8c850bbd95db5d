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
Python = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="The workers' interpreter (needs torch)."),
]
