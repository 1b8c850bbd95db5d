"""Options that several commands have, for their signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patcher.cli import common

Tree = Annotated[Path, typer.Argument(metavar="TREE", show_default=False)]
Patches = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Only these patches, comma-separated or repeated.",
        autocompletion=common.patch_names,
    ),
]
Json = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a JSON report here; - is stdout."),
]
Version = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=common.show_version,
        is_eager=True,
        help="Show the version and exit.",
    ),
]
