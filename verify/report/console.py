"""What a person reads of a verification, on stdout."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from verify.report.model import Cell, Report
from verify.routes import MIXED

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 12
LINES = 6  # below each
WIDE = 85  # columns of a terminal that the whole matrix fits


def terminal(*, beside: bool, width: int) -> Console:
    """As wide as the terminal; in a pipe of a width at which nothing is cut.

    beside: on stderr, for stdout has the report.
    """
    from rich.console import Console

    stream = sys.stderr if beside else sys.stdout
    shown = stream is not None and stream.isatty()
    return Console(stderr=beside, width=None if shown else width)


def render(report: Report, console: Console) -> None:
    """Device and limits first, then the matrix, failures, and one line that says it all."""
    from rich.table import Table

    say = _Plain(console)
    _head(report, say)
    table = Table(box=None, pad_edge=False, header_style="bold")
    wide = console.width >= WIDE
    for name in ("mode", "route"):
        table.add_column(name, no_wrap=True)
    for name in _WIDE if wide else _NARROW:
        table.add_column(name, justify="right", no_wrap=True)
    for cell in _shown(report.matrix):
        table.add_row(*_row(cell, wide=wide), style=_style(cell))
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


def _shown(matrix: Sequence[Cell]) -> list[Cell]:
    """Every row but those of gates in other subsets that pass: they are one a mode."""
    found: dict[tuple[str, ...], Cell] = {}
    for cell in matrix:
        passes = cell.identical and not (cell.different or cell.broken or cell.not_run)
        merged = passes and cell.route.startswith(MIXED)
        key = (cell.mode,) if merged else (cell.mode, cell.route)
        if merged and key in found:
            sums = {
                name: getattr(found[key], name) + getattr(cell, name) for name in _SUMS
            }
            found[key] = found[key].model_copy(update=sums)
        else:
            words = {"route": "other gates"} if merged else {}
            found[key] = cell.model_copy(update=words)
    return list(found.values())


_SUMS = ("identical", "replays", "seconds")
_WIDE = ("identical", "different", "broken", "not run", "replays", "s")
_NARROW = ("same", "not", "s")


def _row(cell: Cell, *, wide: bool) -> list[str]:
    numbers: tuple[int, ...] = (cell.identical, cell.different + cell.broken)
    if wide:
        numbers = (
            cell.identical, cell.different, cell.broken, cell.not_run, cell.replays,
        )  # fmt: skip
    shown = [str(n) if n else "-" for n in numbers]
    return [cell.mode, cell.route, *shown, f"{cell.seconds:.1f}"]


def _style(cell: Cell) -> str:
    if cell.different or cell.broken:
        return "red"
    return "" if cell.identical else "dim"


def narrowed(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    keep: Collection[str],
    width: int,
) -> list[int]:
    """Which columns fit `width`, by place: those to keep, then the others in order."""
    room = width + 2  # two blanks between columns, none after the last
    chosen: list[int] = []
    for place in sorted(range(len(heads)), key=lambda place: heads[place] not in keep):
        cells = (heads[place], *(row[place] for row in rows))
        room -= max(map(len, cells)) + 2
        if heads[place] not in keep and room < 0:
            break
        chosen.append(place)
    return sorted(chosen)


class _Plain:
    """Prints text as it is: no markup, colour only on a terminal.

    A terminal's lines end between words, but for commands, which are to be copied.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, line: str = "", style: str = "") -> None:
        whole = not self._console.is_terminal or "reproduce: " in line
        self._console.print(
            line, style=style, markup=False, highlight=False, soft_wrap=whole
        )
