"""Bench reports beside each other: what became of a ratio from one run to the next.

A run's own original is in each of its ratios, so runs of different days and machines
compare; their microseconds compare on one machine only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from patcher.results import SCHEMA_VERSION, Exit, Reason, Refusal
from verify.bench.report.console import number
from verify.bench.report.model import BenchReport, Estimate, Timing, read
from verify.report.model import Model

if TYPE_CHECKING:
    from rich.console import Console

SAME_WITHIN = 0.03
_STYLES = {"FASTER": "green", "SLOWER": "red", "UNSURE": "yellow"}


class SavedReport(Model):
    """A report: its file, when and where it was made."""

    file: str
    started: str
    tool: str
    machine: str


class Row(Model):
    """A side at a point in every run: times less than the original's, and µs.

    change: the last run's ratio over the first's that has one. FASTER and SLOWER where
    the two intervals do not meet; SAME within 3%.
    """

    point: str
    side: str
    ratios: list[Estimate | None]
    time_us: list[float | None]
    change: float | None
    verdict: Literal["FASTER", "SAME", "SLOWER", "UNSURE", "-"]


class Comparison(Model):
    """Reports in the order in which they were given."""

    schema_version: int = SCHEMA_VERSION
    runs: list[SavedReport]
    rows: list[Row]
    notes: list[str]

    def slower_by(self, percent: float) -> list[Row]:
        """Rows whose ratio fell by more than this, and surely."""
        least = 1 - percent / 100
        return [
            row
            for row in self.rows
            if row.verdict == "SLOWER" and row.change is not None and row.change < least
        ]


def load(path: Path, *, whole: bool = False) -> BenchReport:
    """A report that says something of time; `whole`: and of all points. Raises `Refusal`."""
    try:
        report = read(path)
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise Refusal(Reason(str(path), "", what), code=Exit.UNAVAILABLE) from None
    except (ValidationError, UnicodeDecodeError):
        what, hint = "is no report of a bench", "bench-nsa-opt TREE --json FILE"
        raise Refusal(Reason(str(path), "", what, hint), code=Exit.USAGE) from None
    if not report.machine.times_count:
        what = "was timed on a CPU: its times mean nothing"
        raise Refusal(Reason(str(path), "", what), code=Exit.USAGE)
    if whole and report.incomplete is not None:
        what = (
            f"is {report.incomplete.words('points')}: the others may be the slower ones"
        )
        hint = "leave out --max-slowdown, or let the bench run to its end"
        raise Refusal(Reason(str(path), "", what, hint), code=Exit.USAGE)
    return report


def compare(files: Sequence[Path], *, whole: bool = False) -> Comparison:
    """Every side of every point that at least two of the reports have. Raises `Refusal`.

    whole: none of the runs may have been stopped; else a note says which were.
    """
    reports = [load(file, whole=whole) for file in files]
    found = [dict(_timings(report)) for report in reports]
    keys = dict.fromkeys(key for one in found for key in one)
    several = [key for key in keys if sum(key in one for one in found) > 1]
    return Comparison(
        runs=[
            SavedReport(
                file=str(file), started=r.started, tool=r.tool,
                machine=f"{r.machine.name}, torch {r.machine.torch}",
            )
            for file, r in zip(files, reports, strict=True)
        ],
        rows=[_row(key, [one.get(key) for one in found]) for key in several],
        notes=list(_notes(files, reports, len(keys) - len(several))),
    )  # fmt: skip


def _timings(report: BenchReport) -> Iterator[tuple[tuple[str, str], Timing]]:
    """The timings that count, by point and side."""
    for point in report.points:
        kernel = "" if point.decode_kernel == "fa3" else f" {point.decode_kernel}"
        for timing in point.timings:
            if timing.status == "ok" and timing.time_us is not None:
                yield (f"{point.name}{kernel}", timing.side), timing


def _row(key: tuple[str, str], timings: Sequence[Timing | None]) -> Row:
    ratios = [timing.to("original") if timing else None for timing in timings]
    estimates = [
        Estimate(value=r.value, low=r.low, high=r.high) if r else None for r in ratios
    ]
    known = [e for e in estimates if e is not None]
    change, verdict = None, "-"
    if len(known) > 1:
        first, last = known[0], known[-1]
        change, verdict = last.value / first.value, _verdict(first, last)
    return Row(
        point=key[0], side=key[1], ratios=estimates,
        time_us=[timing.time_us if timing else None for timing in timings],
        change=change, verdict=verdict,  # type: ignore[arg-type]
    )  # fmt: skip


def _verdict(first: Estimate, last: Estimate) -> str:
    if abs(last.value / first.value - 1) <= SAME_WITHIN:
        return "SAME"
    if last.low > first.high:
        return "FASTER"
    return "SLOWER" if last.high < first.low else "UNSURE"


def _notes(
    files: Sequence[Path], reports: Sequence[BenchReport], single: int
) -> Iterator[str]:
    for file, report in zip(files, reports, strict=True):
        if report.incomplete is not None:
            yield f"{file} is {report.incomplete.words('points')}: its run was stopped"
    if len({(r.machine.name, r.machine.torch) for r in reports}) > 1:
        yield "the machines differ: ratios compare, microseconds do not"
    if single:
        yield f"{single} timings are in one of the reports only"


def render(found: Comparison, console: Console) -> None:
    """The runs, then a line a side of a point; intervals where there is room."""
    from rich.table import Table

    for letter, run in zip(_letters(found), found.runs, strict=True):
        said = f"{letter}: {run.file}, {run.started}, {run.machine}, {run.tool}"
        console.print(said, highlight=False, markup=False)
    for note in found.notes:
        console.print(f"note: {note}", highlight=False)
    wide = console.width >= 50 + 40 * len(found.runs)
    table = Table(box=None, pad_edge=False, header_style="bold")
    letters = _letters(found)
    heads = [f"{letter} x original" for letter in letters] if wide else letters
    heads += [f"{letter} µs" for letter in letters] if wide else []
    table.add_column("side")
    for name in (*heads, "change", "verdict"):
        table.add_column(name, justify="right")
    for point, rows in itertools.groupby(found.rows, lambda row: row.point):
        table.add_row(point, style="bold")
        for row in rows:
            cells = [_ratio(estimate, wide=wide) for estimate in row.ratios]
            cells += [number(value) for value in row.time_us] if wide else []
            change = "-" if row.change is None else f"{(row.change - 1) * 100:+.1f}%"
            cells = [f"  {row.side}", *cells, change, row.verdict]
            table.add_row(*cells, style=_STYLES.get(row.verdict, ""))
    console.print(table)


def _letters(found: Comparison) -> list[str]:
    return [chr(ord("A") + i) for i in range(len(found.runs))]


def _ratio(estimate: Estimate | None, *, wide: bool) -> str:
    if estimate is None:
        return "-"
    if not wide:
        return number(estimate.value)
    interval = f"{number(estimate.low)}, {number(estimate.high)}"
    return rf"{number(estimate.value)} \[{interval}]"
