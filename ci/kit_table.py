"""Prints what ci/kit_case.py found: a side a row, a number of draft steps a column.

    python ci/kit_table.py ORIGINAL OTHER...

Exit code 1 if a case of the release's own failed, or a side differs from ORIGINAL.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Key = tuple[str, int, bool]


def load(file: Path) -> dict[Key, dict[str, Any]]:
    """A side's rows by what was asked: way, steps, poisoned or not."""
    rows = map(json.loads, file.read_text().splitlines())
    return {(r["way"], r["steps"], r["poison"]): r for r in rows}


def say(row: dict[str, Any], first: dict[str, Any]) -> str:
    """One cell: what the test said, and whether attention gave what it gave at first."""
    if row["result"] != "passed" and not row["poison"]:
        return row["result"]
    if not row.get("digest"):
        return "failed"
    if row["poison"] and not row["poisoned"]:
        return "no table"
    same = row["digest"] == first["digest"]
    return ("same" if row["poison"] else "passed") if same else "differs"


def main(*files: str) -> int:
    """Prints a block for every question, and why what failed failed."""
    sides = [load(Path(name)) for name in files]
    names = [Path(name).stem for name in files]
    wrong = not all(sides)
    blocks: dict[tuple[str, bool], list[int]] = {}
    for way, steps, poison in sides[0] if sides else ():
        blocks.setdefault((way, poison), []).append(steps)
    for (way, poison), steps in blocks.items():
        wanted = "same" if poison else "passed"
        print(f"{way}{', poisoned wide table' if poison else ''}: {wanted}?")
        for name, side in zip(names, sides, strict=True):
            cells = []
            for n in steps:
                row = side.get((way, n, poison))
                first = (side if poison else sides[0]).get((way, n, False))
                cells.append(say(row, first) if row and first else "not run")
                if cells[-1] not in (wanted, "no table"):
                    wrong = True
                    if row and "error" in row and not poison:
                        print(f"  {name}, {n} steps: {row['error'].splitlines()[0]}")
            graph = any(row["in_graph"] for row in side.values() if "in_graph" in row)
            said = zip(steps, cells, strict=True)
            text = "  ".join(f"{n}: {cell:8}" for n, cell in said)
            print(f"  {name:24} {text}{' in the graph' if graph else ''}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
