"""`python -m tests.mutants`: plants every bug, prints who was caught and by what."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from tests.mutants.catalogue import Mutant, all_mutants
from tests.mutants.harness import Verdict, controls, run_all
from tests.mutants.trees import keep, prepare, use


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=__doc__
    )
    parser.add_argument("names", nargs="*", help="only those whose kind or name has it")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument(
        "--release", action="append", help="only those of one release; repeatable"
    )
    parser.add_argument(
        "--table", type=Path, help="write score and rows here, anew with every verdict"
    )
    parser.add_argument("--json", type=Path, help="the same for programs")
    parser.add_argument(
        "--against",
        type=Path,
        help="the --json of another device: who catches what alone",
    )
    parser.add_argument(
        "--keep", type=Path, help="write trees and bugs there, for a machine without"
    )
    parser.add_argument("--kept", type=Path, help="take them from what --keep wrote")
    return parser.parse_args()


def _wanted(mutant: Mutant, options: argparse.Namespace) -> bool:
    words = f"{mutant.sort}: {mutant.name}"
    named = not options.names or any(name in words for name in options.names)
    return named and (options.release is None or mutant.release in options.release)


def main() -> int:
    """0: each is caught and named, and every control passes; 1: not so."""
    options, began = _options(), time.monotonic()
    if options.kept:
        there = use(options.kept)
        options.release = options.release or there
    mutants = tuple(m for m in all_mutants() if _wanted(m, options))
    invalid = prepare(mutants, options.jobs)
    for line in invalid:
        print(line)
    if invalid:
        return 1
    if options.keep:
        keep(mutants, options.keep)
        return 0
    only_cuda = [mutant.name for mutant in mutants if mutant.only_cuda]
    if options.device == "cpu":
        mutants = tuple(mutant for mutant in mutants if not mutant.only_cuda)
    right = controls(mutants)
    # What runs longest first, but where a time limit may end it: a control meets all.
    on_cpu = options.device == "cpu"
    ordered = sorted(
        (*mutants, *right), key=lambda m: bool(m.edits) if on_cpu else not m.only_cuda
    )
    seen: list[Verdict] = []
    writes = threading.Lock()

    def note(verdict: Verdict) -> None:
        _progress(verdict)
        with writes:
            seen.append(verdict)
            _write(seen, options, began)

    verdicts = run_all(ordered, note, options.device, options.jobs)
    _write(verdicts, options, began)
    console = Console(width=260, markup=False, highlight=False)
    console.print(_rows(verdicts))
    for line in _score(verdicts, options, began, console):
        print(line)
    bad = [v for v in verdicts if not v.good]
    if only_cuda and options.device == "cpu":
        print(f"not planted, since only a GPU can show it: {', '.join(only_cuda)}")
    for verdict in bad:
        print(f"{verdict.mutant.name}: {_wrong(verdict)}")
    return 1 if bad or not verdicts else 0


def _write(verdicts: list[Verdict], options: argparse.Namespace, began: float) -> None:
    """What is known by now, on disk: whoever ends this early still has it."""
    if options.table:
        with _anew(options.table) as file:
            console = Console(width=260, markup=False, highlight=False, file=file)
            for line in _score(verdicts, options, began, console):
                print(line, file=file)
            console.print(_rows(verdicts))
    if options.json:
        with _anew(options.json) as file:
            json.dump({v.mutant.name: _as_json(v) for v in verdicts}, file, indent=1)


@contextmanager
def _anew(path: Path) -> Iterator[TextIO]:
    """A file that is the old one or the whole new one, never half of it."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w") as file:
        yield file
    os.replace(beside, path)


def _as_json(v: Verdict) -> dict[str, object]:
    return {
        "kind": v.mutant.sort,
        "control": not v.mutant.edits,
        "caught": v.caught,
        "good": v.good,
        "at": v.at,
        "line": v.line,
        "seconds": round(v.seconds, 2),
    }


def _score(
    verdicts: list[Verdict],
    options: argparse.Namespace,
    began: float,
    console: Console,
) -> Iterator[str]:
    """The score by kind: what nobody thought of is a kind with no entry."""
    planted_bugs = [v for v in verdicts if v.mutant.edits]
    right = [v for v in verdicts if not v.mutant.edits]
    other = json.loads(options.against.read_text()) if options.against else {}
    alone = [v.mutant.name for v in planted_bugs if _alone(v, other)]
    kinds: dict[str, list[Verdict]] = {}
    for verdict in planted_bugs:
        kinds.setdefault(verdict.mutant.sort, []).append(verdict)
    table = Table("kind", "caught", "planted", box=None, pad_edge=False)
    only = f"only on {options.device}"
    if alone:
        table.add_column(only)
    for kind, members in sorted(kinds.items()):
        count = str(sum(v.mutant.name in alone for v in members))
        row = (kind, str(sum(v.good for v in members)), str(len(members)))
        table.add_row(*row, *([count] if alone else []))
    console.print(table)
    yield (
        f"{sum(v.good for v in planted_bugs)} of {len(planted_bugs)} planted bugs caught "
        f"on {options.device}, {sum(v.good for v in right)} of {len(right)} controls "
        f"pass, in {time.monotonic() - began:.0f} s"
    )
    if alone:
        yield f"{only}: {', '.join(alone)}"
    lost = [
        v.mutant.name
        for v in planted_bugs
        if not v.caught and other.get(v.mutant.name, {}).get("caught")
    ]
    if lost:
        yield f"not on {options.device}, but on the other: {', '.join(lost)}"


def _alone(v: Verdict, other: dict[str, dict[str, object]]) -> bool:
    """Whether this device catches it and the other does not, or could not have."""
    there = other.get(v.mutant.name)
    return v.caught and (not there["caught"] if there else v.mutant.only_cuda)


def _wrong(verdict: Verdict) -> str:
    if not verdict.mutant.edits:
        return f"the right tree does not pass: {verdict.line}"
    return f"not named: {verdict.line}" if verdict.caught else "survived"


def _progress(verdict: Verdict) -> None:
    mark = "caught" if verdict.mutant.edits else "passed"
    mark = mark if verdict.good else "BAD"
    print(f"{mark:7} {verdict.seconds:5.1f} s  {verdict.mutant.name}", file=sys.stderr)


def _rows(verdicts: list[Verdict]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("kind", "planted bug", "route", "caught at", "by"):
        table.add_column(name, no_wrap=name != "by")
    for v in verdicts:
        route = f"{v.mutant.mode}/{v.mutant.route}" + (" pair" if v.mutant.pair else "")
        at = f"case {v.at}" if v.caught else "SURVIVED"
        if not v.mutant.edits:
            at = "FAILED" if v.caught else f"passes {v.at}"
        line = v.line if len(v.line) <= 150 else v.line[:147] + "..."
        table.add_row(v.mutant.sort, v.mutant.name, route, at, line)
    return table


if __name__ == "__main__":
    sys.exit(main())
