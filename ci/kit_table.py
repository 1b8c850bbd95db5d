"""Prints what ci/kit_case.py found: a side a row, a number of draft steps a column.

    python ci/kit_table.py ORIGINAL OTHER...

Exit code 1 if a case of the release's own failed, or a side differs from ORIGINAL: then the
first difference is named, cause before consequence. What ran before the capture is shown
too, and may differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Side = dict[tuple[str, int, str], Row]

# Of a draft step, in the order in which one follows from the other.
READ = ("lengths", "pages", "slots", "hidden")
WANTED = {"": "passed", "wide": "same", "narrow": "differs"}
QUESTION = {
    "": "",
    "wide": ", wrong slots in the wide table, which nobody reads",
    "narrow": ", wrong pages in the table that is read",
}


def load(file: Path) -> Side:
    """A side's rows by what was asked: way, steps, the table with poison in it."""
    rows = map(json.loads, file.read_text().splitlines())
    return {(r["way"], r["steps"], r["poison"]): r for r in rows}


def spots(found: Any, first: Any, place: str = "") -> Iterator[str]:
    """Where two nested lists differ. By their text: also NaN, and a zero's sign."""
    if isinstance(found, list) and isinstance(first, list) and len(found) == len(first):
        for number, pair in enumerate(zip(found, first, strict=True)):
            yield from spots(*pair, f"{place}[{number}]")
    elif repr(found) != repr(first):
        yield f"{place}: {found} for {first}"


def differences(row: Row, first: Row, *runs: str) -> Iterator[str]:
    """Where the draft steps of some runs differ, the first of them first."""
    for run in runs:
        steps = row["runs"].get(run, []), first["runs"].get(run, [])
        if not all(steps) or len(steps[0]) != len(steps[1]):
            yield f"{run}: {len(steps[0])} steps for {len(steps[1])}"
            continue
        for number, (found, other) in enumerate(zip(*steps, strict=True)):
            for what in READ:
                for spot in spots(found[what], other[what]):
                    yield f"{run}, step {number}, {what}{spot}"
    if "graph" in runs:
        for spot in spots(row["outputs"], first["outputs"]):
            yield f"outputs{spot}"


def say(row: Row, first: Row) -> tuple[str, str]:
    """One cell: what the test said, whether all was as it was at first; and what was not."""
    failed = row["result"] != "passed" and not row["poison"]  # with poison it may
    if failed or not row.get("runs"):
        result = "failed" if row["result"] == "passed" else row["result"]
        return result, row.get("error", "").partition("\n")[0]
    if not first.get("runs"):
        return "alone", "what it is compared with was not run"
    if row["poison"] and not row["poisoned"]:
        return "no table", ""
    where = next(differences(row, first, "eager", "graph"), "")
    same = WANTED["wide" if row["poison"] else ""]
    return ("differs", where) if where else (same, "")


def before(row: Row, first: Row) -> tuple[str, str]:
    """One cell: whether the runs before the capture gave what they gave at first."""
    if not row.get("runs") or not first.get("runs"):
        return row["result"], ""
    where = next(differences(row, first, "warm-up 1", "warm-up 2"), "")
    return ("other", where) if where else ("same", "")


def block(sides: dict[str, Side], way: str, poison: str, look: Any) -> bool:
    """Prints a row a side; whether every cell is what it has to be."""
    original = next(iter(sides.values()))
    steps = [n for asked, n, table in original if (asked, table) == (way, poison)]
    good = True
    for name, side in sides.items():
        cells, notes = [], []
        for n in steps:
            row = side.get((way, n, poison))
            first = (side if poison else original).get((way, n, ""))
            found, why = look(row, first) if row and first else ("not run", "")
            cells.append(f"{n}: {found:8}")
            if found not in (WANTED[poison], "no table"):
                good = False
            if why and found != WANTED[poison]:
                notes.append(f"    {n} steps: {why}")
        graph = any(row.get("in_graph") for row in side.values())
        print(f"  {name:24} {'  '.join(cells)}{' in the graph' if graph else ''}")
        print("".join(f"{note}\n" for note in notes), end="")
    return good


def main(*files: str) -> int:
    """Prints a block for every question, and why what failed failed."""
    sides = {Path(name).stem: load(Path(name)) for name in files}
    good = bool(sides) and all(sides.values())
    asked = [(way, poison) for way, _, poison in next(iter(sides.values()), ())]
    for way, poison in dict.fromkeys(asked):
        print(f"{way}{QUESTION[poison]}: {WANTED[poison]}?")
        good &= block(sides, way, poison, say)
        if not poison:
            print(f"{way}, before the capture, on slots that are nobody's:")
            block(sides, way, poison, before)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
