"""Adds a release to `pins.json` from its wheel: `python -m patcher.tree.add_release WHEEL`."""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any, get_args

from patcher.tree.outline import Outline, sha256
from patcher.tree.pins import PINNED, Family

PINS = Path(__file__).with_name("pins.json")


def with_release(
    pins: dict[str, Any], wheel: Path, family: Family, why: str
) -> dict[str, Any]:
    """The content of `pins.json` with the wheel's release in it, oldest first."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        content = {file: archive.read(file) for file in PINNED if file in names}
    entry = {
        "wheel": wheel.name,
        "sha256": sha256(wheel.read_bytes()),
        "family": family,
        "why": why,
        "files": {file: sha256(data) for file, data in content.items()},
    }
    releases = {**pins["releases"], wheel.name.split("-")[1]: entry}
    outlines = dict(pins["outlines"])
    if family == "patchable":
        outlines |= {sha256(d): Outline.of(d).packed() for d in content.values()}
    return {
        "releases": dict(sorted(releases.items(), key=lambda item: _order(item[0]))),
        "outlines": dict(sorted(outlines.items())),
    }


def _order(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


def main(argv: list[str] | None = None) -> int:
    """Rewrites `pins.json`; run it in a checkout of this project."""
    parser = argparse.ArgumentParser(prog="python -m patcher.tree.add_release")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--family", choices=get_args(Family), default="patchable")
    parser.add_argument("--why", default="", help="why it is not patched")
    options = parser.parse_args(argv)
    known: dict[str, Any] = {"releases": {}, "outlines": {}}
    if PINS.exists():
        known = json.loads(PINS.read_text(encoding="utf-8"))
    made = with_release(known, options.wheel, options.family, options.why)
    rows = [
        f' "{kind}": {{\n'
        + ",\n".join(f'  "{k}": {json.dumps(v)}' for k, v in made[kind].items())
        + "\n }"
        for kind in ("releases", "outlines")
    ]
    PINS.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
