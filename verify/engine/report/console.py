"""What a person reads: the table, what differs, the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.bench.report.model import Estimate
from verify.engine.compare import Workload
from verify.engine.report.model import (
    CellReport,
    EngineReport,
    Result,
    SoakSide,
)
from verify.report.console import narrowed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLES = {
    "FASTER": "green", "SLOWER": "red", "UNSURE": "yellow", "different": "bold red",
    "failed": "bold red", "no memory": "bold red", "other drafts": "yellow",
    "not comparable": "yellow",
}  # fmt: skip
HEADS = (
    "steps", "prompt", "bs", "side", "tokens", "x original", "verdict",
    "ms a verify step", "GPU busy", "verify steps", "tokens a step",
)  # fmt: skip


def render(report: EngineReport, out: Console) -> None:
    """The table, what differs, and the summary."""
    machine = report.machine
    out.print(
        f"sglang {machine.sglang}, {report.model}, {machine.gpu}, torch {machine.torch}",
        highlight=False,
    )
    out.print(_table(report, out.width))
    for line in [*findings(report), *report.notes]:
        out.print(line, highlight=False, markup=False)
    style = "bold green" if report.exit_code == 0 else "bold red"
    out.print(report.summary, style=style, highlight=False)


def _table(report: EngineReport, width: int) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    found = [(r, row(cell, r)) for cell in report.cells for r in cell.results]
    keep = ("steps", "prompt", "bs", "side", "tokens", "verdict")
    shown = narrowed(HEADS, [line for _, line in found], keep, width)
    for place in shown:
        left = HEADS[place] in ("side", "tokens", "verdict")
        table.add_column(
            HEADS[place], justify="left" if left else "right", no_wrap=True
        )
    for result, line in found:
        verdict = result.verdict if result.status == "identical" else result.status
        cells = [line[place].replace("[", r"\[") for place in shown]
        table.add_row(*cells, style=_STYLES.get(verdict or "", ""))
    return table


def row(cell: CellReport, result: Result) -> list[str]:
    """A line of the table, as text."""
    return [
        str(cell.steps), f"{'up to ' * bool(cell.load)}{cell.prompt:,}",
        f"{cell.load:,} by {cell.bs}" if cell.load else str(cell.bs),
        result.side, result.status,
        _estimate(result.ratio), result.verdict or "", _estimate(result.step_ms),
        "-" if result.gpu_ms is None else f"{result.gpu_ms:.3f}",
        str(result.verify_steps) if result.verify_steps else "-",
        f"{result.tokens_a_step:.2f}" if result.verify_steps else "-",
    ]  # fmt: skip


def _estimate(found: Estimate | None) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]" if found else "-"


def findings(report: EngineReport) -> list[str]:
    """What differs, what failed, what was logged; one line each."""
    lines = [
        f"{Workload.of(c).name}, {r.side}: {line}"
        for c in report.cells
        for r in c.results
        for line in r.differences
    ]
    for soak in report.soaks:
        for side in soak.sides:
            where = f"{soak.steps} steps, soak, {side.side}"
            lines += [f"{where}: {line}" for line in side.differences]
            lines += [f"{where}: {line}" for line in _soaked(side)]
    for start in report.starts:
        where = f"{start.steps} steps, {start.side}"
        lines += [f"{where}: failed: {start.failed}"] if start.failed else []
        lines += [f"{where}: logged: {line}" for line in start.logged]
    return lines


def _soaked(side: SoakSide) -> list[str]:
    """How many differ or prove nothing, and what happened to its memory."""
    lines = [f"{side.differing} requests differ"] if side.differing else []
    if side.varied:
        lines.append(f"{side.varied} requests prove nothing: the original varies there")
    if side.memory:
        first, last = side.memory[0], side.memory[-1]
        gpu = "not known"
        if first.gpu_mb is not None and last.gpu_mb is not None:
            gpu = f"{first.gpu_mb:,.0f} to {last.gpu_mb:,.0f} MB"
        lines.append(
            f"memory after {first.seconds:.0f} and {last.seconds:.0f} s: host "
            f"{first.host_mb:,.0f} to {last.host_mb:,.0f} MB, GPU {gpu}"
        )
    return lines
