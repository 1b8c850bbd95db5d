"""Plants bugs in a running engine of `tiny`, one after the other; see ci/engine.

    python engine_planted.py TREE OUT [--steps N] [--prompt N,...] [--bs N,...]

The engine has the originals of TREE. Without a bug it has to say the same every time;
with one, what it says else shows what a wrong buffer of that kind does to tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from verify.engine import compare, environment, request, sides
from verify.engine.compare import Workload
from verify.engine.request import EngineOptions
from verify.engine.run import server
from verify.engine.tiny import checkpoint

PLANT = Path(__file__).with_name("engine_plant.py")
NONE = ""
BUGS = {
    NONE: "none",
    "verify page": "target_verify: one column of the page table",
    "verify rows": "target_verify: two requests' rows of the page table exchanged",
    "verify slot": "target_verify: one slot of page_table_1",
    "draft page": "draft step 1: one column of the page table",
    "draft rows": "draft step 1: two requests' rows of the page table exchanged",
    "draft slot": "draft step 1: one slot of page_table_1",
    "draft short": "draft step 1: lengths short by one",
    "verify short": "target_verify: lengths short by one",
}
ORDER = (NONE, NONE, *list(BUGS)[1:], NONE)
NEW_TOKENS = 136
TIMEOUT = 90.0
"""Seconds in which an engine answers, bug or not."""

Json = dict[str, Any]


def planted(side: sides.EngineSide) -> sides.EngineSide:
    """The side with the plant at the end of the file that has the multi-step backend."""
    text = PLANT.read_bytes()
    files = {
        path: data + b"\n\n" + text
        for path, data in side.files.items()
        if data is not None and b"SparseAttnMultiStepBackend:" in data
    }
    if len(files) != 1:
        raise SystemExit(f"no single file with the multi-step backend: {list(files)}")
    return sides.EngineSide("planted", {**side.files, **files}, side.gates)


def caught(said: Sequence[Json], other: Sequence[Json]) -> str:
    """What shows that another answer is another: ids, verify steps, drafts, nothing."""
    if compare.other_tokens(said, [other]):
        return "ids"
    if [r["verify"] for r in said] != [r["verify"] for r in other]:
        return "verify steps"
    return "accepted drafts" if any(compare.differences(said, [other])) else "nothing"


def row(cell: Workload, bug: str, said: Sequence[Json], other: Sequence[Json]) -> Json:
    """A line of the table; said: without a bug."""
    histograms = [request["accepted"] for request in other]
    longest = max(map(len, histograms))
    return {
        "cell": cell.name,
        "bug": BUGS[bug],
        "caught": caught(said, other),
        "verify": sum(request["verify"] for request in other),
        "accepted": [
            sum(h[i] for h in histograms if i < len(h)) for i in range(longest)
        ],
        "differing": sum(bool(compare.difference(a, b)) for a, b in zip(said, other, strict=True)),
        "first": next(compare.differences(said, [other]), ""),
    }  # fmt: skip


def run(options: EngineOptions) -> Iterator[Json]:
    """Row after row, as they come."""
    asked = request.read(options)
    found = sides.resolve(options.tree, quick=True)
    side = planted(found.sides[0])
    here = environment.look(sys.executable, found.release)
    server.ANSWER_TIMEOUT = TIMEOUT
    with tempfile.TemporaryDirectory(prefix="nsa-planted-") as name:
        folder = Path(name)
        flag = folder / "bug"
        model = str(checkpoint.write(folder / "tiny", options.seed))
        package = sides.Package(here.package, folder / "package", found.paths)
        package.lay(side)
        variables = package.environment(side, asked.environment)
        variables["NSA_OPT_PLANTED"] = str(flag)
        with server.Server(sys.executable, folder / "run", variables) as engine:
            engine.start(asked.arguments(model, asked.steps[0]))
            for cell in asked.cells:
                said: Sequence[Json] | None = None
                for bug in ORDER:
                    if cell.bs == 1 and bug.endswith("rows"):
                        continue
                    flag.write_text(bug)
                    answer = engine.generate(
                        seed=options.seed, lengths=cell.lengths,
                        vocabulary=asked.vocabulary, new_tokens=options.new_tokens,
                    )["requests"]  # fmt: skip
                    flag.write_text(NONE)
                    said = said or answer
                    yield row(cell, bug, said, answer)


def main(arguments: Sequence[str]) -> int:
    """Prints and writes the table; 1 where an engine without a bug does not repeat itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("out", type=Path)
    for name, default in (("steps", "4"), ("prompt", "3000"), ("bs", "1,8")):
        parser.add_argument(f"--{name}", default=default)
    given = parser.parse_args(arguments)
    options = EngineOptions(
        given.tree, "tiny", (given.steps,), (given.prompt,), (given.bs,), NEW_TOKENS
    )
    rows: list[Json] = []
    repeats = True
    try:
        for found in run(options):
            rows.append(found)
            repeats &= found["bug"] != BUGS[NONE] or found["caught"] == "nothing"
            print(
                "| {cell} | {bug} | {caught} | {differing} | {verify} | {accepted} | "
                "{first} |".format(**found),
                flush=True,
            )
            (given.out / "planted.json").write_text(json.dumps(rows, indent=1))
    except server.ServerFailed as failure:
        print(f"| | {os.linesep.join([str(failure), *failure.lines])} |", flush=True)
        return 1
    return 0 if repeats else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
