"""Packs a release, what it needs, and a side for each patch; see ci/kit."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import engine_pack


def main(release: str, place: str, *patches: str) -> int:
    """A pack of `ci/engine`, with the files of every side beside it."""
    if code := engine_pack.main(release, place, "--patch", patches[0]):
        return code
    sides = Path(place) / "sides"
    (sides / "original").mkdir(parents=True, exist_ok=True)
    for patch in patches:
        with tempfile.TemporaryDirectory() as made:
            engine_pack.patched(release, Path(made), ["--patch", patch])
            shutil.copytree(Path(made) / "tree", sides / patch, dirs_exist_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
