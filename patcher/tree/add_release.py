"""Adds releases to `pins.json`: `python -m patcher.tree.add_release WHEEL...`."""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patcher.tree.outline import Outline, folded, sha256, unfolded
from patcher.tree.pins import FAMILIES, PINNED, family_of, hashes_of, order

PINS = Path(__file__).with_name("pins.json")
EMPTY: dict[str, Any] = {"releases": {}, "files": {}, "outlines": {}}


def with_release(pins: Mapping[str, Any], wheel: Path) -> dict[str, Any]:
    """The content of `pins.json` with the wheel's release in it, oldest first."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        content = {file: archive.read(file) for file in PINNED if file in names}
    family = family_of(content)
    entry = {
        "wheel": wheel.name,
        "sha256": sha256(wheel.read_bytes()),
        "family": family,
    }
    if family == "too-old":
        entry["why"] = f"has {FAMILIES[family]}"
    release = wheel.name.split("-")[1]
    releases = dict(
        sorted(
            {**pins["releases"], release: entry}.items(),
            key=lambda item: order(item[0]),
        )
    )
    hashes = dict(zip(pins["releases"], hashes_of(pins), strict=True))
    hashes[release] = {file: sha256(data) for file, data in content.items()}
    outlines = {
        digest: outline
        for text in pins["outlines"].values()
        for digest, outline in unfolded(text).items()
    }
    if family != "too-old":
        outlines |= {sha256(data): Outline.of(data) for data in content.values()}
    return {
        "releases": releases,
        "files": {
            file: runs
            for file in PINNED
            if (runs := _runs([(r, hashes[r].get(file)) for r in releases]))
        },
        "outlines": {
            file: folded(known)
            for file in PINNED
            if (known := _known([hashes[r].get(file) for r in releases], outlines))
        },
    }


def _runs(hashes: list[tuple[str, str | None]]) -> dict[str, str | None]:
    """A file's hash at every release where it is another than before."""
    runs: dict[str, str | None] = {}
    last = None
    for release, digest in hashes:
        if digest != last:
            runs[release] = last = digest
    return runs


def _known(
    hashes: list[str | None], outlines: Mapping[str, Outline]
) -> dict[str, Outline]:
    """The outlines that there are, each once, in the order of the releases."""
    return {h: outlines[h] for h in dict.fromkeys(hashes) if h and h in outlines}


def text(pins: Mapping[str, Any]) -> str:
    """`pins.json` as it is written: a line for what a reader would compare."""
    parts = []
    for kind in ("releases", "files", "outlines"):
        rows = []
        for name, value in pins[kind].items():
            shown = json.dumps(value)
            if kind == "files":
                runs = [
                    f'   "{r}": {json.dumps(digest)}' for r, digest in value.items()
                ]
                shown = "{\n" + ",\n".join(runs) + "\n  }"
            rows.append(f'  "{name}": {shown}')
        parts.append(f' "{kind}": {{\n' + ",\n".join(rows) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(argv: list[str] | None = None) -> int:
    """Rewrites `pins.json`; run it in a checkout of this project, and read the diff."""
    parser = argparse.ArgumentParser(prog="python -m patcher.tree.add_release")
    parser.add_argument("wheels", type=Path, nargs="+", metavar="WHEEL")
    pins = EMPTY
    if PINS.exists():
        pins = json.loads(PINS.read_text(encoding="utf-8"))
    for wheel in parser.parse_args(argv).wheels:
        pins = with_release(pins, wheel)
    PINS.write_text(text(pins), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
