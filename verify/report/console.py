"""What a person reads: the report on stdout, progress on stderr if that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from verify.outcome import Case
from verify.report.model import Cell, Report

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 12
LINES = 6  # below each


def render(report: Report, console: Console) -> None:
    """Device and limits first, then the matrix, failures, and one line that says it all."""
    from rich.table import Table

    say = _Plain(console)
    _head(report, say)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("mode", "route"):
        table.add_column(name, no_wrap=True)
    for name in ("identical", "different", "broken", "not run", "replays", "s"):
        table.add_column(name, justify="right")
    for cell in report.matrix:
        table.add_row(*_row(cell), style=_style(cell))
    console.print(table)
    say()
    for counted in report.counters:
        say(
            f"{counted.mode}/{counted.route} ({counted.side}): "
            f"{counted.launches:g} launches, {counted.syncs:g} host syncs a replay"
        )
    for failure in report.failures[:SHOWN]:
        say(failure.line, "red")
        for line in failure.detail[:LINES]:
            say(f"  {line}")
        say(f"  reproduce: {failure.reproduce}")
    if len(report.failures) > SHOWN:
        say(f"... and {len(report.failures) - SHOWN} more in --json or --report")
    say(report.summary, "bold green" if report.verdict == "identical" else "bold red")


def _head(report: Report, say: _Plain) -> None:
    if report.device.logic_only:
        say(
            "device: cpu. This proves the logic, not the GPU: kernels run in Triton's "
            "interpreter."
        )
    else:
        say(f"device: {report.device.name}")
    say(f"baseline:  {report.baseline.label} ({report.baseline.release})")
    say(f"candidate: {report.candidate.label} ({report.candidate.release})")
    for title, lines in (
        ("not run", report.not_run),
        ("stand-in", report.standins),
        ("note", report.notes),
    ):
        for line in lines:
            say(f"{title}: {line}")
    say()


def _row(cell: Cell) -> list[str]:
    numbers = (cell.identical, cell.different, cell.broken, cell.not_run, cell.replays)
    return [
        cell.mode,
        cell.route,
        *(str(n) if n else "-" for n in numbers),
        f"{cell.seconds:.1f}",
    ]


def _style(cell: Cell) -> str:
    if cell.different or cell.broken:
        return "red"
    return "" if cell.identical else "dim"


class _Plain:
    """Prints text as it is: no markup, no wrapping, colour only on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, line: str = "", style: str = "") -> None:
        self._console.print(
            line, style=style, markup=False, highlight=False, soft_wrap=True
        )


class Progress:
    """A bar on stderr where stderr is a terminal; nothing otherwise."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._bad = 0

    def __enter__(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._bar.start()
        self._task = self._bar.add_task("verifying", total=self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, case: Case) -> None:
        self._bad += case.failed
        text = case.place + (f", {self._bad} bad" if self._bad else "")
        self._bar.update(self._task, advance=1, description=text)
