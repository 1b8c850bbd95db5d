"""`python -m tests.mutants`: plants every bug, prints who was caught and by what."""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from tests.mutants.catalogue import Mutant, all_mutants
from tests.mutants.harness import (
    Verdict,
    controls,
    planted,
    run_all,
)
from tests.mutants.mutate import NoLongerApplies


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=__doc__
    )
    parser.add_argument("names", nargs="*", help="only those whose kind or name has it")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--release", help="only those of one release")
    return parser.parse_args()


def _wanted(mutant: Mutant, options: argparse.Namespace) -> bool:
    words = f"{mutant.sort}: {mutant.name}"
    named = not options.names or any(name in words for name in options.names)
    return named and options.release in (None, mutant.release)


def main() -> int:
    """0: each is caught and named, and every control passes; 1: not so."""
    options, began = _options(), time.monotonic()
    mutants = tuple(m for m in all_mutants() if _wanted(m, options))
    invalid = []
    for mutant in mutants:
        try:
            planted(mutant)
        except NoLongerApplies as error:
            invalid.append(f"{mutant.name}: no longer applies: {error}")
    for line in invalid:
        print(line)
    if invalid:
        return 1
    only_cuda = [mutant.name for mutant in mutants if mutant.only_cuda]
    if options.device == "cpu":
        mutants = tuple(mutant for mutant in mutants if not mutant.only_cuda)
    right = controls(mutants)
    ordered = sorted((*mutants, *right), key=lambda m: not m.only_cuda)
    verdicts = run_all(ordered, _progress, options.device, options.jobs)
    _print(verdicts)
    bad = [v for v in verdicts if not v.good]
    caught = sum(v.good for v in verdicts if v.mutant.edits)
    passed = sum(v.good for v in verdicts if not v.mutant.edits)
    seconds = time.monotonic() - began
    _print_score(verdicts)
    print(
        f"{caught} of {len(mutants)} planted bugs caught on {options.device}, "
        f"{passed} of {len(right)} controls pass, in {seconds:.0f} s"
    )
    if only_cuda:
        where = "not planted, since" if options.device == "cpu" else "planted here, and"
        print(f"{where} only a GPU can show it: {', '.join(only_cuda)}")
    for verdict in bad:
        print(f"{verdict.mutant.name}: {_wrong(verdict)}")
    return 1 if bad or not verdicts else 0


def _print_score(verdicts: list[Verdict]) -> None:
    """The score by kind: what nobody thought of is a kind with no entry."""
    kinds: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.mutant.edits:
            kinds.setdefault(verdict.mutant.sort, []).append(verdict)
    table = Table("kind", "caught", "planted", box=None, pad_edge=False)
    for kind, members in kinds.items():
        table.add_row(kind, str(sum(v.good for v in members)), str(len(members)))
    Console(width=120, markup=False, highlight=False).print(table)


def _wrong(verdict: Verdict) -> str:
    if not verdict.mutant.edits:
        return f"the right tree does not pass: {verdict.line}"
    return f"not named: {verdict.line}" if verdict.caught else "survived"


def _progress(verdict: Verdict) -> None:
    mark = "caught" if verdict.mutant.edits else "passed"
    mark = mark if verdict.good else "BAD"
    print(f"{mark:7} {verdict.seconds:5.1f} s  {verdict.mutant.name}", file=sys.stderr)


def _print(verdicts: list[Verdict]) -> None:
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
    Console(width=260, markup=False, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
